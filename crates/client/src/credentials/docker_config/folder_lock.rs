//! The lock on the folder of a file, so that only one program with this library reads, changes and
//! replaces the file at a time. Not all systems support such locks.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use longshore_core::{Error, ErrorKind, Result, wait};
use tokio::time::{Instant, sleep};

use crate::waiting::report_if_long;

/// A held lock on the files of a folder. Empty on systems and file systems that cannot lock
/// folders.
pub(super) struct FolderLock(#[expect(dead_code, reason = "held until dropped")] Option<File>);

/// Waits for the lock of a folder. Other programs that use this library wait for the same lock.
///
/// The folder is locked, because a change replaces the file itself. A separate lock file would be
/// left behind.
///
/// # Errors
/// [`Timeout`](ErrorKind::Timeout) after ten seconds.
pub(super) async fn lock_folder(folder: &Path) -> Result<FolderLock> {
    // Some systems cannot open folders, and some file systems cannot lock them.
    let Ok(file) = File::open(folder) else { return Ok(FolderLock(None)) };
    report_if_long(wait_for(file, folder), || {
        let (folder, end) = (folder.display(), wait::gives_up(PATIENCE));
        format!("waiting for another program to finish with {folder}{end}")
    })
    .await
}

async fn wait_for(file: File, folder: &Path) -> Result<FolderLock> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(FolderLock(Some(file))),
            Err(TryLockError::Error(_)) => return Ok(FolderLock(None)),
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
    async fn a_wait_for_the_lock_is_reported_once_and_times_out() {
        let folder = tempfile::tempdir().unwrap();
        let _held = lock_folder(folder.path()).await.unwrap();
        let reported = longshore_testkit::wait_log::WaitLog::listen();
        let Err(error) = lock_folder(folder.path()).await else {
            panic!("the folder was locked twice")
        };
        assert_eq!(error.kind(), ErrorKind::Timeout);
        let folder = folder.path().display();
        let line =
            format!("waiting for another program to finish with {folder} (gives up after 10 s)");
        assert_eq!(reported.take(), [line]);
    }
}
