//! The registry as a service: one request in, one response out.
//!
//! Owns the order of the checks: the size of a request's head, the path, and the caller. A handler
//! then answers the request. `serve` accepts the connections.

mod builder;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::header::{
    ALLOW, AUTHORIZATION, EXPECT, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use longshore_core::{ErrorCode, Result};

use crate::access::{Access, AccessRequest, Action, Decision, EndpointReply, Permissions};
use crate::answered::{Observer, RequestReport};
use crate::budget::Budget;
use crate::handler::{self, Call};
use crate::limits::RegistryLimits;
use crate::location::Locations;
use crate::query::Query;
use crate::reply::{self, Refusal};
use crate::repositories::Repositories;
use crate::request_body::Incoming;
use crate::response_body::Body;
use crate::route::Route;

pub use self::builder::RegistryBuilder;

/// A container registry: a [`tower_service::Service`] over [`Repositories`].
///
/// Serves every endpoint of distribution-spec 1.1, wherever the requests come from: behind
/// [`serve`](crate::serve), within another server, or in a test without sockets. Clones share
/// everything.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    repositories: Repositories,
    access: Arc<dyn Access>,
    limits: RegistryLimits,
    budget: Budget,
    offered: Permissions,
    allows_missing: bool,
    locations: Locations,
    observer: Option<Observer>,
    connections: AtomicUsize,
}

/// An open connection. Dropping it records that the connection was closed.
pub(crate) struct ConnectionGuard(Registry);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Returns a builder. By default, the registry is in memory and everyone has full access.
    #[must_use]
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::new()
    }

    /// Returns the repositories, to read or write them without HTTP.
    #[must_use]
    pub fn repositories(&self) -> &Repositories {
        &self.0.repositories
    }

    /// Removes the uploads that were idle for [`RegistryLimits::upload_idle`]. Returns their
    /// number.
    ///
    /// [`serve`](crate::serve) calls this method regularly. With another server, call it yourself.
    ///
    /// # Errors
    /// Same as [`Repositories::expire_uploads`].
    pub async fn expire_uploads(&self) -> Result<usize> {
        let idle = self.0.limits.upload_idle;
        self.0.repositories.expire_uploads(idle).await
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data: Send> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let waits = parts.headers.contains_key(EXPECT);
        let received = Arc::default();
        let mut report = self.0.report(&parts, &received);
        let body = Incoming::new(body, &self.0.limits, waits, received);
        let answered = self.0.answer(&parts, body, report.as_mut()).await;
        let mut response = answered.unwrap_or_else(Refusal::into_response);
        let headers = response.headers_mut();
        self.0.make_absolute(headers, &parts);
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        if let Some(report) = &mut report {
            report.answered.status = Some(response.status());
        }
        response.map(|body| body.report(report))
    }

    /// Refuses a request before any other check. The refusal is reported as for any other request.
    pub(crate) fn refuse<B>(&self, request: &Request<B>, refusal: Refusal) -> Response<Body> {
        let (method, uri) = (request.method(), request.uri());
        let observer = self.0.observer.as_ref();
        let mut report = RequestReport::begin(observer, method, uri, || "other", &Arc::default());
        if let Some(report) = &mut report {
            report.answered.status = Some(refusal.status());
            report.answered.peer = request.extensions().get().copied();
        }
        refusal.into_response().map(|body| body.report(report))
    }

    /// Returns the limits for clients.
    pub(crate) fn limits(&self) -> &RegistryLimits {
        &self.0.limits
    }

    /// Returns the number of open connections of [`serve`](crate::serve). Connections in a TLS
    /// handshake are not counted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Records an open connection.
    pub(crate) fn connected(&self) -> ConnectionGuard {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(self.clone())
    }
}

impl Inner {
    async fn answer(
        &self,
        parts: &Parts,
        body: Incoming,
        report: Option<&mut RequestReport>,
    ) -> Result<Response<Body>, Refusal> {
        check_size(parts)?;
        let authorization = authorization(parts)?;
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        if let Some(reply) = self.access.endpoint(path, query, authorization) {
            return endpoint_response(reply);
        }
        let route = Route::parse(path)?;
        let needed = handler::access_request(&route, &parts.method);
        self.check_access(authorization, &needed, report).await?;
        self.check_offered(&needed)?;
        let query = Query::parse(query);
        let query = query.map_err(|e| Refusal::invalid(ErrorCode::UNSUPPORTED, &e))?;
        let call = Call {
            repositories: &self.repositories,
            access: &*self.access,
            limits: &self.limits,
            budget: &self.budget,
            offered: self.offered,
            allows_missing: self.allows_missing,
            method: &parts.method,
            headers: &parts.headers,
            query,
            authorization,
        };
        handler::answer(route, &call, body).await
    }

