//! The lock that admits one writer at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};
use crate::wait;

/// The lock of a folder's marker file, held until dropped.
pub(super) struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

/// Waits for the lock, which other threads, processes and programs built on longshore respect.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after a minute; [`Io`](ErrorKind::Io) if the file system cannot
/// lock.
pub(super) fn lock(marker: &Path) -> Result<Lock> {
    let (start, mut is_told) = (Instant::now(), false);
    loop {
        let file = File::open(marker).map_err(|e| Error::io(marker, e))?;
        match file.try_lock() {
            // A lock on a file that was replaced excludes no other writer: lock again.
            Ok(()) if !is_at(&file, marker)? => {}
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::Error(e)) => return Err(Error::io(marker, e)),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                if !is_told && start.elapsed() >= wait::LONG {
                    is_told = true;
                    wait::tell(format_args!(
                        "waiting for another program to finish with {}{}",
                        marker.parent().unwrap_or(marker).display(),
                        wait::gives_up(PATIENCE)
                    ));
                }
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

/// Returns true if a path still leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let at = |e| Error::io(path, e);
    let (open, there) = (file.metadata().map_err(at)?, std::fs::metadata(path).map_err(at)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// On other systems an open file cannot be replaced.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> Result<bool> {
    Ok(true)
}

/// One minute: an update takes milliseconds, so a holder that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// 2 ms: about the duration of an update.
const PAUSE: Duration = Duration::from_millis(2);
