//! Runs blocking work, such as file access and hashing, from async code.

use crate::error::{Error, ErrorKind, Result};

/// Runs blocking work on a blocking thread, and waits for the result.
///
/// # Errors
/// The error of the work; [`Canceled`](ErrorKind::Canceled) if the runtime shuts down, or if the
/// work panics.
///
/// # Cancellation
/// Dropping the future does not stop work that has started.
pub async fn run_blocking<T, F>(work: F) -> Result<T>
where
    F: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::new(ErrorKind::Canceled).with_source(e)),
    }
}
