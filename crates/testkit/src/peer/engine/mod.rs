//! Container engines as peers for images: pulled, pushed, saved, loaded.
//!
//! Owns the isolation of an engine from the machine's own: it has its own content folder, and its
//! own mount namespace for files that it writes elsewhere. No container runs. Engines need root,
//! and a kernel that allows mount namespaces.

mod containerd;
mod docker;
mod podman;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub use containerd::Containerd;
pub use docker::Docker;
pub use podman::Podman;

use super::{apart, require};

/// Returns a folder for an engine, near the root, because a Unix socket's path has at most 107
/// bytes.
fn folder() -> TempDir {
    let near = Path::new("/tmp");
    if near.is_dir() { TempDir::new_in(near) } else { TempDir::new() }.unwrap()
}

/// Returns a program that sees `folder` in place of a system folder. Its mounts are visible only to
/// itself, and end with it. Its process id is that of the command.
fn with_own(program: &str, place: &str, folder: &Path) -> Command {
    require(program);
    let mut command = apart(Command::new("unshare"));
    command.args(["--mount", "sh", "-c", SEE_ANOTHER, "sh"]).arg(folder).args([place, program]);
    command
}

const SEE_ANOTHER: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

/// 30 s: an engine starts in a third of a second; a loaded machine may need longer.
const START_LIMIT: Duration = Duration::from_secs(30);
