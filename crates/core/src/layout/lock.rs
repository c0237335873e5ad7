//! The lock that allows one writer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::blob_file::is_at;
use crate::error::{Error, ErrorKind, Result};
use crate::wait;

/// The lock of a folder's marker file, held until dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "held until dropped")] File);

/// Waits for the lock, which excludes other threads, and other processes that use longshore.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after a minute; [`Io`](ErrorKind::Io) if the file system does
/// not support locks.
pub(super) fn lock(marker: &Path) -> Result<Lock> {
    let (start, mut is_reported) = (Instant::now(), false);
    loop {
        let file = File::open(marker).map_err(|e| Error::io(marker, e))?;
        let locked = match file.try_lock() {
            // The file was replaced, so this lock does not exclude other writers. Lock the new file.
            Ok(()) if !is_at(&file, marker) => Err(TryLockError::WouldBlock),
            locked => locked,
        };
        match locked {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(e)) => return Err(Error::io(marker, e)),
            Err(TryLockError::WouldBlock) if start.elapsed() < TIME_LIMIT => {
                if !is_reported && start.elapsed() >= wait::LONG {
                    is_reported = true;
                    wait::report(format_args!(
                        "waiting for another program to finish with {}{}",
                        marker.parent().unwrap_or(marker).display(),
                        wait::gives_up(TIME_LIMIT)
                    ));
                }
                std::thread::sleep(PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Timeout).at(marker.display()).detail(format!(
                    "another program has held the layout's lock for {} seconds",
                    TIME_LIMIT.as_secs()
                )));
            }
        }
    }
}

/// One minute: an update takes milliseconds, so a program that holds the lock longer is stuck.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// 2 ms, about as long as an update takes.
const PAUSE: Duration = Duration::from_millis(2);
