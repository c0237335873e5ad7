//! Gets tokens from token services.

use http::{Response, StatusCode, Uri};
use longshore_core::{Error, ErrorKind};

use super::method::Service;
use super::policy::Authentication;
use super::scope::Scopes;
use super::token::{self, Token};
use super::token_request::{self, Flow, TokenParameters};
use crate::credentials::{Credential, Login};
use crate::redact::redacted;
use crate::reply::{Identity, Reply, Secrets};
use crate::transport::observe::ForToken;
use crate::transport::{Body, Transport, TransportError};

/// A request for a token: the service, the scopes and the credential.
#[derive(Clone, Copy)]
pub(super) struct TokenRequest<'a> {
    pub(super) service: &'a Service,
    pub(super) scopes: &'a Scopes,
    pub(super) credential: &'a Credential,
}

/// Gets a token with the first flow that the service supports.
pub(super) async fn fetch(
    transport: &dyn Transport,
    request: TokenRequest<'_>,
    settings: &Authentication,
) -> Result<Token, TransportError> {
    let TokenRequest { service, scopes, credential } = request;
    let host = service.realm.host().unwrap_or_default();
    let parameters = TokenParameters {
        realm: &service.realm,
        service: service.service.as_deref(),
        scopes,
        client_id: settings.client_id.as_deref(),
        offline: settings.offline_token,
    };
    let flows = Flow::all(credential.kind(), settings.offline_token);
    let mut refusal = None;
    for flow in flows {
        let mut request = http_request(parameters, *flow, credential).ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized)
                .detail(format!("the address of the token service {host} cannot be used"))
        })?;
        request.extensions_mut().insert(ForToken);
        let reply = transport.send(request).await.map_err(name_service)?;
        if reply.status() == StatusCode::OK {
            return read(Reply::new(reply, &service.realm), &service.realm).await;
        }
        let unknown = flow.is_unknown(reply.status().as_u16());
        let error = refused(reply, &service.realm, credential).await;
        // Report the first refusal, because the later flows are fallbacks.
        refusal.get_or_insert(error);
        if !unknown {
            break;
        }
    }
    Err(refusal.unwrap_or_else(|| Error::new(ErrorKind::Unauthorized)).into())
}

/// Names the token service in an error, because its host may differ from the registry's host.
fn name_service(error: TransportError) -> TransportError {
    let (fault, error) = (error.fault(), error.into_error());
    TransportError::new(fault, with_service_clause(error))
}

fn with_service_clause(error: Error) -> Error {
    let clause = format!("requesting a token from the token service: {error}");
    error.with_clause(clause)
}

/// Returns the name of the token service for errors.
fn name(realm: &Uri) -> String {
    format!("token service {}", redacted(realm))
}

/// Makes an error from a reply that refuses a token.
async fn refused(mut reply: Response<Body>, realm: &Uri, credential: &Credential) -> Error {
    let status = reply.status();
    let identity = credential.source();
    let credential = credential.clone();
    let secrets = Secrets::new(move || credential.secrets());
    reply.extensions_mut().insert(Identity { description: identity.to_owned(), secrets });
    let error = Reply::new(reply, realm).into_error().await;
    match status.as_u16() {
        // These statuses also mean that access to the registry's resource is refused.
        401 | 403 => error.detail(format!("the {} refused {identity}", name(realm))),
        408 | 429 | 500 | 502..=599 => error.at(name(realm)),
        // Other statuses do not apply to the registry's resource. A 404, for example, does not mean
        // that the resource is missing.
        status => Error::new(ErrorKind::Unauthorized)
            .at(name(realm))
            .detail(format!("no token issued to {identity} (HTTP {status})"))
            .with_registry_errors(error.registry_errors().to_vec()),
    }
}

fn http_request(
    parameters: TokenParameters<'_>,
    flow: Flow,
    credential: &Credential,
) -> Option<http::Request<Body>> {
    let identity = credential.identity();
    match flow {
        Flow::Get => {
            // A service without OAuth2 may accept an identity token as the user's password.
            let as_password = |login: &Login| match login.user.as_str() {
                "" => {
                    Login { user: "<token>".to_owned(), password: login.password.clone() }.basic()
                }
                _ => login.basic(),
            };
            token_request::get(parameters, credential.basic().or_else(|| as_password(identity?)))
        }
        Flow::Refresh => token_request::post(parameters, flow, identity?),
        Flow::Password => token_request::post(parameters, flow, credential.as_login()?),
    }
}

async fn read(mut reply: Reply, realm: &Uri) -> Result<Token, TransportError> {
    let limit = token::REPLY_LIMIT;
    let body = reply.document(limit).await.map_err(|error| match error.kind() {
        ErrorKind::TooLarge => {
            error.at(name(realm)).detail(format!("the reply has more than {limit} bytes"))
        }
        _ => with_service_clause(error),
    })?;
    token::parse(&body)
        .map_err(|clause| Error::new(ErrorKind::Unauthorized).at(name(realm)).detail(clause).into())
}
