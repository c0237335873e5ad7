//! Who else can read a file with secrets in it.

use std::fs::Metadata;
use std::path::Path;

/// Warns if everybody on this machine can read a file that holds secrets.
#[cfg(unix)]
pub(super) fn warn_if_open(path: &Path, metadata: &Metadata) {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o004 != 0 {
        tracing::warn!(
            "{} holds credentials and can be read by everybody on this machine: chmod 600 it",
            path.display()
        );
    }
}

#[cfg(not(unix))]
pub(super) fn warn_if_open(_: &Path, _: &Metadata) {}