    fn report(&self, parts: &Parts, received: &Arc<AtomicU64>) -> Option<RequestReport> {
        let route = || Route::parse(parts.uri.path()).map_or("other", |route| route.kind());
        let observer = self.observer.as_ref();
        let mut report =
            RequestReport::begin(observer, &parts.method, &parts.uri, route, received)?;
        report.answered.peer = parts.extensions.get().copied();
        Some(report)
    }

    /// Prepends the address at which clients reach the registry to the path in `Location`.
    fn make_absolute(&self, headers: &mut HeaderMap, request: &Parts) {
        let path = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(path) = path.filter(|path| path.starts_with('/'))
            && let Some(base) = self.locations.base(request)
            && let Ok(location) = HeaderValue::from_str(&format!("{base}{path}"))
        {
            headers.insert(LOCATION, location);
        }
    }

    /// Refuses changes if the registry is read-only. If only deletes are disabled, the handlers
    /// refuse them.
    fn check_offered(&self, needed: &AccessRequest<'_>) -> Result<(), Refusal> {
        if needed.action == Action::Pull || self.offered != Permissions::PULL {
            return Ok(());
        }
        let refusal = Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::UNSUPPORTED,
            "the registry is read-only",
        );
        Err(refusal.with(ALLOW, HeaderValue::from_static("GET, HEAD")))
    }

    async fn check_access(
        &self,
        authorization: Option<&str>,
        needed: &AccessRequest<'_>,
        report: Option<&mut RequestReport>,
    ) -> Result<(), Refusal> {
        let decision = self.access.authorize(authorization, needed).await;
        if let (Some(report), Decision::Granted | Decision::Denied) = (report, &decision) {
            report.answered.user = self.access.user_name(authorization);
        }
        match decision {
            Decision::Granted => Ok(()),
            Decision::Challenged(challenge) => Err(challenged(&challenge)?),
            Decision::Denied => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                ErrorCode::DENIED,
                "the credentials do not allow this request",
            )),
            Decision::Later(wait) => {
                let refusal = Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    ErrorCode::TOOMANYREQUESTS,
                    "too many passwords are being checked",
                );
                Err(refusal.with(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))))
            }
        }
    }
}

/// Refuses a request whose head is larger than that of any legitimate client.
fn check_size(parts: &Parts) -> Result<(), Refusal> {
    let uri = parts.uri.path_and_query().map_or(0, |p| p.as_str().len());
    let headers = parts.headers.iter();
    let headers: usize = headers.map(|(k, v)| k.as_str().len() + v.len()).sum();
    let status = match (uri, headers) {
        (uri, _) if uri > URI_LIMIT => StatusCode::URI_TOO_LONG,
        (_, headers) if headers > HEADER_LIMIT => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        _ => return Ok(()),
    };
    Err(Refusal::new(status, ErrorCode::UNSUPPORTED, "the request's head is too large"))
}

fn authorization(parts: &Parts) -> Result<Option<&str>, Refusal> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let first = values.next().map(|value| value.to_str().unwrap_or("-"));
    match values.next() {
        Some(_) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::UNAUTHORIZED,
            "more than one Authorization header",
        )),
        None => Ok(first),
    }
}

fn endpoint_response(reply: EndpointReply) -> Result<Response<Body>, Refusal> {
    match reply {
        EndpointReply::Document(document) => {
            Ok(reply::json(StatusCode::OK, "application/json", &document))
        }
        EndpointReply::Challenged(challenge) => Err(challenged(&challenge)?),
        EndpointReply::Refused(message) => {
            Err(Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::UNSUPPORTED, message))
        }
    }
}

fn challenged(challenge: &str) -> Result<Refusal, Refusal> {
    let refusal =
        Refusal::new(StatusCode::UNAUTHORIZED, ErrorCode::UNAUTHORIZED, "authentication required");
    Ok(refusal.with(WWW_AUTHENTICATE, reply::header_value(&challenge)?))
}

impl<B> tower_service::Service<Request<B>> for Registry
where
    B: http_body::Body<Data: Send> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let registry = self.clone();
        Box::pin(async move { Ok(registry.answer(request).await) })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({:?})", self.0.repositories)
    }
}

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
/// 16 KiB: enough for a few hundred tags as parameters.
const URI_LIMIT: usize = 16 << 10;
/// 64 KiB: the tokens of large organizations reach 20 KiB.
const HEADER_LIMIT: usize = 64 << 10;
