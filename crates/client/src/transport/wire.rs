//! The wire: requests as HTTP/1.1 over TCP and TLS.
//!
//! The only file that names the HTTP library. HTTP/1.1 alone, on purpose: with default settings
//! HTTP/2 costs 2.8 times the CPU a byte, and one connection a transfer is also what fills a line.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH};
use http::{HeaderValue, Method, Request, Response, Uri};
use longshore_core::{BlobStream, Error, ErrorKind, RegistryName, Result};

use super::stall::{Activity, Stall, Watched};
use super::tls::{self, SystemRoots};
use super::{Body, Fault, Transport, TransportError};
use crate::certificate::RootCertificates;
use crate::config::{Config, Resolved, Verification};
use crate::origin::Origin;
use crate::redact::redacted;

/// The innermost transport. Has a pool of connections for each origin.
pub(crate) struct Wire {
    config: Arc<Config>,
    system_roots: SystemRoots,
    pools: Mutex<HashMap<Origin, reqwest::Client>>,
}

impl Wire {
    pub(crate) fn new(config: Arc<Config>) -> Self {
        Self { config, system_roots: SystemRoots::default(), pools: Mutex::default() }
    }

    /// The pool for an origin; made when it is first met, so that nothing is loaded unused.
    async fn pool(&self, origin: &Origin) -> Result<reqwest::Client> {
        let made = self.pools.lock().unwrap_or_else(PoisonError::into_inner).get(origin).cloned();
        if let Some(pool) = made {
            return Ok(pool);
        }
        let pool = self.make_pool(origin).await?;
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(pools.entry(origin.clone()).or_insert(pool).clone())
    }

