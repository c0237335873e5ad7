//! Where requests of the v1 API go, and with which token.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Uri};
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use serde::de::DeserializeOwned;

use crate::auth::Scopes;
use crate::credentials::Leave;
use crate::exchange::{Ask, Exchange};
use crate::reply::{Reply, json};
use crate::transport::Body;

/// Makes a way to any registry: an index names others.
pub(crate) type Exchanges = Arc<dyn Fn(&RegistryName) -> Exchange + Send + Sync>;

/// A v1 registry, ready to be asked.
#[derive(Clone)]
pub(super) struct Site {
    exchanges: Exchanges,
    exchange: Exchange,
    /// What an index gave for one repository; without it, credentials go as everywhere.
    token: Option<HeaderValue>,
}

impl Site {
    pub(super) fn new(exchanges: Exchanges, registry: &RegistryName) -> Self {
        let exchange = exchanges(registry);
        Self { exchanges, exchange, token: None }
    }

    /// The same with a token; at another registry, if one is given.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) where the token would go over plain HTTP unasked.
    pub(super) async fn with_token(
        &self,
        token: HeaderValue,
        endpoint: Option<&RegistryName>,
    ) -> Result<Self> {
        let exchange = match endpoint {
            Some(registry) => (self.exchanges)(registry),
            None => self.exchange.clone(),
        };
        // What a registry gives for itself may go back there as its credentials may.
        let own = exchange.registry() == self.exchange.registry();
        let leave = if own { Leave::ThisMachine } else { Leave::Nowhere };
        if exchange.danger().await?.is_some_and(|danger| !danger.is_accepted(leave)) {
            return Err(Error::new(ErrorKind::Denied)
                .at(exchange.registry())
                .detail(
                    "the index's token is not sent over plain HTTP or to a server with an invalid \
                     certificate unless you allow it",
                )
                .with_hint("Set this registry's scheme to http, or skip its verification."));
        }
        Ok(Self { exchanges: Arc::clone(&self.exchanges), exchange, token: Some(token) })
    }

    pub(super) fn registry(&self) -> &RegistryName {
        self.exchange.registry()
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// A URL below `/v1/`.
    pub(super) fn uri<'a>(
        &self,
        path: impl IntoIterator<Item = &'a str>,
        query: &[(&str, &str)],
    ) -> Result<Uri> {
        Ok(self.exchange.endpoint()?.v1(path, query))
    }

    pub(super) fn ask<'a>(
        &self,
        method: Method,
        path: impl IntoIterator<Item = &'a str>,
        about: impl fmt::Display,
    ) -> Result<Ask> {
        let ask = Ask::new(method, self.uri(path, &[])?, Scopes::default(), about);
        Ok(match &self.token {
            Some(token) => ask.authorized(token.clone()),
            None => ask,
        })
    }

    pub(super) async fn send(&self, ask: Ask) -> Result<Reply> {
        self.exchange.send(ask).await
    }

    /// Sends a request that changes something, and reads its reply away.
    pub(super) async fn change(&self, ask: Ask) -> Result<Reply> {
        let mut reply = self.exchange.expect(ask, &[200, 201, 202, 204]).await?;
        std::mem::take(&mut reply.body).drain().await;
        Ok(reply)
    }

    pub(super) async fn expect(&self, ask: Ask) -> Result<Reply> {
        self.exchange.expect(ask, &[200]).await
    }

    pub(super) async fn fetch(&self, ask: Ask) -> Result<(Reply, Bytes)> {
        self.exchange.fetch(ask, REPLY_LIMIT).await
    }

    /// Reads a JSON document.
    pub(super) async fn get<'a, T: DeserializeOwned>(
        &self,
        path: impl IntoIterator<Item = &'a str>,
        about: impl fmt::Display,
    ) -> Result<T> {
        let (reply, body) = self.fetch(self.ask(Method::GET, path, about)?).await?;
        json(&reply.uri, &body)
    }
}

/// The same request with a JSON body.
pub(super) fn with_json(ask: Ask, body: Bytes) -> Ask {
    ask.header(CONTENT_TYPE.as_str(), HeaderValue::from_static("application/json"))
        .body(Body::Bytes(body))
}

/// 8 MiB: as the pages of other listings.
const REPLY_LIMIT: usize = crate::listing::PAGE_LIMIT;
