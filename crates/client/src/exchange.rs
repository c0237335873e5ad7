//! Sends requests to one registry, for all operations of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, IntoHeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use longshore_core::{Error, ErrorKind, RegistryName, Result};

use crate::attempts::{Series, is_broken};
use crate::auth::Scopes;
use crate::config::{Limits, RetryPolicy};
use crate::credentials::Credential;
use crate::endpoint::Endpoint;
use crate::host::{Host, Hosts};
use crate::reply::{Identity, Reply, Secrets};
use crate::transport::deadline::Deadline;
use crate::transport::{Body, Transport, TransportError, replay};
use crate::waiting::{Again, pause};

/// A registry, with the limits of its requests and the count of their failures.
#[derive(Clone)]
pub(crate) struct Exchange {
    hosts: Arc<Hosts>,
    registry: RegistryName,
    limits: Arc<Limits>,
    /// Counts the failures of all requests together. If `None`, each request has its own count.
    series: Option<Series>,
}

/// A request, and the name of the requested item for errors.
pub(crate) struct RegistryRequest {
    request: Request<Body>,
    scopes: Scopes,
    about: String,
}

impl RegistryRequest {
    /// Creates a request without a body. `scopes` states the access that the request needs, and
    /// `about` names the requested item in errors.
    pub(crate) fn new(method: Method, uri: Uri, scopes: Scopes, about: impl fmt::Display) -> Self {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        Self::of(request, scopes, about)
    }

    /// Creates a request from an HTTP request.
    pub(crate) fn of(request: Request<Body>, scopes: Scopes, about: impl fmt::Display) -> Self {
        Self { request, scopes, about: about.to_string() }
    }

    /// Returns the name of the requested item for errors.
    pub(crate) fn about(&self) -> &str {
        &self.about
    }

    /// Returns the request with a header.
    pub(crate) fn header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.request.headers_mut().insert(name, value);
        self
    }

    /// Returns a copy, unless the body is a stream.
    fn again(&self) -> Option<Self> {
        let request = replay(&self.request)?;
        Some(Self { request, scopes: self.scopes.clone(), about: self.about.clone() })
    }

    /// Returns the request with a body.
    pub(crate) fn body(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }
}

impl Exchange {
    pub(crate) fn new(hosts: Arc<Hosts>, registry: RegistryName, limits: Arc<Limits>) -> Self {
        Self { hosts, registry, limits, series: None }
    }

    /// Returns the exchange with other limits.
    pub(crate) fn with_limits(&self, limits: Limits) -> Self {
        Self { limits: Arc::new(limits), ..self.clone() }
    }

    /// Returns the exchange for one operation. The failures of its requests are counted in
    /// `series`.
    pub(crate) fn in_series(&self, series: &Series) -> Self {
        Self { series: Some(series.clone()), ..self.clone() }
    }

    pub(crate) fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// Returns the retry policy.
    pub(crate) fn retry(&self) -> &RetryPolicy {
        &self.hosts.config().retry
    }

    /// Waits before a retry. `failed` is the reply's error, if a reply arrived.
    pub(crate) async fn pause(&self, wait: Duration, failed: Option<&Error>, next: &'static str) {
        let status = failed.and_then(Error::status);
        let why = Again {
            host: &self.registry,
            status: status.and_then(|status| StatusCode::from_u16(status).ok()),
            has_retry_after: failed.is_some_and(|error| error.retry_after().is_some()),
            next,
        };
        self.hosts.recorder().counters.retry(wait);
        pause(wait, why).await;
    }

    /// Returns the registry. Its scheme and URL are determined on first use.
    pub(crate) async fn host(&self) -> Result<Arc<Host>> {
        let host = self.deadline().bound(self.hosts.get(&self.registry)).await;
        host.and_then(|host| host).map_err(|e| e.at(format!("registry {}", self.registry)))
    }

    /// Returns the registry's URLs.
    pub(crate) async fn endpoint(&self) -> Result<Endpoint> {
        Ok(self.host().await?.endpoint.clone())
    }

