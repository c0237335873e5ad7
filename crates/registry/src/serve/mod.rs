//! The registry behind a listener.
//!
//! Owns connections: their number, their time limits and their end. `registry` answers the
//! requests.

mod connection;
mod framing;
mod http2;
mod idle;
mod listener;
mod stall;
mod strict;

use std::sync::Arc;
use std::time::Duration;

use longshore_core::Result;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::MissedTickBehavior;

use crate::registry::Registry;

pub use self::listener::{Accepted, Listener};

/// Serves a registry on a listener until `shutdown` completes.
///
/// Supports HTTP/1.1, and HTTP/2 for clients that start with its preface. An HTTP/2 connection has
/// at most 32 concurrent streams. After `shutdown`, the function waits up to 10 s for requests in
/// progress, and handshakes are dropped.
///
/// At most [`RegistryLimits::connections`](crate::RegistryLimits::connections) connections are
/// open. Further connections wait to be accepted. A connection is closed because of a time limit in
/// these cases:
///
/// - Its preparation for HTTP, such as a TLS handshake, takes longer than 10 s.
/// - The client does not complete the head of its first request within 10 s after this preparation.
/// - On HTTP/1.1, the client does not complete the head of a later request within 10 s of the
///   head's first byte.
/// - The client begins no request within 100 s of the last response.
/// - The client reads a response more slowly than
///   [`RegistryLimits::body_rate`](crate::RegistryLimits::body_rate). If the cause is the
///   flow-control window of an HTTP/2 stream, only the stream is reset.
///
/// If the flow-control window of an HTTP/2 stream stays closed for 100 ms, the stream holds no open
/// blob and no large document.
///
/// # Errors
/// None at present: a connection that cannot be accepted is logged and skipped.
pub async fn serve(
    listener: impl Listener,
    registry: Registry,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let limit = registry.limits().connections.get().min(CONNECTION_LIMIT as usize);
    let connections = Arc::new(Semaphore::new(limit));
    // The sender sends no values: dropping it signals the shutdown to the receivers.
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
                    let (registry, closed) = (registry.clone(), closed.clone());
                    tokio::spawn(async move {
                        connection::run(accepted, registry, closed).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop((listener, open));
    let ended = connections.acquire_many(u32::try_from(limit).unwrap_or(CONNECTION_LIMIT));
    if tokio::time::timeout(SHUTDOWN_TIME, ended).await.is_err() {
        tracing::warn!("requests in progress did not finish within 10 s");
    }
    Ok(())
}

/// Accepts the next connection as soon as the number of connections allows it.
async fn accept<L: Listener>(
    listener: &L,
    connections: &Arc<Semaphore>,
) -> Option<(Accepted<L::Stream>, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok(accepted) => Some((accepted, permit)),
        Err(e) => {
            tracing::warn!(error = %e, "a connection could not be accepted");
            // The process may be out of file descriptors, until other connections end.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn expire_uploads(registry: &Registry) {
    match registry.expire_uploads().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed abandoned uploads"),
        Err(e) => tracing::warn!(error = %e, "abandoned uploads could not be removed"),
    }
}

/// More connections than any system has file descriptors for.
const CONNECTION_LIMIT: u32 = 1 << 28;
/// 10 s: the time that `docker stop` waits before it kills a process. Many service managers wait
/// longer.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
