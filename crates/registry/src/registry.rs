//! The registry as a service: one request in, one response out.
//!
//! Owns the order in which a request is checked: its size, its path, its caller; then a handler
//! answers. It opens no sockets; `serve` does.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::header::{
    ALLOW, AUTHORIZATION, EXPECT, HeaderName, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use longshore_core::{Error, ErrorCode, ErrorKind, Result};

use crate::access::{Access, Issued, Need, Open, Right, Rights, Verdict};
use crate::answered::{Answered, Observer, Telling};
use crate::backend::{Backend, Disk, MemoryBackend};
use crate::handler::{self, Call};
use crate::incoming::Incoming;
use crate::limits::Limits;
use crate::location::Locations;
use crate::query::Query;
use crate::reply::{self, Body, Refusal};
use crate::route::Route;

/// A container registry: a [`tower_service::Service`] over a [`Backend`].
///
/// Answers every end-point of distribution-spec 1.1, wherever the requests come from: behind
/// [`serve`](crate::serve), within another server, or in a test without sockets. Clones share
/// everything.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    access: Arc<dyn Access>,
    limits: Limits,
    offered: Rights,
    allows_missing: bool,
    locations: Locations,
    observer: Option<Observer>,
    connections: AtomicUsize,
}

/// A connection that is open, until this is dropped.
pub(crate) struct Connected(Registry);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sets up a [`Registry`].
pub struct Builder {
    storage: Storage,
    access: Arc<dyn Access>,
    limits: Limits,
    offered: Rights,
    allows_missing: bool,
    public_url: Option<String>,
    observer: Option<Observer>,
    locations: Locations,
}

#[derive(Debug)]
enum Storage {
    Memory,
    Disk(PathBuf),
    Backend(Arc<dyn Backend>),
}

impl Registry {
    /// Starts with a registry in memory that everyone may use.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            storage: Storage::Memory,
            access: Arc::new(Open),
            limits: Limits::default(),
            offered: Rights::ALL,
            allows_missing: false,
            public_url: None,
            observer: None,
            locations: Locations::FromRequest { trust_proxy: false },
        }
    }

    /// Where the repositories are: for filling or reading them without HTTP.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    /// Drops the uploads that were idle for [`Limits::upload_idle`]; says how many.
    ///
    /// [`serve`](crate::serve) calls it now and then; whoever runs the service elsewhere does.
    ///
    /// # Errors
    /// As [`Backend::expire_uploads`].
    pub async fn expire_uploads(&self) -> Result<usize> {
        let idle = self.0.limits.upload_idle;
        self.0.backend.expire_uploads(idle).await
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
        let mut telling = self.0.telling(&parts, &received);
        let body = Incoming::new(body, &self.0.limits, waits, received);
        let answered = self.0.answer(&parts, body, telling.as_mut()).await;
        let mut response = answered.unwrap_or_else(Refusal::into_response);
        let headers = response.headers_mut();
        self.0.make_absolute(headers, &parts);
        headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
        headers.insert(NOSNIFF, HeaderValue::from_static("nosniff"));
        if parts.method == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        if let Some(telling) = &mut telling {
            telling.answered.status = Some(response.status());
        }
        response.map(|body| body.telling(telling))
    }

    /// Answers a request that goes no further, and tells of it as of any.
    pub(crate) fn refuse<B>(&self, request: &Request<B>, refusal: Refusal) -> Response<Body> {
        let (method, uri) = (request.method(), request.uri());
        let observer = self.0.observer.as_ref();
        let mut telling = Telling::begin(observer, method, uri, || "other", &Arc::default());
        if let Some(telling) = &mut telling {
            telling.answered.status = Some(refusal.status());
        }
        refusal.into_response().map(|body| body.telling(telling))
    }

    /// How many connections [`serve`](crate::serve) has open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Notes that a connection is open.
    pub(crate) fn connected(&self) -> Connected {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        Connected(self.clone())
    }
}

impl Inner {
    async fn answer(
        &self,
        parts: &Parts,
        body: Incoming,
        telling: Option<&mut Telling>,
    ) -> Result<Response<Body>, Refusal> {
        check_size(parts)?;
        let authorization = authorization(parts)?;
        let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
        if let Some(issued) = self.access.endpoint(path, query, authorization) {
            return issue(issued);
        }
        let route = Route::parse(path)?;
        let need = handler::need(&route, &parts.method);
        self.check_access(authorization, &need, telling).await?;
        if need.right != Right::Pull && self.offered == Rights::PULL {
            let refusal = Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorCode::UNSUPPORTED,
                "the registry is read-only",
            );
            return Err(refusal.with(ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
        let query = Query::parse(query);
        let query = query.map_err(|e| Refusal::invalid(ErrorCode::UNSUPPORTED, &e))?;
        let call = Call {
            backend: &*self.backend,
            access: &*self.access,
            limits: &self.limits,
            offered: self.offered,
            allows_missing: self.allows_missing,
            method: &parts.method,
            headers: &parts.headers,
            query,
            authorization,
        };
        handler::answer(route, &call, body).await
    }

    fn telling(&self, parts: &Parts, received: &Arc<AtomicU64>) -> Option<Telling> {
        let route = || Route::parse(parts.uri.path()).map_or("other", |route| route.kind());
        Telling::begin(self.observer.as_ref(), &parts.method, &parts.uri, route, received)
    }

    /// Puts what clients reach the registry by in front of the path in `Location`.
    fn make_absolute(&self, headers: &mut HeaderMap, request: &Parts) {
        let path = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        if let Some(path) = path
            && let Some(base) = self.locations.base(request)
            && let Ok(location) = HeaderValue::from_str(&format!("{base}{path}"))
        {
            headers.insert(LOCATION, location);
        }
    }

    async fn check_access(
        &self,
        authorization: Option<&str>,
        need: &Need<'_>,
        telling: Option<&mut Telling>,
    ) -> Result<(), Refusal> {
        let verdict = self.access.judge(authorization, need).await;
        if let (Some(telling), Verdict::Granted | Verdict::Denied) = (telling, &verdict) {
            telling.answered.user = self.access.user_name(authorization);
        }
        match verdict {
            Verdict::Granted => Ok(()),
            Verdict::Challenged(challenge) => Err(challenged(&challenge)?),
            Verdict::Denied => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                ErrorCode::DENIED,
                "these credentials do not allow it",
            )),
            Verdict::Later(wait) => {
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

/// Refuses what is larger than any honest request.
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
            "two Authorization headers",
        )),
        None => Ok(first),
    }
}

