//! One writer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// The lock of a folder's marker file, until it is dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

/// Waits for the lock, which other threads, processes and programs built on this honour.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after a minute; [`Io`](ErrorKind::Io) if the file system cannot
/// lock.
pub(super) fn lock(marker: &Path) -> Result<Lock> {
    let file = File::open(marker).map_err(|e| Error::io(marker, e))?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(e)) => return Err(Error::io(marker, e)),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Timeout).at(marker.display()).detail(format!(
                    "another program has held the layout's lock for {} seconds",
                    PATIENCE.as_secs()
                )));
            }
        }
    }
}

/// A minute: an update takes milliseconds, so whoever holds it longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// 2 ms: an update's own length.
const PAUSE: Duration = Duration::from_millis(2);
