//! Blob files: which are known to be right, how one gets its names, how it loses them.
//!
//! A blob is one file with a name in the pool and one in each repository that has it; the file
//! system counts. Everything here blocks.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use longshore_core::blob_file::Aside;
use longshore_core::{Algorithm, Digest, Error, ErrorKind, PIECE, Result, blob_file};

use super::locks::Locks;
use super::place::{Folder, Place};
use crate::backend::UploadId;
use crate::backend::space::Space;

/// The blobs of all repositories.
#[derive(Debug)]
pub(super) struct Blobs {
    place: Place,
    space: Space,
    known: Mutex<HashMap<Digest, Stamp>>,
    /// One blob is named or unnamed by one thread at a time; which lock, its digest says.
    naming: Locks<Mutex<()>>,
}

/// What is at a blob's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or something that is not the blob.
    Nothing,
    /// The blob, checked since it was last written; its size in bytes.
    Right(u64),
    /// A file of that name, too large to be checked just now; its size in bytes.
    Unchecked(u64),
}

/// What tells that a file was not written since it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
}

impl Blobs {
    pub(super) fn new(place: Place, space: Space) -> Self {
        Self { place, space, known: Mutex::default(), naming: Locks::new() }
    }

    /// Looks what is at a blob's name, reading at most `limit` bytes to make sure.
    pub(super) fn look(&self, path: &Path, digest: &Digest, limit: u64) -> Result<Found> {
        let mut file = match blob_file::open(path) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => {
                return Ok(Found::Nothing);
            }
            Err(e) => return Err(e),
        };
        let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
        let size = metadata.len();
        if self.knows(digest, &metadata) {
            return Ok(Found::Right(size));
        }
        if size > limit {
            return Ok(Found::Unchecked(size));
        }
        let Some(algorithm) = digest.algorithm() else {
            return Ok(Found::Nothing);
        };
        if sum(&mut file, algorithm).map_err(|e| Error::io(path, e))? != *digest {
            tracing::warn!(%digest, path = %path.display(), "a stored blob is damaged");
            return Ok(Found::Nothing);
        }
        self.remember(digest, &metadata);
        Ok(Found::Right(size))
    }

    /// Whether this very file was found right, and not written since.
    pub(super) fn knows(&self, digest: &Digest, metadata: &Metadata) -> bool {
        self.known().get(digest) == Some(&Stamp::of(metadata))
    }

    /// Notes that this very file is right.
    pub(super) fn remember(&self, digest: &Digest, metadata: &Metadata) {
        let mut known = self.known();
        if known.len() >= KNOWN_LIMIT {
            known.clear();
        }
        known.insert(digest.clone(), Stamp::of(metadata));
    }

    /// Makes a finished, verified upload a blob of a repository. Says whether its file became the
    /// blob's: it is removed where one was there already.
    ///
    /// The file is on the disk before it has a name that anyone reads. The repository's name for it
    /// is once its folder is synced, which is the caller's business. The pool's name need not be: it only saves space. It comes
    /// last, so that a file that a restart takes for an upload is never one that is shared.
    pub(super) fn publish(
        &self,
        folder: &Folder,
        digest: &Digest,
        upload: &Path,
        file: &File,
    ) -> Result<bool> {
        let _naming = self.naming(digest);
        let (blob, pool) = (folder.blob(digest), self.place.pool(digest));
        create_parent(&blob)?;
        let shared = matches!(self.look(&pool, digest, SHARE_LIMIT)?, Found::Right(_));
        if shared && self.link(&pool, &blob).is_ok() {
            // The upload was a copy of what is here already.
            let _ = std::fs::remove_file(upload);
            return Ok(false);
        }
        let at = |e| Error::io(upload, e);
        file.sync_all().map_err(at)?;
        self.remember(digest, &file.metadata().map_err(at)?);
        let renamed = self.counting(&blob, || std::fs::rename(upload, &blob));
        renamed.map_err(|e| Error::io(&blob, e))?;
        self.add_to_pool(&blob, &pool);
        Ok(true)
    }

    /// Gives a blob of one repository, or of the pool, to another.
    pub(super) fn mount(
        &self,
        folder: &Folder,
        digest: &Digest,
        from: Option<&Folder>,
    ) -> Result<bool> {
        let _naming = self.naming(digest);
        let there = match from {
            Some(from) => from.blob(digest),
            None => self.place.pool(digest),
        };
        let found = self.look(&there, digest, CHECK_LIMIT)?;
        if found == Found::Nothing {
            return Ok(false);
        }
        let blob = folder.blob(digest);
        create_parent(&blob)?;
        // What is there already may be right where the other is not.
        let held = self.look(&blob, digest, CHECK_LIMIT)?;
        let replaces = match held {
            Found::Nothing => true,
            Found::Right(_) => false,
            Found::Unchecked(_) => matches!(found, Found::Right(_)),
        };
        if replaces && self.link(&there, &blob).is_err() {
            self.copy(&there, &blob)?;
        }
        sync_parent(&blob)?;
        Ok(true)
    }

    /// Takes a blob from a repository, and from the disk where it was the last to have it.
    ///
    /// The pool's name goes first: nobody would ever remove one that was left alone.
    pub(super) fn remove(&self, folder: &Folder, digest: &Digest) -> Result<bool> {
        let _naming = self.naming(digest);
        let (blob, pool) = (folder.blob(digest), self.place.pool(digest));
        if are_the_last_names(&blob, &pool) {
            std::fs::remove_file(&pool).map_err(|e| Error::io(&pool, e))?;
            self.known().remove(digest);
        }
        match self.counting(&blob, || std::fs::remove_file(&blob)) {
            Ok(()) => {}
            Err(e) if is_absent(&e) => return Ok(false),
            Err(e) => return Err(Error::io(&blob, e)),
        }
        sync_parent(&blob)?;
        Ok(true)
    }

    /// Shares a file with later uploads of the same blob. Where the file system has no links, each
    /// repository keeps a file of its own.
    fn add_to_pool(&self, blob: &Path, pool: &Path) {
        let added = create_parent_now(pool).and_then(|()| self.link(blob, pool));
        if let Err(e) = added {
            tracing::debug!(error = %e, "a blob is not shared between repositories");
        }
    }

    /// Gives a file a second name, replacing what had it.
    fn link(&self, file: &Path, name: &Path) -> io::Result<()> {
        match std::fs::hard_link(file, name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            done => return done,
        }
        let aside = self.aside().map_err(io::Error::other)?;
        std::fs::hard_link(file, &aside)?;
        let renamed = self.counting(name, || std::fs::rename(&aside, name));
        // Renaming a file onto itself leaves both names.
        let _ = std::fs::remove_file(&aside);
        renamed
    }

    fn copy(&self, file: &Path, name: &Path) -> Result<()> {
        let mut aside = Aside::create(&self.place.uploads())?;
        let mut file = blob_file::open(file)?;
        let at = |e| Error::io(name, e);
        let mut held = self.space.take(file.metadata().map_err(at)?.len())?;
        io::copy(&mut file, &mut aside).map_err(at)?;
        self.counting(name, || aside.publish(name).map_err(io::Error::other)).map_err(at)?;
        held.keep();
        Ok(())
    }

    /// Does what may take a file its last name, and notes that it is gone if so.
    fn counting(&self, name: &Path, act: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let before = std::fs::symlink_metadata(name).ok().filter(has_one_name);
        act()?;
        let after = std::fs::symlink_metadata(name).ok();
        if let Some(before) = before
            && after.is_none_or(|after| blob_file::inode(&after) != blob_file::inode(&before))
        {
            self.space.freed(before.len());
        }
        Ok(())
    }

    /// A name that nothing has, among those removed at the next start.
    fn aside(&self) -> Result<std::path::PathBuf> {
        Ok(self.place.upload(&UploadId::random()?))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Stamp>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn naming(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.naming.of(digest).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: blob_file::inode(metadata),
            size: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// The digest of what a file holds from where it stands.
pub(super) fn sum(file: &mut File, algorithm: Algorithm) -> io::Result<Digest> {
    let mut digester = algorithm.digester();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(digester.finish()),
            Ok(n) => digester.update(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Whether an error says that there is nothing of that name.
pub(super) fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Makes the folder that a file is to lie in, so that it lasts.
pub(super) fn create_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), blob_file::create_folder)
}

fn create_parent_now(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

/// Makes a file's name last.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), blob_file::sync_folder)
}

#[cfg(unix)]
fn has_one_name(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) == 1
}

#[cfg(not(unix))]
fn has_one_name(_: &Metadata) -> bool {
    false
}

/// Whether two names are of one file that has no third.
#[cfg(unix)]
fn are_the_last_names(blob: &Path, pool: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (blob, pool) = (std::fs::symlink_metadata(blob), std::fs::symlink_metadata(pool));
    matches!((blob, pool), (Ok(a), Ok(b)) if a.ino() == b.ino() && b.nlink() == 2)
}

/// Elsewhere the count is not to be had, so the pool keeps what nobody has any more.
#[cfg(not(unix))]
fn are_the_last_names(_: &Path, _: &Path) -> bool {
    false
}

/// 64 MiB: 50 ms of hashing, the longest that a client waits to be told whether a blob is there.
pub(super) const CHECK_LIMIT: u64 = 64 << 20;
/// 1 GiB: a second of hashing, to not store a blob twice. Larger ones that no one has asked for since
/// the start are stored again.
const SHARE_LIMIT: u64 = 1 << 30;
/// 65,536 blobs, some 10 MB; beyond that files are checked again.
const KNOWN_LIMIT: usize = 1 << 16;
