//! Sends requests as HTTP/1.1 over TCP and TLS.
//!
//! This is the only module that uses the HTTP library. Only HTTP/1.1 is used: with default
//! settings, HTTP/2 costs 2.8 times the CPU time per byte, and one HTTP/1.1 connection per transfer
//! already uses the full bandwidth.

mod connect;
mod pool;
mod resolve;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Uri};
use longshore_core::{BlobStream, CHUNK_SIZE, Error, ErrorKind, Result, wait};

use self::pool::{Key, Pools};
use super::activity::{Activity, Refusal, Stage};
use super::failure::{Failure, Way, innermost};
use super::stall::{Stall, Watched};
use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::config::Config;
use crate::config::Limits;
use crate::origin::Origin;
use crate::redact::redacted;

/// The innermost transport, with connection pools for each origin.
pub(crate) struct Wire {
    limits: Arc<Limits>,
    user_agent: HeaderValue,
    pools: Pools,
}

impl Wire {
    /// Creates a transport that accepts any certificate of the origin `accepted`, if given.
    pub(crate) fn new(config: Arc<Config>, accepted: Option<Origin>) -> Self {
        let (limits, user_agent) = (Arc::clone(&config.limits), config.user_agent.header());
        Self { limits, user_agent, pools: Pools::new(config, accepted) }
    }
}

#[async_trait]
impl Transport for Wire {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let call = Call { method: request.method().clone(), uri: request.uri().clone() };
        let Some(origin) = Origin::of(&call.uri) else {
            return Err(call.error(ErrorKind::Invalid).detail("not an http or https URL").into());
        };
        let own = request.extensions().get::<Arc<Limits>>();
        let limits = Arc::clone(own.unwrap_or(&self.limits));
        let key = Key { origin: origin.clone(), connect: limits.connect };
        let pool = self.pools.get(key).await?;
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| self.user_agent.clone());
        let activity = request.extensions_mut().remove().unwrap_or_else(Activity::new);
        let request = outgoing(request, &activity).map_err(|e| {
            TransportError::from(call.error(ErrorKind::Invalid).with_source(e.without_url()))
        })?;
        let reply = tokio::select! {
            reply = connect::with_stages(activity.clone(), pool.execute(request)) => reply,
            never = activity.report_waits(|stage| self.wait_text(stage, &origin, &limits)) => match never {},
            () = activity.silence(limits.response) => {
                let clause = format!("no reply within {:?}", limits.response);
                let error = call.error(ErrorKind::Timeout).detail(clause);
                return Err(TransportError::new(TransportErrorKind::TimedOut, error));
            }
        };
        match reply {
            Ok(reply) => {
                // After an early success, the server may still read the rest of the body. After any
                // other status, the rest is not needed.
                let refusal = (!reply.status().is_success()).then(|| activity.refuse());
                let from = Watch { host: origin.address(), idle: limits.idle, refusal };
                Ok(incoming(reply, call, from))
            }
            Err(error) => Err(match activity.take_error() {
                Some(own) => own.into(),
                None => {
                    let proxy = self.pools.proxy_of(&origin)?;
                    call.failed(error.without_url(), &origin, proxy.as_deref(), limits.connect)
                }
            }),
        }
    }
}

