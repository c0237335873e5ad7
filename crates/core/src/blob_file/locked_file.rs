//! Files that one writer at a time uses, in this process and in others.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::claim::{ATTEMPTS, Claim, claim, is_at};
use super::no_follow;

/// A file that one writer at a time uses, and that stays when the writer ends. New files have mode
/// 0600.
///
/// Dropping the value, or the end of the process, releases the file to the next writer. An empty
/// file is removed.
#[derive(Debug)]
pub struct LockedFile {
    file: File,
    path: PathBuf,
}

impl LockedFile {
    /// Opens a regular file of this user, or creates it in an existing folder. Does not follow a
    /// symbolic link, and does not open a file that has other names.
    ///
    /// Returns `None` if another writer uses the file, or if the file cannot be opened or locked. On
    /// Windows, no file can be locked.
    #[must_use]
    pub fn open(path: PathBuf) -> Option<Self> {
        for _ in 0..ATTEMPTS {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = private(no_follow(&mut options)).open(&path).ok()?;
            match claim(&file, &path) {
                Claim::Ours if is_own(&file) => return Some(Self { file, path }),
                Claim::Gone => {}
                Claim::Ours | Claim::Taken => return None,
                Claim::Unknown => {
                    remove_if_empty(&file, &path);
                    return None;
                }
            }
        }
        None
    }

    /// Returns the open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if the path still refers to the file.
    pub(super) fn is_in_place(&self) -> bool {
        is_at(&self.file, &self.path)
    }

    /// Removes the file, unless the path refers to another file by now.
    ///
    /// # Errors
    /// The error of the system.
    pub fn remove(self) -> io::Result<()> {
        match self.is_in_place() {
            true => std::fs::remove_file(&self.path),
            false => Ok(()),
        }
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        remove_if_empty(&self.file, &self.path);
    }
}

fn remove_if_empty(file: &File, path: &Path) {
    let is_empty = file.metadata().is_ok_and(|metadata| metadata.len() == 0);
    if is_empty && is_at(file, path) {
        std::fs::remove_file(path).ok();
    }
}

/// Returns true for a regular file that belongs to this user and has only one name. Another user
/// could change any other file under its final name, and a change would affect its other names.
#[cfg(unix)]
fn is_own(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let user = rustix::process::geteuid().as_raw();
    file.metadata().is_ok_and(|found| found.is_file() && found.nlink() == 1 && found.uid() == user)
}

#[cfg(not(unix))]
fn is_own(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.is_file())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
