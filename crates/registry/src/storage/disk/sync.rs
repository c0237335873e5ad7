//! Names that last: one sync of a folder for all who wait for it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use longshore_core::{Result, blob_file};

use crate::locks::Locks;

/// Syncs folders. Many files get their names in one folder at once, and one sync makes all of them
/// last.
#[derive(Debug)]
pub(super) struct Syncs {
    /// How many syncs were asked for.
    asked: AtomicU64,
    last: Locks<Mutex<Last>>,
}

/// The last sync that succeeded: of which folder, and how many had been asked for when it began.
#[derive(Debug, Default)]
struct Last {
    folder: PathBuf,
    asked: u64,
}

impl Syncs {
    pub(super) fn new() -> Self {
        Self { asked: AtomicU64::new(0), last: Locks::new() }
    }

    /// Makes the names in a folder last that were given before this call.
    pub(super) fn sync(&self, folder: &Path) -> Result<()> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let last = self.last.of(&folder).lock();
        let mut last = last.unwrap_or_else(PoisonError::into_inner);
        if last.folder == folder && last.asked >= mine {
            return Ok(());
        }
        let asked = self.asked.load(Ordering::SeqCst);
        blob_file::sync_folder(folder)?;
        *last = Last { folder: folder.to_owned(), asked };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_that_began_later_counts_and_an_earlier_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        std::fs::create_dir(&path).unwrap();
        let syncs = Syncs::new();
        syncs.sync(&path).unwrap();
        std::fs::remove_dir(&path).unwrap();
        syncs.sync(&path).unwrap_err();
        // As if one had begun after the next call asked, and before it got its turn.
        *syncs.last.of(&path).lock().unwrap() = Last { folder: path.clone(), asked: 3 };
        syncs.sync(&path).unwrap();
        syncs.sync(&path).unwrap_err();
    }
}
