//! Temporary folders.

use std::fs::File;
use std::path::Path;

use tempfile::TempDir;

use super::claim::{Claim, claim};
use crate::error::{Error, Result};

/// A new folder with a random name and mode 0700, which is locked while its writer is alive, and
/// removed on drop.
#[derive(Debug)]
pub struct TempFolder {
    folder: TempDir,
    /// The open folder, which holds the lock. Some systems cannot open folders.
    _lock: Option<File>,
}

impl TempFolder {
    /// Creates the folder in `above`. Removes the temporary folders that killed writers left there.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the folder `above`.
    pub fn create(above: &Path) -> Result<Self> {
        remove_abandoned(above);
        loop {
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(above);
            let folder = folder.map_err(|e| Error::io(above, e))?;
            let lock = File::open(folder.path()).ok();
            // Before it is locked, the folder looks like one of a dead writer, and may be removed.
            match lock.as_ref().map_or(Claim::Unknown, |lock| claim(lock, folder.path())) {
                Claim::Ours | Claim::Unknown => return Ok(Self { folder, _lock: lock }),
                Claim::Taken | Claim::Gone => {}
            }
        }
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the temporary folders of dead writers. Ignores errors.
fn remove_abandoned(above: &Path) {
    for entry in std::fs::read_dir(above).into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let path = entry.path();
        if is_folder
            && entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && let Ok(folder) = File::open(&path)
            && claim(&folder, &path) == Claim::Ours
        {
            tracing::debug!(path = %path.display(), "removing a temporary folder of a dead writer");
            std::fs::remove_dir_all(&path).ok();
        }
    }
}

/// Only longshore uses this prefix, so that no folder of another program is removed.
const PREFIX: &str = ".longshore-";

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_is_removed_if_its_writer_is_dead() {
        let above = tempfile::tempdir().unwrap();
        let alive = TempFolder::create(above.path()).unwrap();
        let dead = above.path().join(format!("{PREFIX}abcdef"));
        let other = above.path().join("other");
        for folder in [&dead, &other] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "a").unwrap();
        }
        let second = TempFolder::create(above.path()).unwrap();
        let exist = [alive.path(), second.path(), &dead, &other].map(Path::exists);
        assert_eq!(exist, [true, true, false, true]);
        drop((alive, second));
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 1);
    }
}
