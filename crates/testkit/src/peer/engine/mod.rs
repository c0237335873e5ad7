//! Container engines as peers, for pulling, pushing, saving and loading images.
//!
//! Owns the isolation of a test's engine from the machine's engine. A test's engine has its own
//! content folder, and its own mount namespace for files that it writes elsewhere. The tests run no
//! containers. The engines need root, and a kernel that allows mount namespaces.

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

/// Creates a folder for an engine. The folder is near the root, because the path of a Unix socket
/// has at most 107 bytes.
fn folder() -> TempDir {
    let near = Path::new("/tmp");
    if near.is_dir() { TempDir::new_in(near) } else { TempDir::new() }.unwrap()
}

/// Returns a command whose program sees `folder` in place of the system folder `place`. The mount
/// is visible only to the program, and disappears when the program ends. The command and the
/// program have the same process id.
fn with_own(program: &str, place: &str, folder: &Path) -> Command {
    require(program);
    let mut command = apart(Command::new("unshare"));
    command.args(["--mount", "sh", "-c", SEE_ANOTHER, "sh"]).arg(folder).args([place, program]);
    command
}

const SEE_ANOTHER: &str = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;

/// 30 s: an engine starts in a third of a second, but a loaded machine may need longer.
const START_LIMIT: Duration = Duration::from_secs(30);
