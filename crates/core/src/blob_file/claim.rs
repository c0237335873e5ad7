//! Locks on temporary files, which show whether the writer of a file is alive.
//!
//! A writer locks its temporary file until the file has its final name. The system releases the
//! lock when the process ends, even after `kill -9`. Whoever can lock a temporary file therefore
//! knows that it is abandoned.

use std::fs::{File, TryLockError};
use std::path::Path;

/// The result of an attempt to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// This handle has locked the file, until it and its clones are closed.
    Ours,
    /// Another writer has locked the file.
    Taken,
    /// The path no longer refers to this file.
    Gone,
    /// The file cannot be locked, as on Windows and on network file systems.
    Unknown,
}

/// Tries to lock an open file.
///
/// On Windows, a lock would also exclude the other handles of this process, so no file is locked.
pub(super) fn claim(file: &File, path: &Path) -> Claim {
    if cfg!(not(unix)) || may_be_remote(file) {
        return Claim::Unknown;
    }
    match file.try_lock() {
        Ok(()) if is_at(file, path) => Claim::Ours,
        Ok(()) => Claim::Gone,
        Err(TryLockError::WouldBlock) => Claim::Taken,
        Err(TryLockError::Error(_)) => Claim::Unknown,
    }
}

/// Returns true if a path refers to this open file.
#[cfg(unix)]
pub(crate) fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(open), Ok(current)) => (open.dev(), open.ino()) == (current.dev(), current.ino()),
        _ => false,
    }
}

/// Always returns true, because an open file cannot be replaced on these systems.
#[cfg(not(unix))]
pub(crate) fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Returns true for a file system on which a lock may exclude only the processes of this machine, so
/// that it would not protect the file from writers on other machines.
#[cfg(target_os = "linux")]
fn may_be_remote(file: &File) -> bool {
    /// NFS, SMB, CIFS, FUSE, 9P, Lustre, AFS, Ceph and GPFS, from the Linux manual page statfs(2) and
    /// the sources of these file systems.
    const REMOTE: [u64; 9] = [
        0x6969,
        0xfe53_4d42,
        0xff53_4d42,
        0x6573_5546,
        0x0102_1997,
        0x0bd0_0bd0,
        0x5346_414f,
        0x00c3_6400,
        0x4750_4653,
    ];
    match rustix::fs::fstatfs(file) {
        // The sign and the size of the field depend on the platform.
        Ok(found) => REMOTE.contains(&(found.f_type as u64 & 0xffff_ffff)),
        Err(_) => true,
    }
}

#[cfg(not(target_os = "linux"))]
fn may_be_remote(_: &File) -> bool {
    false
}

/// Another writer may remove a temporary file before it is locked. This is rare, so more attempts
/// than this mean that the file system does not behave as expected.
pub(super) const ATTEMPTS: usize = 16;
