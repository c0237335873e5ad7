//! Temporary files that are renamed once they are complete.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::claim::{ATTEMPTS, Claim, claim};
use super::{TEMP_PREFIX, parent, sync_folder};
use crate::error::{Error, Result};

/// A new file with a random name and mode 0600. It is locked while its writer is alive, and removed
/// on drop. It gets its final name only when its content is complete.
#[derive(Debug)]
pub struct TempFile {
    file: NamedTempFile,
    /// True if the file keeps mode 0600.
    private: bool,
}

impl TempFile {
    /// Creates the file in `folder`, which must be on the file system of the final name.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the folder.
    pub fn create(folder: &Path) -> Result<Self> {
        let mut attempts = 0;
        loop {
            let file = tempfile::Builder::new().prefix(TEMP_PREFIX).tempfile_in(folder);
            let file = file.map_err(|e| Error::io(folder, e))?;
            attempts += 1;
            // Until it is locked, the file looks abandoned, and another writer may remove it.
            match claim(file.as_file(), file.path()) {
                Claim::Taken | Claim::Gone if attempts < ATTEMPTS => {}
                _ => return Ok(Self { file, private: false }),
            }
        }
    }

    /// Keeps mode 0600 under the final name, for a file that holds secrets.
    #[must_use]
    pub fn private(self) -> Self {
        Self { private: true, ..self }
    }

    /// Returns another handle of the file, which shares the lock and the position.
    pub(super) fn handle(&self) -> Result<File> {
        self.file.as_file().try_clone().map_err(|e| Error::io(self.file.path(), e))
    }

    /// Syncs the file and renames it to `path`. The name is durable once its folder is synced.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the path.
    pub fn name(self, path: &Path) -> Result<()> {
        self.sync(path)?;
        self.file.persist(path).map(drop).map_err(|e| Error::io(path, e.error))
    }

    /// Syncs the file, renames it to `path`, and syncs the folder, so that the name is durable.
    /// Replaces an existing file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the path.
    pub fn publish(self, path: &Path) -> Result<()> {
        self.name(path)?;
        sync_folder(parent(path)?)
    }

    /// Same as [`publish`](Self::publish), but keeps an existing file.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the path.
    pub(super) fn publish_new(self, path: &Path) -> Result<()> {
        self.sync(path)?;
        match self.file.persist_noclobber(path) {
            Ok(_) => sync_folder(parent(path)?),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(e) => Err(Error::io(path, e.error)),
        }
    }

    fn sync(&self, path: &Path) -> Result<()> {
        let at = |e| Error::io(path, e);
        match self.private {
            true => self.file.as_file().sync_all().map_err(at),
            false => publish(self.file.as_file()).map_err(at),
        }
    }
}

impl Write for TempFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Makes a file readable by all users with access to its folder, and syncs it. Temporary files are
/// created private.
pub(super) fn publish(file: &File) -> io::Result<()> {
    make_readable(file)?;
    file.sync_all()
}

#[cfg(unix)]
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> io::Result<()> {
    Ok(())
}
