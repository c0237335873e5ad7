//! Answers challenges: the outermost layer of the transport.
//!
//! Owns who is told what: credentials go to the registry's own origin and to the token service it
//! names, nowhere else. What a registry asked for once is remembered, so that later requests carry a
//! token from the start. It does not know where credentials come from (`credentials`) nor what a
//! request is for beyond its [`Access`].

mod account;
mod challenge;
mod scope;
mod token;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use longshore_core::{RegistryName, Result};

use self::account::Account;
pub(crate) use self::challenge::Challenge;
pub(crate) use self::scope::{Scope, Scopes};
use crate::credentials::CredentialStore;
use crate::origin::Origin;
use crate::reply::Identity;
use crate::transport::redirect::FinalUri;
use crate::transport::{Body, Transport, TransportError, replay};

/// What a request wants to do, carried in its extensions. One without it is sent as it is.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Whose credentials to use.
    pub(crate) registry: RegistryName,
    /// The registry's root URL: credentials go to its origin only.
    pub(crate) root: Uri,
    /// What a token is asked for.
    pub(crate) scopes: Scopes,
}

/// The layer that adds credentials and answers a 401 once.
pub(crate) struct Auth {
    inner: Arc<dyn Transport>,
    credentials: Arc<dyn CredentialStore>,
    accounts: Mutex<HashMap<RegistryName, Arc<Account>>>,
}

impl Auth {
    pub(crate) fn new(inner: Arc<dyn Transport>, credentials: Arc<dyn CredentialStore>) -> Self {
        Self { inner, credentials, accounts: Mutex::default() }
    }

    fn account(&self, registry: &RegistryName) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(registry.clone()).or_default())
    }

    /// Renews what a 401 refused, and sends the request again if it can be.
    async fn answer(
        &self,
        account: &Account,
        access: &Access,
        refused: Refused,
    ) -> Result<Response<Body>, TransportError> {
        let Refused { header, reply, again } = refused;
        let asked = account.learn(access, reply.headers(), &*self.credentials).await?;
        account.forget(header.as_ref());
        // A body that was streamed cannot be sent again: whoever sent it goes on from here.
        let Some(mut again) = again else { return Ok(reply) };
        let renewed = account.authorization(&*self.inner, access, &asked).await?;
        if renewed.is_none() || renewed == header {
            return Ok(reply);
        }
        reply.into_body().drain().await;
        authorize(&mut again, renewed);
        self.inner.send(again).await
    }
}

/// A request that was answered with 401.
struct Refused {
    header: Option<HeaderValue>,
    reply: Response<Body>,
    again: Option<Request<Body>>,
}

#[async_trait]
impl Transport for Auth {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let access = request.extensions().get::<Access>().cloned();
        let own = |access: &Access, uri: &Uri| Origin::of(&access.root) == Origin::of(uri);
        let Some(access) = access.filter(|access| own(access, request.uri())) else {
            return self.inner.send(request).await;
        };
        let account = self.account(&access.registry);
        let header = account.authorization(&*self.inner, &access, &Scopes::default()).await?;
        let again = replay(&request);
        authorize(&mut request, header.clone());
        let mut reply = self.inner.send(request).await?;
        // A storage behind a redirect has no business asking for the registry's credentials.
        let came_from = reply.extensions().get::<FinalUri>().is_none_or(|uri| own(&access, &uri.0));
        if reply.status() == StatusCode::UNAUTHORIZED && came_from {
            reply = self.answer(&account, &access, Refused { header, reply, again }).await?;
        }
        reply.extensions_mut().insert(Identity(account.identity()));
        Ok(reply)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Auth({:?}, {:?})", self.credentials, self.inner)
    }
}

fn authorize(request: &mut Request<Body>, header: Option<HeaderValue>) {
    if let Some(header) = header {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
}
