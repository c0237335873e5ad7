use std::ffi::OsStr;
use std::fs;

use tempfile::TempDir;

use super::super::{Finished, finish};
use super::{folder, with_own};

/// Debian's podman, with its own content. Podman has no background process.
///
/// Dropping this value removes its folder.
#[derive(Debug)]
pub struct Podman {
    folder: TempDir,
}

impl Podman {
    /// Creates an empty folder for the content.
    #[must_use]
    pub fn new() -> Self {
        let folder = folder();
        fs::create_dir(folder.path().join("lib")).unwrap();
        Self { folder }
    }

    /// Runs `podman` and waits until it ends.
    ///
    /// # Panics
    /// If podman is not installed.
    pub fn podman(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        let at = self.folder.path();
        // podman caches known blobs in /var/lib, whatever its root is.
        let mut podman = with_own("podman", "/var/lib", &at.join("lib"));
        podman.args(["--storage-driver=vfs", "--events-backend=none", "--log-level=error"]);
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            podman.arg(option).arg(at.join(place));
        }
        finish(podman.args(arguments))
    }
}

impl Default for Podman {
    fn default() -> Self {
        Self::new()
    }
}
