//! The engines that people run containers with, as far as images go: pulled, pushed, saved, loaded.
//!
//! Owns how an engine runs beside a test without touching the machine's own: its content in a
//! folder of its own, and a view of the file system of its own for what it writes elsewhere. No
//! container runs. They need root, and a kernel that lets them make such a view.

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

/// A folder for an engine: near the root, as the path of a Unix socket has 107 bytes at most.
fn folder() -> TempDir {
    let near = Path::new("/tmp");
    if near.is_dir() { TempDir::new_in(near) } else { TempDir::new() }.unwrap()
}

/// A program that finds `folder` in the place of a folder of the system. What it mounts is seen by
/// itself alone, and gone when it ends. Its process id is that of the command.
fn with_own(program: &str, place: &str, folder: &Path) -> Command {
    require(program);
    let mut command = apart(Command::new("unshare"));
    command.args(["--mount", "sh", "-c", SEE_ANOTHER, "sh"]).arg(folder).args([place, program]);
    command
}

const SEE_ANOTHER: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

/// 30 s: an engine takes a third of one to start; a loaded machine may need some.
const START_LIMIT: Duration = Duration::from_secs(30);