    /// Sends a request. Returns the reply, whatever its status.
    pub(crate) async fn send(&self, request: RegistryRequest) -> Result<Reply> {
        self.send_by(request, true, self.deadline()).await
    }

    /// Sends a request without credentials. Returns a challenge like any other reply.
    pub(crate) async fn send_anonymously(&self, request: RegistryRequest) -> Result<Reply> {
        self.send_by(request, false, self.deadline()).await
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.limits.total)
    }

    async fn send_by(
        &self,
        request: RegistryRequest,
        identified: bool,
        deadline: Deadline,
    ) -> Result<Reply> {
        let RegistryRequest { mut request, scopes, about } = request;
        let uri = request.uri().clone();
        let work = async {
            let host = self.hosts.get(&self.registry).await?;
            let own = own_identity(request.headers());
            if identified && own.is_none() {
                request.extensions_mut().insert(host.access(scopes));
            }
            request.extensions_mut().insert(Arc::clone(&self.limits));
            if let Some(series) = &self.series {
                request.extensions_mut().insert(series.clone());
            }
            let mut response = host.auth.send(request).await.map_err(TransportError::into_error)?;
            if let Some(own) = own {
                response.extensions_mut().insert(own);
            }
            let body = std::mem::take(response.body_mut());
            *response.body_mut() = deadline.watch(body);
            Ok(Reply::new(response, &uri))
        };
        let done = deadline.bound(work).await.and_then(|done| done);
        done.map_err(|e| e.at(about).with_url(crate::redact::redacted(&uri)))
    }

    /// Sends a request whose reply must have one of these statuses.
    pub(crate) async fn expect(&self, request: RegistryRequest, statuses: &[u16]) -> Result<Reply> {
        self.expect_by(request, statuses, self.deadline()).await
    }

    async fn expect_by(
        &self,
        request: RegistryRequest,
        statuses: &[u16],
        deadline: Deadline,
    ) -> Result<Reply> {
        let about = request.about.clone();
        let reply = self.send_by(request, true, deadline).await?;
        reply.expect(statuses).await.map_err(|e| e.at(about))
    }

    /// Sends a request and reads the whole body of its 200 reply, of at most `limit` bytes.
    ///
    /// If the body is incomplete, the request is sent again. The transport itself retries only
    /// until the reply's head has arrived. Both kinds of failures are counted together.
    pub(crate) async fn fetch(
        &self,
        request: RegistryRequest,
        limit: usize,
    ) -> Result<(Reply, Bytes)> {
        self.fetch_within(request, limit).await?
    }

    /// Same as [`fetch`](Self::fetch), except that the inner result is the error for a body larger
    /// than `limit`. All other errors are outer errors, even the error for a reply of a token
    /// service that is too large.
    pub(crate) async fn fetch_within(
        &self,
        request: RegistryRequest,
        limit: usize,
    ) -> Result<Result<(Reply, Bytes)>> {
        let mut request = request;
        let series = self.series.clone().unwrap_or_default();
        let (exchange, deadline) = (self.in_series(&series), self.deadline());
        loop {
            let (about, again) = (request.about.clone(), request.again());
            let mut reply = exchange.expect_by(request, &[200], deadline).await?;
            let body = reply.document(limit).await;
            let (error, next) = match (body, again) {
                (Ok(body), _) => return Ok(Ok((reply, body))),
                (Err(e), _) if e.kind() == ErrorKind::TooLarge => return Ok(Err(e.at(about))),
                (Err(e), Some(again)) if is_broken(&e) => (e, again),
                (Err(e), _) => return Err(e.at(about)),
            };
            let Some(wait) = series.fail(self.retry(), None) else { return Err(error.at(about)) };
            tracing::debug!(%error, "sending the request again after an incomplete reply");
            self.pause(wait, None, "the request is sent again").await;
            request = next;
        }
    }
}

/// Returns the identity of a request that has its own `Authorization` header.
fn own_identity(headers: &HeaderMap) -> Option<Identity> {
    let value = headers.get(AUTHORIZATION)?.clone();
    let description = "the request's own Authorization header".to_owned();
    Some(Identity {
        description,
        secrets: Secrets::new(move || Credential::from_header(&value).secrets()),
    })
}
