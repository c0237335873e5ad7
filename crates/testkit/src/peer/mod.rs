//! Other people's programs, to hold longshore against: Debian's `docker-registry`, `skopeo` and
//! `umoci`, the engines Docker, containerd and podman, and the clients in Python that longshore takes
//! over from.
//!
//! Owns how they are called without touching the user's home and how their failures read. A missing
//! program is a panic: `cargo xtask test` leaves such tests out by name, so that none passes unseen.

mod authority;
mod docker_registry;
mod engine;
mod predecessor;

use std::ffi::OsStr;
use std::fmt;
use std::process::{Command, ExitStatus, Stdio};

pub use authority::Authority;
pub use docker_registry::DockerRegistry;
pub use engine::{Containerd, Docker, Podman};
pub use predecessor::{Predecessor, Raised, installed_program};

/// Whether a peer may be used: listed in `LONGSHORE_PEERS` (names, separated by spaces) if that is
/// set, else found on the `PATH`.
#[must_use]
pub fn available(program: &str) -> bool {
    match std::env::var("LONGSHORE_PEERS") {
        Ok(listed) => listed.split_whitespace().any(|peer| peer == program),
        Err(_) => on_path(program),
    }
}

/// Runs `skopeo` to its end: no policy file is asked, and it gives up after two minutes.
///
/// # Panics
/// If it is not there.
pub fn skopeo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    let mut command = command("skopeo");
    command.args(["--insecure-policy", "--command-timeout=120s"]);
    finish(command.args(arguments))
}

/// Runs `umoci` to its end.
///
/// # Panics
/// If it is not there.
pub fn umoci(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    finish(command("umoci").args(arguments))
}

/// What a program said, and how it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
    called: String,
}

impl Finished {
    /// Its standard output, without spaces at the ends.
    ///
    /// # Panics
    /// If it failed, with all that it said.
    pub fn succeeded(&self) -> &str {
        assert!(self.status.success(), "{self}");
        self.stdout.trim()
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stdout, stderr, status, called } = self;
        write!(f, "{called}: {status}\n{stdout}{stderr}")
    }
}

/// A peer's command, in a home of its own.
fn command(program: &str) -> Command {
    require(program);
    apart(Command::new(program))
}

fn require(program: &str) {
    assert!(
        available(program),
        "{program} is not here; `cargo xtask setup` installs it, and `cargo xtask test` leaves out the tests that need it"
    );
}

/// The command, in a home of its own.
fn apart(mut command: Command) -> Command {
    let nowhere = std::env::temp_dir().join("longshore-testkit-no-home");
    command
        .env("HOME", &nowhere)
        .env("XDG_RUNTIME_DIR", &nowhere)
        .env("XDG_CONFIG_HOME", &nowhere)
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("DOCKER_CONFIG");
    command
}

fn finish(command: &mut Command) -> Finished {
    let called = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().unwrap();
    Finished {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status,
        called,
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
