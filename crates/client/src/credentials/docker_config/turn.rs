//! One login at a time: whoever changes the file reads it, changes it and replaces it undisturbed.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use longshore_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, sleep};

/// The turn to change files of a folder, until it is dropped; none where folders cannot be locked.
pub(super) struct Turn(#[expect(dead_code, reason = "holding it is its use")] Option<File>);

/// Waits for the turn, which other programs built on this honour. It is the folder that is locked:
/// the file itself is replaced, and another one beside it would stay.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after ten seconds.
pub(super) async fn turn(folder: &Path) -> Result<Turn> {
    let start = Instant::now();
    // Not every system opens folders, and not every file system locks them.
    let Ok(file) = File::open(folder) else { return Ok(Turn(None)) };
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Turn(Some(file))),
            Err(TryLockError::Error(_)) => return Ok(Turn(None)),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => sleep(PAUSE).await,
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(ErrorKind::Timeout).at(folder.display()).detail(format!(
                    "another program has held the folder's lock for {} seconds",
                    PATIENCE.as_secs()
                )));
            }
        }
    }
}

/// 10 s: a change takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// 5 ms: a change's own length.
const PAUSE: Duration = Duration::from_millis(5);
