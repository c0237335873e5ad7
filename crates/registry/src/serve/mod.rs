//! The registry behind a listener.
//!
//! Owns connections: how many, how long they may dawdle, and how they end. What is answered on
//! them is `registry`'s business.

mod framing;
mod idle;
mod listener;
mod stall;
mod strict;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use longshore_core::{ErrorCode, Result};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use self::idle::{Activity, Idle, Last};
use self::stall::Stalling;
use self::strict::{HEAD_LIMIT, Refused, Strict};
use crate::registry::Registry;
use crate::reply::Refusal;

pub use self::listener::{Accepted, Listener};

/// Serves a registry on a listener until `shutdown` ends.
///
/// HTTP/1.1, and HTTP/2 where the client begins with it. Requests under way then have 10 s to end,
/// and handshakes under way are given up.
/// At most 4,096 connections are open; more wait to be accepted. A connection is closed that is not
/// ready for HTTP within 10 s (a TLS handshake), sends no whole request head within 10 s of its
/// first byte, no byte within 10 s of its start or 100 s of the last answer, or takes nothing of an
/// answer for 60 s.
///
/// # Errors
/// None at present: a connection that cannot be accepted is logged and skipped.
pub async fn serve(
    listener: impl Listener,
    registry: Registry,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let connections = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let graceful = GracefulShutdown::new();
    // Nobody sends anything: receivers learn when the sender is gone.
    let (open, closed) = watch::channel(());
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = sweep.tick() => expire_uploads(&registry).await,
            accepted = accept(&listener, &connections) => {
                if let Some((accepted, permit)) = accepted {
                    let (registry, watcher) = (registry.clone(), graceful.watcher());
                    tokio::spawn(run(accepted, registry, watcher, closed.clone(), permit));
                }
            }
        }
    }
    drop((listener, open));
    if tokio::time::timeout(SHUTDOWN_TIME, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests under way were cut off");
    }
    Ok(())
}

/// Takes the next connection, once there is room for it.
async fn accept<L: Listener>(
    listener: &L,
    connections: &Arc<Semaphore>,
) -> Option<(Accepted<L::Stream>, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok(accepted) => Some((accepted, permit)),
        Err(e) => {
            tracing::warn!(error = %e, "a connection could not be accepted");
            // Out of descriptors: they come back when connections end.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Answers the requests of one connection.
async fn run<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    accepted: Accepted<S>,
    registry: Registry,
    watcher: Watcher,
    mut closed: watch::Receiver<()>,
    _permit: OwnedSemaphorePermit,
) {
    let Accepted { peer, scheme, opening } = accepted;
    let opened = tokio::select! {
        opened = tokio::time::timeout(OPENING_TIME, opening) => opened,
        // No request is under way yet.
        _ = closed.changed() => return,
    };
    let stream = match opened {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return tracing::debug!(%peer, error = %e, "no handshake"),
        Err(_) => return tracing::debug!(%peer, "the handshake took too long"),
    };
    let _connected = registry.connected();
    let activity = Activity::default();
    let idle = Idle::new(activity.clone());
    let refused = Refused::default();
    let stream = Strict::new(Stalling::new(stream, idle, STALL_TIME), refused.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(scheme.clone());
        request.extensions_mut().insert(peer);
        let (registry, under_way) = (registry.clone(), activity.begin(request.version()));
        let refused = refused.clone();
        async move {
            let response = match refused.problem() {
                None => registry.answer(request).await,
                Some(problem) => registry.refuse(&request, refusal(problem)),
            };
            Ok::<_, Infallible>(response.map(|body| Last::new(body, under_way)))
        }
    });
    let io = TokioIo::new(stream);
    let server = server();
    let connection = server.serve_connection(io, service).into_owned();
    if let Err(e) = watcher.watch(connection).await {
        tracing::debug!(error = %e, "a connection broke");
    }
}

/// 400, and the connection is closed: where the next request begins is not sure.
fn refusal(problem: &str) -> Refusal {
    let refusal = Refusal::new(StatusCode::BAD_REQUEST, ErrorCode::UNSUPPORTED, problem);
    refusal.with(CONNECTION, HeaderValue::from_static("close"))
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        // `Idle` sees to it.
        .header_read_timeout(None)
        .max_headers(HEADER_COUNT)
        .max_buf_size(HEAD_LIMIT)
        .half_close(false);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(H2_PING_INTERVAL)
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(H2_HEADER_SIZE)
        .max_frame_size(H2_FRAME_SIZE)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW);
    server
}

async fn expire_uploads(registry: &Registry) {
    match registry.expire_uploads().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "dropped abandoned uploads"),
        Err(e) => tracing::warn!(error = %e, "abandoned uploads could not be removed"),
    }
}

/// 4,096 connections: within the 10,240 descriptors that systems grant, with files open for each.
const CONNECTION_LIMIT: usize = 4_096;
/// 10 s for a TLS handshake: as long as for a request's head.
const OPENING_TIME: Duration = Duration::from_secs(10);
/// 60 s without a byte taken: what proxies in front of registries wait.
const STALL_TIME: Duration = Duration::from_secs(60);
/// 10 s: what service managers wait before they kill.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// 100 headers: the most that any client was seen to send is 30.
const HEADER_COUNT: usize = 100;
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_STREAMS: u32 = 128;
const H2_HEADER_SIZE: u32 = 64 << 10;
/// 1 MiB: at the default of 16 KiB a blob costs nearly three times the CPU of HTTP/1.1.
const H2_FRAME_SIZE: u32 = 1 << 20;
const H2_STREAM_WINDOW: u32 = 4 << 20;
const H2_CONNECTION_WINDOW: u32 = 16 << 20;
