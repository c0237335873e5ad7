//! Requests to one registry: what all operations of a repository or catalog go through.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri};
use longshore_core::{Error, ErrorKind, RegistryName, Result};

use crate::auth::{Access, Scopes};
use crate::endpoint::Endpoint;
use crate::reply::Reply;
use crate::transport::{Body, Transport, replay};

/// A registry, ready to be asked.
#[derive(Clone)]
pub(crate) struct Exchange {
    transport: Arc<dyn Transport>,
    registry: RegistryName,
    /// `None` where the registry's host is none after all.
    endpoint: Option<Endpoint>,
}

/// One request, and what it is about.
pub(crate) struct Ask {
    request: Request<Body>,
    scopes: Scopes,
    about: String,
}

impl Ask {
    /// A request without a body, for `scopes`. `about` names the thing asked for in errors.
    pub(crate) fn new(method: Method, uri: Uri, scopes: Scopes, about: impl fmt::Display) -> Self {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        Self { request, scopes, about: about.to_string() }
    }

    /// The same with a header.
    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// The same once more, if its body is not a stream.
    fn again(&self) -> Option<Self> {
        let request = replay(&self.request)?;
        Some(Self { request, scopes: self.scopes.clone(), about: self.about.clone() })
    }

    /// The same with a body.
    pub(crate) fn body(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }
}

impl Exchange {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        registry: RegistryName,
        endpoint: Option<Endpoint>,
    ) -> Self {
        Self { transport, registry, endpoint }
    }

    pub(crate) fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// The registry's URLs.
    pub(crate) fn endpoint(&self) -> Result<&Endpoint> {
        self.endpoint.as_ref().ok_or_else(|| {
            Error::new(ErrorKind::Invalid).at(&self.registry).detail("no host has that name")
        })
    }

    /// Sends a request. Any status is a reply.
    pub(crate) async fn send(&self, ask: Ask) -> Result<Reply> {
        let Ask { mut request, scopes, about } = ask;
        let root = self.endpoint()?.root();
        let registry = self.registry.clone();
        request.extensions_mut().insert(Access { registry, root, scopes });
        let uri = request.uri().clone();
        match self.transport.send(request).await {
            Ok(response) => Ok(Reply::new(response, &uri)),
            Err(error) => Err(error.into_error().at(about)),
        }
    }

    /// Sends a request as nobody, and takes a challenge for an answer.
    pub(crate) async fn send_anonymously(&self, ask: Ask) -> Result<Reply> {
        let uri = ask.request.uri().clone();
        match self.transport.send(ask.request).await {
            Ok(response) => Ok(Reply::new(response, &uri)),
            Err(error) => Err(error.into_error().at(ask.about)),
        }
    }

    /// Sends a request that must be answered with one of these statuses.
    pub(crate) async fn expect(&self, ask: Ask, statuses: &[u16]) -> Result<Reply> {
        let about = ask.about.clone();
        self.send(ask).await?.expect(statuses).await.map_err(|e| e.at(about))
    }

    /// Sends a request and reads the whole body of its 200, of at most `limit` bytes.
    ///
    /// A body that breaks off is asked for again: the transport's own attempts end with the head.
    pub(crate) async fn fetch(&self, ask: Ask, limit: usize) -> Result<(Reply, Bytes)> {
        let (mut ask, mut attempt) = (ask, 1);
        loop {
            let (about, again) = (ask.about.clone(), ask.again());
            let mut reply = self.expect(ask, &[200]).await?;
            let body = std::mem::take(&mut reply.body).into_stream().bytes(limit).await;
            ask = match (body, again) {
                (Ok(body), _) => return Ok((reply, body)),
                (Err(e), Some(again)) if attempt < FETCH_ATTEMPTS && is_broken(&e) => {
                    tracing::debug!(error = %e, "asking again for a reply that broke off");
                    again
                }
                (Err(e), _) => return Err(e.at(about)),
            };
            attempt += 1;
        }
    }
}

/// Whether a body broke on its way, so that asking again may help.
pub(crate) fn is_broken(error: &Error) -> bool {
    error.status().is_none() && matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout)
}

/// 3 attempts at small bodies.
const FETCH_ATTEMPTS: usize = 3;
