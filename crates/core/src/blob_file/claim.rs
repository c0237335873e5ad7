//! Locks on temporary files, which show whether the writer of a file is alive.
//!
//! A writer locks its temporary file until the file has its final name. The system releases the
//! lock when the process ends, even after `kill -9`. Whoever can lock a temporary file therefore
//! knows that it is abandoned.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::partial::partial_blob;
use crate::digest::Digest;

/// The result of an attempt to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The file is locked until this process closes it.
    Ours,
    /// Another writer has locked the file.
    Taken,
    /// The path no longer refers to this file.
    Gone,
    /// The file system does not support locks.
    Unknown,
}

/// Tries to lock an open file.
///
/// On Windows, a lock would also exclude the other handles of this process, so no file is locked.
pub(super) fn claim(file: &File, path: &Path) -> Claim {
    if cfg!(not(unix)) {
        return Claim::Unknown;
    }
    match file.try_lock() {
        Ok(()) if is_at(file, path) => Claim::Ours,
        Ok(()) => Claim::Gone,
        Err(std::fs::TryLockError::WouldBlock) => Claim::Taken,
        Err(std::fs::TryLockError::Error(_)) => Claim::Unknown,
    }
}

/// Returns true if a path refers to this open file.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(open), Ok(current)) => (open.dev(), open.ino()) == (current.dev(), current.ino()),
        _ => false,
    }
}

/// Always returns true, because an open file cannot be replaced on these systems.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Removes a temporary file if its writer is dead. Keeps the first bytes of a blob for a week, so
/// that a later writer can continue there, unless the blob `exists` by now. Ignores errors.
///
/// - `now`: the time of the clock that sets the times of files in the folder.
pub(crate) fn remove_abandoned(path: &Path, now: SystemTime, exists: impl Fn(&Digest) -> bool) {
    let Ok(file) = super::open(path) else { return };
    let keep_for = match (claim(&file, path), partial_blob(path)) {
        (Claim::Ours, Some(digest)) if !exists(&digest) => Duration::from_secs(7 * DAY),
        (Claim::Ours, _) => Duration::ZERO,
        // Without locks, a file is abandoned if it is older than any usual transfer.
        (Claim::Unknown, _) => Duration::from_secs(DAY),
        (Claim::Taken | Claim::Gone, _) => return,
    };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
    if keep_for.is_zero() || age.is_some_and(|age| age > keep_for) {
        tracing::debug!(path = %path.display(), "removing a temporary file of a dead writer");
        std::fs::remove_file(path).ok();
    }
}

const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob_file::{TEMP_PREFIX, TempFile};

    #[cfg(unix)]
    #[test]
    fn a_temporary_file_is_removed_if_its_writer_is_dead() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let _writer = TempFile::create(folder.path()).unwrap();
        let alive = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let dead = folder.path().join(format!("{TEMP_PREFIX}abcdef"));
        let digest = Digest::sha256(b"abc");
        let partial = folder.path().join(format!("{TEMP_PREFIX}{}", digest.file_name()));
        let remove_all = |now, blob_exists| {
            for entry in std::fs::read_dir(folder.path()).unwrap() {
                remove_abandoned(&entry.unwrap().path(), now, |_| blob_exists);
            }
            let exists = |path: &Path| path.exists();
            (exists(&alive), exists(&dead), exists(&partial))
        };
        let write = || [&dead, &partial].map(|path| std::fs::write(path, "a").unwrap());
        write();
        assert_eq!(remove_all(now, false), (true, false, true));
        assert_eq!(remove_all(now + Duration::from_secs(8 * DAY), false), (true, false, false));
        write();
        assert_eq!(remove_all(now, true), (true, false, false));
    }
}
