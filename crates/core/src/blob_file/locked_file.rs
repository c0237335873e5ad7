//! Files that one writer at a time uses, in this process and in others.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::claim::{Claim, claim, is_at};
use super::no_follow;

/// A file with mode 0600 that only its writer uses, and that stays when the writer ends.
///
/// Dropping the value, or the end of the process, releases the file to the next writer. An empty
/// file is removed.
#[derive(Debug)]
pub struct LockedFile {
    file: File,
    path: PathBuf,
}

impl LockedFile {
    /// Opens a regular file, or creates it in an existing folder. Does not follow a symbolic link.
    ///
    /// Returns `None` if another writer uses the file, if the file cannot be opened, or if it cannot
    /// be locked, as on Windows: two writers must never use the same file.
    #[must_use]
    pub fn open(path: PathBuf) -> Option<Self> {
        // The loop ends, because each repetition means that another writer has removed or renamed
        // the file.
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            let file = private(no_follow(&mut options)).open(&path).ok()?;
            match claim(&file, &path) {
                Claim::Ours if file.metadata().is_ok_and(|metadata| metadata.is_file()) => {
                    return Some(Self { file, path });
                }
                Claim::Gone => {}
                Claim::Ours | Claim::Taken => return None,
                Claim::Unknown => {
                    remove_if_empty(&file, &path);
                    return None;
                }
            }
        }
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

    /// Removes the file.
    ///
    /// # Errors
    /// The error of the system.
    pub fn remove(&self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
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

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