fn issue(issued: Issued) -> Result<Response<Body>, Refusal> {
    match issued {
        Issued::Document(document) => {
            Ok(reply::json(StatusCode::OK, "application/json", &document))
        }
        Issued::Challenged(challenge) => Err(challenged(&challenge)?),
        Issued::Refused(message) => {
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
        write!(f, "Registry({:?})", self.0.backend)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Builder({:?}, {:?}, {:?})", self.storage, self.access, self.limits)
    }
}

impl Builder {
    /// Keeps repositories in memory, gone with the process.
    #[must_use]
    pub fn memory(mut self) -> Self {
        self.storage = Storage::Memory;
        self
    }

    /// Keeps repositories in this folder; see [`Disk`].
    #[must_use]
    pub fn disk(mut self, root: impl Into<PathBuf>) -> Self {
        self.storage = Storage::Disk(root.into());
        self
    }

    /// Keeps repositories where this says.
    #[must_use]
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.storage = Storage::Backend(backend);
        self
    }

    /// Asks this policy who may do what; without one, everyone may everything.
    #[must_use]
    pub fn access(mut self, access: impl Access + 'static) -> Self {
        self.access = Arc::new(access);
        self
    }

    /// Sets how much to take from clients.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Refuses to remove anything: tags, manifests and blobs alike.
    #[must_use]
    pub fn without_deletes(mut self) -> Self {
        self.offered.delete = false;
        self
    }

    /// Refuses to change anything: every request but `GET` and `HEAD` is answered with 405.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.offered = Rights::PULL;
        self
    }

    /// Takes manifests whose blobs or manifests are not here, such as an index of which one platform
    /// was mirrored. What is here must still have the size that the manifest says.
    ///
    /// Source: distribution-spec main, "Pushing Manifests" (sparse indexes).
    #[must_use]
    pub fn allow_missing(mut self) -> Self {
        self.allows_missing = true;
        self
    }

    /// Starts every `Location` with this URL: `https://registry.example`, where clients reach the
    /// registry.
    ///
    /// Without one, a `Location` is made of the request's host and scheme: the scheme is the
    /// [`Scheme`](http::uri::Scheme) among the request's extensions, where [`serve`](crate::serve)
    /// puts it, else that of the request's target, else `http`.
    #[must_use]
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Tells of each request when it is over: for a log or metrics of one's own.
    #[must_use]
    pub fn on_answered(mut self, observer: impl Fn(&Answered) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Believes what `Forwarded`, `X-Forwarded-Proto` and `X-Forwarded-Host` say about host and scheme.
    ///
    /// Only for a registry that nobody reaches but through a proxy that sets them.
    #[must_use]
    pub fn trust_proxy(mut self) -> Self {
        self.locations = Locations::FromRequest { trust_proxy: true };
        self
    }

    /// Sends every `Location` as a path, which is right behind every proxy.
    ///
    /// Some old clients cannot follow one (docker-registry-client-async 1.0.3, moby-distribution
    /// 0.8.2).
    #[must_use]
    pub fn relative_locations(mut self) -> Self {
        self.locations = Locations::Relative;
        self
    }

    /// Makes the registry. Blocks while a folder is opened.
    ///
    /// # Errors
    /// As [`Disk::open`]; [`Invalid`](ErrorKind::Invalid) if the public URL is none;
    /// [`Unsupported`](ErrorKind::Unsupported) for a [`Limits::total_size`] with a backend of one's
    /// own.
    pub fn build(self) -> Result<Registry> {
        let locations = match &self.public_url {
            Some(url) => Locations::under(url)?,
            None => self.locations,
        };
        let backend: Arc<dyn Backend> = match self.storage {
            Storage::Memory => {
                Arc::new(MemoryBackend::limited(self.limits.total_size.unwrap_or(u64::MAX)))
            }
            Storage::Disk(root) => match self.limits.total_size {
                Some(bytes) => Arc::new(Disk::open_limited(root, bytes)?),
                None => Arc::new(Disk::open(root)?),
            },
            Storage::Backend(_) if self.limits.total_size.is_some() => {
                let problem = "a limit on all content is set where the backend is made";
                return Err(Error::new(ErrorKind::Unsupported).detail(problem));
            }
            Storage::Backend(backend) => backend,
        };
        Ok(Registry(Arc::new(Inner {
            backend,
            access: self.access,
            limits: self.limits,
            offered: self.offered,
            allows_missing: self.allows_missing,
            locations,
            observer: self.observer,
            connections: AtomicUsize::new(0),
        })))
    }
}

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
const NOSNIFF: HeaderName = HeaderName::from_static("x-content-type-options");
/// 16 KiB: some hundred tags as parameters fit.
const URI_LIMIT: usize = 16 << 10;
/// 64 KiB: tokens of large organisations reach 20.
const HEADER_LIMIT: usize = 64 << 10;
