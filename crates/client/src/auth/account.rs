//! What is known of one registry: how it authenticates, as whom, and the tokens it gave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use longshore_core::{Error, ErrorKind, Result};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::Access;
use super::challenge::{Bearer, Challenge};
use super::scope::Scopes;
use super::token;
use crate::credentials::{Credential, CredentialStore};
use crate::origin::Origin;
use crate::reply::Reply;
use crate::transport::{Transport, TransportError};

/// One registry, as this client knows it.
#[derive(Default)]
pub(crate) struct Account {
    credential: OnceCell<Credential>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    method: Option<Method>,
    /// By what requests want; the grant may be for more.
    grants: HashMap<Scopes, Grant>,
    /// One request for a token at a time, for each of what is wanted.
    gates: HashMap<Scopes, Arc<tokio::sync::Mutex<()>>>,
}

/// How the registry authenticates.
#[derive(Clone)]
enum Method {
    Basic,
    Bearer(Service),
}

/// A token service that may be given the credentials.
#[derive(Clone)]
struct Service {
    realm: Uri,
    service: Option<String>,
    basic_too: bool,
}

#[derive(Clone)]
struct Grant {
    asked: Scopes,
    /// Gone once it was refused; what was asked is still worth knowing.
    header: Option<HeaderValue>,
    expires: Instant,
}

impl Account {
    /// As whom requests are sent, in a clause for errors.
    pub(crate) fn identity(&self) -> String {
        match self.credential.get() {
            Some(credential) => credential.source().to_owned(),
            None => "anonymous (the registry asked for no credentials)".to_owned(),
        }
    }

    /// What to put into the `Authorization` header, as far as the registry's ways are known.
    ///
    /// Gets a token if there is none that covers what is wanted. `also` are scopes that the registry
    /// asked for itself.
    pub(crate) async fn authorization(
        &self,
        transport: &dyn Transport,
        access: &Access,
        also: &Scopes,
    ) -> Result<Option<HeaderValue>, TransportError> {
        let (Some(method), Some(credential)) = (self.known().method.clone(), self.credential.get())
        else {
            return Ok(None);
        };
        let Method::Bearer(service) = method else { return Ok(credential.basic()) };
        let gate = Arc::clone(self.known().gates.entry(access.scopes.clone()).or_default());
        let _one_at_a_time = gate.lock().await;
        let wanted = access.scopes.and(also);
        if let Some(header) = self.known().current(&wanted) {
            return Ok(Some(header));
        }
        let asked = match self.known().grants.get(&access.scopes) {
            Some(grant) => grant.asked.and(&wanted),
            None => wanted,
        };
        match fetch(transport, &service, &asked, credential).await {
            Ok(token) => {
                let header = Some(token.header.clone());
                let expires = Instant::now() + token.lifetime;
                let grant = Grant { asked, header, expires };
                self.known().grants.insert(access.scopes.clone(), grant);
                Ok(Some(token.header))
            }
            Err(error) if service.basic_too && credential.as_login().is_some() => {
                tracing::debug!(error = %error.into_error(), "falling back to Basic");
                self.known().method = Some(Method::Basic);
                Ok(credential.basic())
            }
            Err(error) => Err(error),
        }
    }

    /// Learns from a 401 how the registry authenticates; returns the scopes that it names.
    pub(crate) async fn learn(
        &self,
        access: &Access,
        headers: &HeaderMap,
        store: &dyn CredentialStore,
    ) -> Result<Scopes> {
        let unusable = |clause: &str| {
            Error::new(ErrorKind::Unauthorized).detail(clause.to_owned()).with_status(401)
        };
        let challenges = Challenge::all(headers).map_err(unusable)?;
        let repository = access.scopes.repository();
        self.credential
            .get_or_try_init(|| store.get(&access.registry, repository.as_ref()))
            .await?;
        // Google's registries answer some requests without saying how: then as before.
        if challenges.is_empty() {
            return Ok(Scopes::default());
        }
        let (method, scopes) = choose(&challenges, &access.root).map_err(|e| unusable(&e))?;
        let mut known = self.known();
        if let (Some(Method::Bearer(before)), Method::Bearer(now)) = (&known.method, &method)
            && Origin::of(&before.realm) != Origin::of(&now.realm)
        {
            return Err(unusable("the registry names another token service than before"));
        }
        // Once Basic took the place of a token service that failed, it stays.
        let fell_back =
            matches!(known.method, Some(Method::Basic)) && challenges.contains(&Challenge::Basic);
        if !fell_back {
            known.method = Some(method);
        }
        Ok(scopes)
    }

    /// Drops the token that was refused.
    pub(crate) fn forget(&self, refused: Option<&HeaderValue>) {
        let Some(refused) = refused else { return };
        for grant in self.known().grants.values_mut() {
            if grant.header.as_ref() == Some(refused) {
                grant.header = None;
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn current(&self, wanted: &Scopes) -> Option<HeaderValue> {
        let now = Instant::now();
        let good = |grant: &&Grant| grant.expires > now + EARLY && grant.asked.cover(wanted);
        self.grants.values().filter(good).find_map(|grant| grant.header.clone())
    }
}

/// Chooses among challenges: a token service that may be used, else Basic.
fn choose(challenges: &[Challenge], registry: &Uri) -> Result<(Method, Scopes), String> {
    let basic_too = challenges.contains(&Challenge::Basic);
    let mut refusal = None;
    for challenge in challenges {
        let Challenge::Bearer(bearer) = challenge else { continue };
        match token::realm(registry, bearer) {
            Ok(realm) => {
                let Bearer { service, scopes, .. } = bearer.clone();
                return Ok((Method::Bearer(Service { realm, service, basic_too }), scopes));
            }
            Err(clause) => refusal = Some(format!("the address of the token service {clause}")),
        }
    }
    if basic_too {
        return Ok((Method::Basic, Scopes::default()));
    }
    Err(refusal.unwrap_or_else(|| {
        let schemes: Vec<_> = challenges.iter().map(Challenge::scheme).collect();
        format!("the registry offers {} only, which is not supported", schemes.join(", "))
    }))
}

/// Gets a token.
async fn fetch(
    transport: &dyn Transport,
    service: &Service,
    asked: &Scopes,
    credential: &Credential,
) -> Result<token::Token, TransportError> {
    let host = service.realm.host().unwrap_or_default();
    let request =
        token::request(&service.realm, service.service.as_deref(), asked, credential.basic())
            .ok_or_else(|| {
                Error::new(ErrorKind::Unauthorized)
                    .detail(format!("the address of the token service {host} cannot be used"))
            })?;
    let reply = transport.send(request).await?;
    if reply.status() != StatusCode::OK {
        let refused = format!("the token service {host} refused {}", credential.source());
        return Err(Reply::new(reply, &service.realm).into_error().await.detail(refused).into());
    }
    let body = reply.into_body().into_stream().bytes(token::REPLY_LIMIT).await?;
    token::parse(&body).map_err(|clause| {
        let clause = format!("the token service {host} {clause}");
        Error::new(ErrorKind::Unauthorized).detail(clause).into()
    })
}

/// 5 s: a token that is about to expire would do so on its way. Less than any real lifetime.
const EARLY: Duration = Duration::from_secs(5);
