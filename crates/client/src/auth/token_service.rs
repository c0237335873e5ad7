//! Gets tokens from a token service.

use http::{Response, StatusCode, Uri};
use longshore_core::{Error, ErrorKind};

use super::method::Service;
use super::policy::Authentication;
use super::scope::Scopes;
use super::token::{self, Token};
use super::token_request::{self, Wanted, Way};
use crate::credentials::{Credential, Login};
use crate::redact::redacted;
use crate::reply::{Identity, Reply, Secrets};
use crate::transport::{Body, Transport, TransportError};

/// A request for a token: the service, the scopes and the credential.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) service: &'a Service,
    pub(super) scopes: &'a Scopes,
    pub(super) credential: &'a Credential,
}

/// Gets a token in the first way that the service supports.
pub(super) async fn fetch(
    transport: &dyn Transport,
    asked: Asked<'_>,
    settings: &Authentication,
) -> Result<Token, TransportError> {
    let Asked { service, scopes, credential } = asked;
    let host = service.realm.host().unwrap_or_default();
    let wanted = Wanted {
        realm: &service.realm,
        service: service.service.as_deref(),
        scopes,
        client_id: settings.client_id.as_deref(),
        offline: settings.offline_token,
    };
    let ways = Way::all(credential.kind(), settings.offline_token);
    let mut refusal = None;
    for way in ways {
        let request = request(wanted, *way, credential).ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized)
                .detail(format!("the address of the token service {host} cannot be used"))
        })?;
        let reply = transport.send(request).await.map_err(asking)?;
        if reply.status() == StatusCode::OK {
            return read(Reply::new(reply, &service.realm), &service.realm).await;
        }
        let unknown = way.is_unknown(reply.status().as_u16());
        let error = refused(reply, &service.realm, credential).await;
        // The first refusal is reported: the other ways are fallbacks.
        refusal.get_or_insert(error);
        if !unknown {
            break;
        }
    }
    Err(refusal.unwrap_or_else(|| Error::new(ErrorKind::Unauthorized)).into())
}

/// Names the token service in a failure, because it may be at another host than the registry.
fn asking(error: TransportError) -> TransportError {
    let (fault, error) = (error.fault(), error.into_error());
    TransportError::new(fault, blamed(error))
}

fn blamed(error: Error) -> Error {
    let clause = format!("asking the token service: {error}");
    error.with_clause(clause)
}

/// Names the token service in errors.
fn name(realm: &Uri) -> String {
    format!("token service {}", redacted(realm))
}

/// Makes an error of a reply without a token.
async fn refused(mut reply: Response<Body>, realm: &Uri, credential: &Credential) -> Error {
    let status = reply.status();
    let who = credential.source();
    let credential = credential.clone();
    let secrets = Secrets::new(move || credential.secrets());
    reply.extensions_mut().insert(Identity { who: who.to_owned(), secrets });
    let error = Reply::new(reply, realm).into_error().await;
    match status.as_u16() {
        // This is about the thing asked for at the registry, too.
        401 | 403 => error.detail(format!("the {} refused {who}", name(realm))),
        408 | 429 | 500 | 502..=599 => error.at(name(realm)),
        // A 404 there, for example, does not mean that the thing asked for at the registry is missing.
        status => Error::new(ErrorKind::Unauthorized)
            .at(name(realm))
            .detail(format!("it issued no token to {who} (HTTP {status})"))
            .with_registry_errors(error.registry_errors().to_vec()),
    }
}

fn request(wanted: Wanted<'_>, way: Way, credential: &Credential) -> Option<http::Request<Body>> {
    let identity = credential.identity();
    match way {
        Way::Get => {
            // A service that knows no OAuth2 takes an identity token as its user's password.
            let as_password = |login: &Login| match login.user.as_str() {
                "" => {
                    Login { user: "<token>".to_owned(), password: login.password.clone() }.basic()
                }
                _ => login.basic(),
            };
            token_request::get(wanted, credential.basic().or_else(|| as_password(identity?)))
        }
        Way::Refresh => token_request::post(wanted, way, identity?),
        Way::Password => token_request::post(wanted, way, credential.as_login()?),
    }
}

async fn read(mut reply: Reply, realm: &Uri) -> Result<Token, TransportError> {
    let limit = token::REPLY_LIMIT;
    let body = reply.document(limit).await.map_err(|error| match error.kind() {
        ErrorKind::TooLarge => {
            error.at(name(realm)).detail(format!("its answer has more than {limit} bytes"))
        }
        _ => blamed(error),
    })?;
    token::parse(&body)
        .map_err(|clause| Error::new(ErrorKind::Unauthorized).at(name(realm)).detail(clause).into())
}
