//! One connection, from start to end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use http::header::CONNECTION;
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use longshore_core::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::http2;
use super::idle::{ActiveRequest, Activity, FinalBody, Idle};
use super::listener::Accepted;
use super::stall::Stalling;
use super::strict::{HEAD_LIMIT, Refused, Strict};
use crate::pace::Pace;
use crate::registry::Registry;
use crate::reply::Refusal;

/// The state that the requests of a connection share.
#[derive(Clone)]
pub(super) struct Exchange {
    pub(super) registry: Registry,
    peer: SocketAddr,
    scheme: Scheme,
    activity: Activity,
}

impl Exchange {
    /// Records the start of a request, and adds the client's address and scheme to its extensions.
    pub(super) fn begin<B>(&self, request: &mut Request<B>) -> ActiveRequest {
        request.extensions_mut().insert(self.scheme.clone());
        request.extensions_mut().insert(self.peer);
        self.activity.begin(request.version())
    }

    pub(super) fn pace(&self) -> Pace {
        Pace::new(self.registry.limits())
    }
}

/// Serves the requests of one connection until it ends or the server shuts down.
pub(super) async fn run<S>(
    accepted: Accepted<S>,
    registry: Registry,
    mut closed: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Accepted { peer, scheme, opening } = accepted;
    let opened = tokio::select! {
        opened = tokio::time::timeout(OPENING_TIME, opening) => opened,
        // The connection has no request in progress yet.
        _ = closed.changed() => return,
    };
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return tracing::debug!(%peer, error = %e, "the handshake failed"),
        Err(_) => return tracing::debug!(%peer, "the handshake took too long"),
    };
    let _connected = registry.connected();
    let activity = Activity::default();
    let exchange = Exchange { registry, peer, scheme, activity };
    let idle = Idle::new(exchange.activity.clone());
    let refused = Refused::default();
    let mut stream = Strict::new(Stalling::new(stream, idle, exchange.pace()), refused.clone());
    let is_http2 = tokio::select! {
        is_http2 = stream.is_http2() => is_http2,
        _ = closed.changed() => return,
    };
    match is_http2 {
        Ok(true) => http2::run(stream, exchange, closed).await,
        Ok(false) => run_http1(stream, exchange, refused, closed).await,
        Err(e) => tracing::debug!(%peer, error = %e, "the client sent no request"),
    }
}

async fn run_http1<S>(
    stream: S,
    exchange: Exchange,
    refused: Refused,
    mut closed: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        let before = exchange.activity.begun();
        let active_request = exchange.begin(&mut request);
        let (registry, refused) = (exchange.registry.clone(), refused.clone());
        async move {
            let response = match refused.problem(before) {
                None => registry.answer(request).await,
                Some(problem) => registry.refuse(&request, refusal(problem)),
            };
            Ok::<_, Infallible>(response.map(|body| FinalBody::new(body, active_request)))
        }
    });
    let mut server = http1::Builder::new();
    server
        // `Idle` enforces this limit.
        .header_read_timeout(None)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEAD_LIMIT)
        .half_close(false);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = closed.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection failed");
    }
}

/// Returns a refusal with 400. The connection is closed, because the start of the next request is
/// not known.
fn refusal(problem: &str) -> Refusal {
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::UNSUPPORTED, problem);
    refusal.with(CONNECTION, HeaderValue::from_static("close"))
}

/// 10 s for a TLS handshake, as for a request's head.
const OPENING_TIME: Duration = Duration::from_secs(10);
/// 100 headers: no observed client sends more than 30.
const HEADER_COUNT: usize = 100;
