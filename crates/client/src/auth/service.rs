//! Asking a token service.

use http::{StatusCode, Uri};
use longshore_core::{Error, ErrorKind};

use super::method::Service;
use super::policy::Authentication;
use super::scope::Scopes;
use super::token;
use super::token_request::{self, Wanted, Way};
use crate::credentials::{Credential, Login};
use crate::origin::Origin;
use crate::reply::{Identity, Reply};
use crate::transport::trial::ValidCertificate;
use crate::transport::{Body, Transport, TransportError};

pub(super) use super::token::Token;

/// What is asked, where, and as whom.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The root of the registry that the token is for.
    pub(super) registry: &'a Uri,
    pub(super) service: &'a Service,
    pub(super) scopes: &'a Scopes,
    pub(super) credential: &'a Credential,
}

/// Gets a token, by the first way that the service knows.
pub(super) async fn fetch(
    transport: &dyn Transport,
    asked: Asked<'_>,
    settings: &Authentication,
) -> Result<Token, TransportError> {
    let Asked { registry, service, scopes, credential } = asked;
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
        let mut request = request(wanted, *way, credential).ok_or_else(|| {
            Error::new(ErrorKind::Unauthorized)
                .detail(format!("the address of the token service {host} cannot be used"))
        })?;
        // What was accepted of another registry was not for this one's secrets.
        if Origin::of(registry) != Origin::of(&service.realm) {
            request.extensions_mut().insert(ValidCertificate);
        }
        let reply = transport.send(request).await?;
        if reply.status() == StatusCode::OK {
            return read(reply.into_body(), host).await;
        }
        let unknown = way.is_unknown(reply.status().as_u16());
        // The first refusal is the one to tell: the other ways were second best.
        let mut reply = reply;
        reply.extensions_mut().insert(Identity {
            who: credential.source().to_owned(),
            secrets: credential.secrets(),
        });
        let error = Reply::new(reply, &service.realm).into_error().await;
        refusal.get_or_insert(error);
        if !unknown {
            break;
        }
    }
    let refused = format!("the token service {host} refused {}", credential.source());
    let error = refusal.unwrap_or_else(|| Error::new(ErrorKind::Unauthorized));
    Err(error.detail(refused).into())
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

async fn read(body: Body, host: &str) -> Result<Token, TransportError> {
    let body = body.into_stream().bytes(token::REPLY_LIMIT).await?;
    token::parse(&body).map_err(|clause| {
        let clause = format!("the token service {host} {clause}");
        Error::new(ErrorKind::Unauthorized).detail(clause).into()
    })
}
