//! Syncs folders, with one sync for all waiting callers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use longshore_core::{Result, blob_file};

use crate::locks::Locks;

/// The syncs of folders. One sync serves all callers that wait for the same folder, because many
/// files are named in one folder at the same time.
#[derive(Debug)]
pub(super) struct Syncs {
    /// The number of requested syncs.
    requested: AtomicU64,
    last: Locks<Mutex<Last>>,
}

/// The last successful sync: its folder, and the number of syncs that were requested when it began.
#[derive(Debug, Default)]
struct Last {
    folder: PathBuf,
    requested: u64,
}

impl Syncs {
    pub(super) fn new() -> Self {
        Self { requested: AtomicU64::new(0), last: Locks::new() }
    }

    #[cfg(test)]
    pub(super) fn requested(&self) -> u64 {
        self.requested.load(Ordering::SeqCst)
    }

    /// Makes durable all file names that were created in these folders before this call.
    ///
    /// Another call's sync of the second folder suffices if it begins while this call waits for the
    /// first folder.
    pub(super) fn sync<'p>(&self, folders: impl IntoIterator<Item = &'p Path>) -> Result<()> {
        let this = self.requested.fetch_add(1, Ordering::SeqCst) + 1;
        for folder in folders {
            let last = self.last.of(&folder).lock();
            let mut last = last.unwrap_or_else(PoisonError::into_inner);
            if last.folder != folder || last.requested < this {
                let requested = self.requested.load(Ordering::SeqCst);
                blob_file::sync_folder(folder)?;
                *last = Last { folder: folder.to_owned(), requested };
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_serves_only_calls_that_were_made_before_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        std::fs::create_dir(&path).unwrap();
        let syncs = Syncs::new();
        syncs.sync([&*path]).unwrap();
        std::fs::remove_dir(&path).unwrap();
        syncs.sync([&*path]).unwrap_err();
        // Simulate a sync that began after the next call requested its sync, but before that call
        // has the lock.
        *syncs.last.of(&path).lock().unwrap() = Last { folder: path.clone(), requested: 3 };
        syncs.sync([&*path]).unwrap();
        syncs.sync([&*path]).unwrap_err();
    }

    #[test]
    fn a_sync_of_the_second_folder_serves_a_call_that_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let (syncs, absent) = (Syncs::new(), root.path().join("absent"));
        let has_another_lock =
            |path: &PathBuf| !std::ptr::eq(syncs.last.of(path), syncs.last.of(&absent));
        let mut paths = (0..).map(|i| root.path().join(i.to_string()));
        let first = paths.find(has_another_lock).unwrap();
        std::fs::create_dir(&first).unwrap();
        *syncs.last.of(&absent).lock().unwrap() = Last { folder: absent.clone(), requested: 1 };
        syncs.sync([&*first, &*absent]).unwrap();
        syncs.sync([&*first, &*absent]).unwrap_err();
    }
}