impl Wire {
    /// Returns the text that reports a long wait.
    fn wait_text(&self, stage: Stage, origin: &Origin, limits: &Limits) -> String {
        let (host, long) = (origin.address(), wait::seconds(wait::LONG));
        let proxy = self.pools.proxy_of(origin).ok().flatten();
        let what = match (stage, &proxy) {
            (Stage::Address, Some(proxy)) => format!("the address of the proxy {proxy}: no answer"),
            (Stage::Address, None) => format!("the address of {host}: no answer"),
            (Stage::Connection, Some(proxy)) => {
                format!("{host}: no connection through the proxy {proxy}")
            }
            (Stage::Connection, None) => format!("{host}: no connection"),
            (Stage::Room, _) => format!("{host}: the server accepts no more data"),
            (Stage::Body | Stage::Reply, _) => format!("{host}: no answer"),
        };
        let limit = match stage {
            Stage::Address | Stage::Connection => limits.connect.min(limits.response),
            Stage::Body | Stage::Room | Stage::Reply => limits.response,
        };
        format!("waiting for {what} for {long}{}", wait::gives_up(limit))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

/// Converts a request to the HTTP library's type, and states the size of its body.
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
        Body::Bytes(bytes) if bytes.len() <= CHUNK_SIZE => bytes.into(),
        body => reqwest::Body::wrap_stream(activity.watch(body.into_stream())),
    };
    Request::from_parts(parts, body).try_into()
}

/// The settings for watching a reply's body.
struct Watch {
    host: String,
    idle: Duration,
    /// The refusal of the request's body, if any. It ends the request's body together with the
    /// reply.
    refusal: Option<Refusal>,
}

/// Converts a reply of the HTTP library, and watches its body.
fn incoming(reply: reqwest::Response, call: Call, watch: Watch) -> Response<Body> {
    let Watch { host, idle, refusal } = watch;
    let size = reply.content_length();
    let mut head = Response::new(());
    *head.status_mut() = reply.status();
    *head.headers_mut() = reply.headers().clone();
    let no_body = call.method == Method::HEAD || size == Some(0);
    if no_body {
        return head.map(|()| Body::Empty);
    }
    let watched = Watched::new(Box::pin(reply.bytes_stream()), host, idle);
    let stream = BlobStream::new(watched.map(move |chunk| {
        let _refused_until_then = &refusal;
        chunk.map_err(|cause| match cause {
            Ok(broken) => call.broken("the connection broke before the end of the reply", broken),
            Err(Stall::Silent) => {
                call.error(ErrorKind::Timeout).detail(format!("no more data within {idle:?}"))
            }
            Err(Stall::Slow) => call
                .error(ErrorKind::Timeout)
                .detail(format!("less than 1 KiB per second over {idle:?}")),
        })
    }));
    head.map(|()| Body::Stream { stream, size })
}

/// The description of a request, for its errors.
struct Call {
    method: Method,
    uri: Uri,
}

impl Call {
    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind)
            .at(format!("{} {}", self.method, redacted(&self.uri)))
            .with_url(redacted(&self.uri))
    }

    /// Returns the error for a connection that broke.
    fn broken(&self, clause: &str, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let clause = format!("{clause}: {}", innermost(&error));
        self.error(ErrorKind::Transport).detail(clause).with_source(error)
    }

    fn failed(
        &self,
        error: reqwest::Error,
        origin: &Origin,
        proxy: Option<&str>,
        connect: Duration,
    ) -> TransportError {
        let (host, port, name) = (origin.host(), origin.port(), origin.address());
        let way = Way { https: origin.is_https(), host, port, name: &name, proxy };
        if error.is_timeout() {
            let error_shown = self.error(ErrorKind::Timeout).with_clause(way.late(connect));
            return TransportError::new(
                TransportErrorKind::TimedOut,
                error_shown.with_source(error),
            );
        }
        let (hint, is_final) = (way.hint(&error), Failure::of(&error).is_final());
        let (fault, error_shown) = match error.is_connect() {
            true => {
                let error_shown = self.error(ErrorKind::Transport).with_clause(way.clause(&error));
                (TransportErrorKind::NotSent, error_shown.with_source(error))
            }
            false => {
                let clause = "the connection broke before a reply arrived";
                (TransportErrorKind::Lost, self.broken(clause, error))
            }
        };
        // For some failures, such as an invalid certificate, a retry does not help.
        let fault = if is_final { TransportErrorKind::Final } else { fault };
        let error_shown = hint.into_iter().fold(error_shown, Error::with_hint);
        TransportError::new(fault, error_shown)
    }
}