    async fn make_pool(&self, origin: &Origin) -> Result<reqwest::Client> {
        let address = address(origin, &self.config);
        let tls = match &address {
            _ if !origin.is_https() => tls::unused()?,
            Some(address) => {
                tls::configuration(&self.config.of(address), &self.system_roots).await?
            }
            None => tls::configuration(&unnamed(), &self.system_roots).await?,
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .http1_max_headers(HEADER_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(self.config.limits.connect)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .user_agent(USER_AGENT);
        if address.is_some_and(|address| address.is_loopback()) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|e| Error::new(ErrorKind::Transport).at(origin).with_source(e))
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let call = Call { method: request.method().clone(), uri: request.uri().clone() };
        let Some(origin) = Origin::of(&call.uri) else {
            return Err(call.error(ErrorKind::Invalid).detail("not an http or https URL").into());
        };
        let pool = self.pool(&origin).await?;
        let activity = Activity::new();
        let request = outgoing(request, &activity).map_err(|e| {
            TransportError::from(call.error(ErrorKind::Invalid).with_source(e.without_url()))
        })?;
        let limits = &self.config.limits;
        let reply = tokio::select! {
            reply = pool.execute(request) => reply,
            () = activity.silence(limits.response) => {
                let clause = format!("no reply within {:?}", limits.response);
                let error = call.error(ErrorKind::Timeout).detail(clause);
                return Err(TransportError::new(Fault::TimedOut, error));
            }
        };
        match reply {
            Ok(reply) => Ok(incoming(reply, call, limits.idle)),
            Err(error) => Err(match activity.take_error() {
                Some(own) => own.into(),
                None => call.failed(error, limits.connect),
            }),
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// The request as the library has it, its size stated.
fn outgoing(
    request: Request<Body>,
    activity: &Activity,
) -> Result<reqwest::Request, reqwest::Error> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let bodyless = matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
    match body.size() {
        Some(0) if bodyless => {}
        Some(size) => drop(parts.headers.insert(CONTENT_LENGTH, size.into())),
        None => {}
    }
    let body = match body {
        Body::Empty => reqwest::Body::default(),
        Body::Bytes(bytes) => bytes.into(),
        Body::Stream { stream, .. } => reqwest::Body::wrap_stream(activity.watch(stream)),
    };
    Request::from_parts(parts, body).try_into()
}

/// The reply as the client has it, its body watched.
fn incoming(reply: reqwest::Response, call: Call, idle: Duration) -> Response<Body> {
    let size = reply.content_length();
    let mut head = Response::new(());
    *head.status_mut() = reply.status();
    *head.headers_mut() = reply.headers().clone();
    let no_body = call.method == Method::HEAD || size == Some(0);
    if no_body {
        return head.map(|()| Body::Empty);
    }
    let watched = Watched::new(Box::pin(reply.bytes_stream()), idle);
    let stream = BlobStream::new(watched.map(move |piece| {
        piece.map_err(|cause| match cause {
            Ok(broken) => call
                .error(ErrorKind::Transport)
                .detail("the connection broke before the end of the reply")
                .with_source(broken.without_url()),
            Err(Stall::Silent) => {
                call.error(ErrorKind::Timeout).detail(format!("nothing more came within {idle:?}"))
            }
            Err(Stall::Slow) => call
                .error(ErrorKind::Timeout)
                .detail(format!("less than 1 KiB a second came over {idle:?}")),
        })
    }));
    head.map(|()| Body::Stream { stream, size })
}

/// The request that an error is about.
struct Call {
    method: Method,
    uri: Uri,
}

impl Call {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind).at(format!("{} {}", self.method, redacted(&self.uri)))
    }

    fn failed(&self, error: reqwest::Error, connect: Duration) -> TransportError {
        let error = error.without_url();
        if error.is_timeout() {
            let clause = format!("no connection within {connect:?}");
            let error = self.error(ErrorKind::Timeout).detail(clause).with_source(error);
            return TransportError::new(Fault::TimedOut, error);
        }
        let hint = tls::hint(&error, self.uri.host().unwrap_or_default());
        let (fault, clause) = match error.is_connect() {
            true => (Fault::NotSent, "no connection"),
            false => (Fault::Lost, "the connection broke before a reply came"),
        };
        // A certificate does not get better by asking again.
        let fault = if hint.is_some() { Fault::Final } else { fault };
        let told = self.error(ErrorKind::Transport).detail(clause).with_source(error);
        TransportError::new(
            fault,
            match hint {
                Some(hint) => told.with_hint(hint),
                None => told,
            },
        )
    }
}

/// The name under which settings for an origin are kept: its host, and its port unless that is the
/// scheme's own and nobody wrote it out.
fn address(origin: &Origin, config: &Config) -> Option<RegistryName> {
    let full = RegistryName::parse(&format!("{}:{}", origin.host(), origin.port())).ok()?;
    match origin.has_default_port() && !config.registries.contains_key(&full) {
        true => RegistryName::parse(origin.host()).ok(),
        false => Some(full),
    }
}

/// The settings for a host that no registry can have, such as one with an underscore.
fn unnamed() -> Resolved {
    Resolved {
        https: true,
        root_certificates: RootCertificates::default(),
        verification: Verification::Full,
    }
}

const USER_AGENT: &str = concat!("longshore/", env!("CARGO_PKG_VERSION"));

/// 400 headers: storage services send more than the library's 100.
const HEADER_LIMIT: usize = 400;

/// 30 s: less than what load balancers allow, so that it is us who close.
const POOL_IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_with_and_without_the_schemes_own_port() {
        let mut config = Config::default();
        config.registries.insert("written.example:443".parse().unwrap(), Default::default());
        for (url, expected) in [
            ("https://r.example/", "r.example"),
            ("https://r.example:443/", "r.example"),
            ("https://written.example/", "written.example:443"),
            ("https://r.example:80/", "r.example:80"),
            ("http://[::1]:5000/", "[::1]:5000"),
        ] {
            let origin = Origin::of(&url.parse().unwrap()).unwrap();
            assert_eq!(address(&origin, &config).unwrap().as_str(), expected, "{url}");
        }
    }
}
