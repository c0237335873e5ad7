//! Checks the permissions of files with secrets.

use std::fs::Metadata;
use std::path::Path;

/// Warns if every user of this machine can read a file with secrets. Warns once per process and
/// file, because files are read on each lookup.
#[cfg(unix)]
pub(super) fn warn_if_open(path: &Path, metadata: &Metadata) {
    use std::collections::BTreeSet;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;
    use std::sync::{Mutex, PoisonError};

    static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let is_open = metadata.permissions().mode() & 0o004 != 0;
    if is_open && WARNED.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        tracing::warn!(
            "{} contains credentials that all users of this machine can read: run chmod 600 on it",
            path.display()
        );
    }
}

#[cfg(not(unix))]
pub(super) fn warn_if_open(_: &Path, _: &Metadata) {}
