//! Termination signals.

use std::future::pending;
use std::io;

/// Handles SIGTERM and Ctrl-C from now on. The returned future ends with the first of them.
#[cfg(unix)]
pub(crate) fn termination() -> impl Future<Output = ()> {
    use tokio::signal::unix::{Signal, SignalKind, signal};

    async fn received(signal: io::Result<Signal>) {
        match signal {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => pending().await,
        }
    }
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
        }
    }
}

/// Handles Ctrl-C from now on. The returned future ends with it.
#[cfg(windows)]
pub(crate) fn termination() -> impl Future<Output = ()> {
    let interrupt: io::Result<_> = tokio::signal::windows::ctrl_c();
    async {
        match interrupt {
            Ok(mut interrupt) => _ = interrupt.recv().await,
            Err(_) => pending().await,
        }
    }
}
