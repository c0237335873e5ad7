//! Temporary folders.

use std::fs::File;
use std::path::Path;

use tempfile::TempDir;

use super::abandoned;
use super::claim::{ATTEMPTS, Claim, claim};
use crate::error::{Error, Result};

/// A new folder with a random name and mode 0700. It is locked while its writer is alive, and
/// removed on drop.
#[derive(Debug)]
pub struct TempFolder {
    folder: TempDir,
    /// The open folder, which holds the lock. Some systems cannot open folders.
    _lock: Option<File>,
}

impl TempFolder {
    /// Creates the folder in `above`. Removes abandoned temporary folders there.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the folder `above`.
    pub fn create(above: &Path) -> Result<Self> {
        abandoned::remove_folders(above);
        let mut attempts = 0;
        loop {
            let builder = &mut tempfile::Builder::new();
            let folder = builder.prefix(PREFIX).rand_bytes(RANDOM).tempdir_in(above);
            let folder = folder.map_err(|e| Error::io(above, e))?;
            let lock = File::open(folder.path()).ok();
            attempts += 1;
            // Until it is locked, the folder looks abandoned, and another writer may remove it.
            let claim = lock.as_ref().map(|lock| claim(lock, folder.path()));
            let is_lost =
                matches!(claim, Some(Claim::Taken | Claim::Gone)) || !folder.path().exists();
            if !is_lost || attempts >= ATTEMPTS {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Returns true if this is the name of a temporary folder.
pub(super) fn is_name(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX);
    random.is_some_and(|r| r.len() == RANDOM && r.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Longer than a name that a user would choose, because abandoned folders are removed.
const PREFIX: &str = ".longshore-temporary-";
const RANDOM: usize = 6;
