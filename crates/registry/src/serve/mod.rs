//! The registry behind a listener.
//!
//! Owns connections: their number, their time limits, and their end. `registry` answers the
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

/// Serves a registry on a listener until `shutdown` ends.
///
/// Speaks HTTP/1.1, and HTTP/2 if the client starts with its preface, with at most 32 streams per
/// connection. After `shutdown`, requests in progress have 10 s to finish, and handshakes are
/// dropped.
///
/// At most [`RegistryLimits::connections`](crate::RegistryLimits::connections) are open; more wait to be accepted. A
/// connection is closed if it is not ready for HTTP within 10 s (a TLS handshake), sends no
/// complete request head within 10 s of its first byte, sends no byte within 10 s of its start or
/// 100 s of the last response, or reads a response more slowly than
/// [`RegistryLimits::body_rate`](crate::RegistryLimits::body_rate); on HTTP/2, only the stream is reset. A stream
/// whose client has no room for data holds no resources.
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
    // Used only to signal receivers by dropping the sender.
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
        tracing::warn!("requests under way were cut off");
    }
    Ok(())
}

/// Accepts the next connection, once there is a free slot.
async fn accept<L: Listener>(
    listener: &L,
    connections: &Arc<Semaphore>,
) -> Option<(Accepted<L::Stream>, OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok(accepted) => Some((accepted, permit)),
        Err(e) => {
            tracing::warn!(error = %e, "a connection could not be accepted");
            // Out of descriptors: ending connections free some.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn expire_uploads(registry: &Registry) {
    match registry.expire_uploads().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "dropped abandoned uploads"),
        Err(e) => tracing::warn!(error = %e, "abandoned uploads could not be removed"),
    }
}

/// More than any system has descriptors for.
const CONNECTION_LIMIT: u32 = 1 << 28;
/// 10 s: the time that service managers wait before they kill a process.
const SHUTDOWN_TIME: Duration = Duration::from_secs(10);
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
