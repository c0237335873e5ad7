//! Third-party programs to test longshore against: Debian's `docker-registry`, `skopeo` and
//! `umoci`, the engines Docker, containerd and podman, and the Python clients that longshore
//! replaces.
//!
//! Owns the commands that run these programs outside the user's home, and the messages of their
//! failures. A missing program causes a panic. `cargo xtask test` skips the tests that need a
//! missing program by name, so that no test passes without having run.

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

/// Returns true if a peer may be used. The environment variable `LONGSHORE_PEERS` lists these
/// peers, separated by spaces. Without this variable, every program on the `PATH` may be used.
#[must_use]
pub fn available(program: &str) -> bool {
    match std::env::var("LONGSHORE_PEERS") {
        Ok(listed) => listed.split_whitespace().any(|peer| peer == program),
        Err(_) => on_path(program),
    }
}

/// Runs `skopeo` without a policy file and with a time limit of two minutes, and waits until it
/// ends.
///
/// # Panics
/// If the program is not installed.
pub fn skopeo(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    let mut command = command("skopeo");
    command.args(["--insecure-policy", "--command-timeout=120s"]);
    finish(command.args(arguments))
}

/// Runs `umoci` and waits until it ends.
///
/// # Panics
/// If the program is not installed.
pub fn umoci(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
    finish(command("umoci").args(arguments))
}

/// The output and exit status of a program.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
    /// The exit status.
    pub status: ExitStatus,
    called: String,
}

impl Finished {
    /// Returns the standard output without leading and trailing whitespace.
    ///
    /// # Panics
    /// If the program failed. The message contains all its output.
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

/// Returns a peer's command with a separate home folder.
fn command(program: &str) -> Command {
    require(program);
    apart(Command::new(program))
}

fn require(program: &str) {
    assert!(
        available(program),
        "{program} is missing; `cargo xtask setup` installs it, and `cargo xtask test` skips the tests that need it"
    );
}

/// Sets a separate home folder for a command.
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
