use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::{Finished, apart, command, finish};
use super::{START_LIMIT, folder};
use crate::process::Process;

/// Debian's containerd, with its own content and socket.
///
/// Dropping this value stops containerd and removes its folder.
#[derive(Debug)]
pub struct Containerd {
    process: Process,
    folder: TempDir,
}

impl Containerd {
    /// Starts the engine, and waits until it is ready.
    ///
    /// # Panics
    /// If containerd is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let folder = folder();
        let file = folder.path().join("config.toml");
        fs::write(&file, configuration(folder.path())).unwrap();
        let process = Process::start(command("containerd").arg("--config").arg(file));
        let answers = process.wait_for("successfully booted", START_LIMIT);
        assert!(answers.is_some(), "containerd does not start:\n{}", process.printed());
        Self { process, folder }
    }

    /// Runs `ctr` and waits until it ends.
    pub fn ctr(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        let mut ctr = apart(Command::new("ctr"));
        finish(ctr.arg("--address").arg(self.socket()).args(arguments))
    }

    /// Returns the process id of containerd.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }
}

/// Returns a configuration without the Kubernetes interface, which needs a network, and without
/// `/opt/containerd`.
fn configuration(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "version = 2\n\
         root = '{folder}/root'\n\
         state = '{folder}/state'\n\
         disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
         [grpc]\naddress = '{folder}/s'\n"
    )
}
