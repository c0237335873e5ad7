//! Chooses the registry and token for requests of the v1 API.

use std::fmt;

use bytes::Bytes;
use longshore::http::header::CONTENT_TYPE;
use longshore::http::{HeaderMap, HeaderValue, Method};
use longshore::{Body, Client, RawDocument, RawReply, RawRequest, RegistryName, Result};
use serde::de::DeserializeOwned;

/// A v1 registry that is ready for requests.
#[derive(Clone)]
pub(super) struct Site {
    client: Client,
    registry: RegistryName,
    /// The token that an index issued for one repository. Without a token, credentials are sent as
    /// usual.
    token: Option<Token>,
}

/// A token, and the index that issued it.
#[derive(Clone)]
struct Token {
    index: RegistryName,
    value: HeaderValue,
}

impl Site {
    pub(super) fn new(client: &Client, registry: &RegistryName) -> Self {
        Self { client: client.clone(), registry: registry.clone(), token: None }
    }

    /// Returns the registry that an index names, or the index itself. Requests carry the index's
    /// token.
    pub(super) fn with_token(&self, value: HeaderValue, endpoint: Option<RegistryName>) -> Self {
        let index = self.registry.clone();
        let registry = endpoint.unwrap_or_else(|| index.clone());
        Self { client: self.client.clone(), registry, token: Some(Token { index, value }) }
    }

    pub(super) fn registry(&self) -> &RegistryName {
        &self.registry
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Returns a request to a path below `/v1/`. `about` names the requested item in errors.
    pub(super) fn ask(
        &self,
        method: Method,
        path: &[&str],
        about: impl fmt::Display,
    ) -> RawRequest {
        let request = RawRequest::new(method, format!("/v1/{}", path.join("/"))).about(about);
        match &self.token {
            Some(Token { index, value }) => request.authorized_by(index, value.clone()),
            None => request,
        }
    }

    pub(super) async fn send(&self, request: RawRequest) -> Result<RawReply> {
        self.client.request(&self.registry, request).await
    }

    /// Sends a request, and returns the headers of the successful reply.
    pub(super) async fn change(&self, request: RawRequest) -> Result<HeaderMap> {
        let mut reply = self.send(request).await?.expect(&[200, 201, 202, 204]).await?;
        let headers = std::mem::take(&mut reply.headers);
        reply.drain().await;
        Ok(headers)
    }

    pub(super) async fn fetch(&self, request: RawRequest) -> Result<RawDocument> {
        self.client.fetch(&self.registry, request, REPLY_LIMIT).await
    }

    /// Fetches a JSON document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        about: impl fmt::Display,
    ) -> Result<T> {
        self.fetch(self.ask(Method::GET, path, about)).await?.json()
    }
}

/// Returns the value of a header, if it is text.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Returns the request with a JSON body.
pub(super) fn with_json(request: RawRequest, body: Bytes) -> RawRequest {
    request
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Body::Bytes(body))
}

/// Maximum size of a reply: 8 MiB, as for the pages of other listings.
const REPLY_LIMIT: usize = 8 << 20;
