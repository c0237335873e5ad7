//! Files on their way to a name.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::{ASIDE_PREFIX, parent, sync_folder};
use crate::error::{Error, Result};

/// A new file of a random name, mode 0600, which is gone when this is dropped: the way for content to
/// get a name only when all of it is there.
#[derive(Debug)]
pub struct Aside {
    file: NamedTempFile,
    /// Whether its mode stays.
    private: bool,
}

impl Aside {
    /// Makes one in the folder where the name is to be, or on its file system.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the folder.
    pub fn create(folder: &Path) -> Result<Self> {
        let file = tempfile::Builder::new().prefix(ASIDE_PREFIX).tempfile_in(folder);
        let file = file.map_err(|e| Error::io(folder, e))?;
        Ok(Self { file, private: false })
    }

    /// The same for a file that holds secrets: nobody but its owner reads it under its name either.
    #[must_use]
    pub fn private(self) -> Self {
        Self { private: true, ..self }
    }

    /// The open file once more, to be written from its start.
    pub(super) fn reopen(&self) -> Result<File> {
        self.file.reopen().map_err(|e| Error::io(self.file.path(), e))
    }

    /// Syncs it and gives it its name, which lasts once its folder is synced.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the path.
    pub fn name(self, path: &Path) -> Result<()> {
        self.sync(path)?;
        self.file.persist(path).map(drop).map_err(|e| Error::io(path, e.error))
    }

    /// Syncs it, gives it its name in place of what has it, and syncs the folder, so that the name
    /// lasts.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) with the path.
    pub fn publish(self, path: &Path) -> Result<()> {
        self.name(path)?;
        sync_folder(parent(path)?)
    }

    /// As [`publish`](Self::publish), but what has the name already stays, the same file.
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
        if !self.private {
            make_readable(self.file.as_file()).map_err(at)?;
        }
        self.file.as_file().sync_all().map_err(at)
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Temporary files are private; what has its final name is for everyone who may enter the folder.
#[cfg(unix)]
fn make_readable(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_readable(_: &File) -> io::Result<()> {
    Ok(())
}
