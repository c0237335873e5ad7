//! The lock under which a file is read, changed and replaced: one login at a time.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use longshore_core::{Error, ErrorKind, Result, wait};
use tokio::time::{Instant, sleep};

use crate::waiting::told;

/// The lock on the files of a folder, held until dropped; empty where folders cannot be locked.
pub(super) struct Turn(#[expect(dead_code, reason = "holding it is its use")] Option<File>);

/// Waits for the lock, which other programs that use this library honour. The folder is locked,
/// because the file itself is replaced, and a lock file would be left behind.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after ten seconds.
pub(super) async fn turn(folder: &Path) -> Result<Turn> {
    // Not every system opens folders, and not every file system locks them.
    let Ok(file) = File::open(folder) else { return Ok(Turn(None)) };
    told(wait_for(file, folder), || {
        let (folder, end) = (folder.display(), wait::gives_up(PATIENCE));
        format!("waiting for another program to finish with {folder}{end}")
    })
    .await
}

async fn wait_for(file: File, folder: &Path) -> Result<Turn> {
    let start = Instant::now();
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
/// 5 ms: about as long as a change takes.
const PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_does_not_come_is_told_once_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let _held = turn(folder.path()).await.unwrap();
        let told = longshore_testkit::wait_log::WaitLog::listen();
        let Err(error) = turn(folder.path()).await else { panic!("two turns at once") };
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let folder = folder.path().display();
        let line =
            format!("waiting for another program to finish with {folder} (gives up after 10 s)");
        assert_eq!(told.take(), [line]);
    }
}
