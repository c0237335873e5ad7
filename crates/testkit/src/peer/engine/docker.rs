use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::super::{Finished, apart, finish};
use super::{Containerd, START_LIMIT, folder, with_own};
use crate::process::Process;

/// Debian's Docker Engine with its client, with its own content, socket and `/etc/docker`.
///
/// Dropping this value stops the engine and its containerd, and removes its folder.
#[derive(Debug)]
pub struct Docker {
    process: Process,
    client: PathBuf,
    _containerd: Containerd,
    folder: TempDir,
}

impl Docker {
    /// Starts the engine, and waits until it is ready.
    ///
    /// # Panics
    /// If the engine or its client is not installed, or the engine does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an engine that reaches TLS registries through this proxy.
    ///
    /// Docker does not check certificates of addresses in 127.0.0.0/8, or of names that resolve to
    /// them. It does check the certificate of a name that only the proxy can resolve.
    ///
    /// # Panics
    /// If the engine or its client is not installed, or the engine does not start.
    #[must_use]
    pub fn behind(proxy: SocketAddr) -> Self {
        Self::start_with(&[("HTTPS_PROXY", format!("http://{proxy}"))])
    }

    fn start_with(environment: &[(&str, String)]) -> Self {
        let (folder, containerd) = (folder(), Containerd::start());
        let at = folder.path();
        fs::create_dir(at.join("etc")).unwrap();
        let mut command = with_own("dockerd", "/etc/docker", &at.join("etc"));
        command
            .arg(format!("--host=unix://{}", at.join("s").display()))
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .arg("--storage-driver=vfs")
            .arg("--containerd")
            .arg(containerd.socket());
        for (option, file) in
            [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")]
        {
            command.arg(option).arg(at.join(file));
        }
        let environment = environment.iter().map(|(name, value)| (name, value));
        let process = Process::start(command.envs(environment));
        let answers = process.wait_for("API listen on", START_LIMIT);
        assert!(answers.is_some(), "dockerd does not start:\n{}", process.printed());
        let client = client(at);
        Self { process, client, _containerd: containerd, folder }
    }

    /// Runs `docker` and waits until it ends. The client uses the credentials that it stored
    /// earlier.
    pub fn docker(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Finished {
        finish(self.command().args(arguments))
    }

    /// Returns a `docker` command without arguments. The client uses the credentials that it stored
    /// earlier.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut docker = call(&self.client, self.folder.path());
        docker.arg("--config").arg(self.credentials());
        docker
    }

    /// Returns the folder of the client's `config.json`, the value of `DOCKER_CONFIG`.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.folder.path().join("client")
    }

    /// Makes the engine trust this authority for one registry, through a file in `certs.d`.
    pub fn trust(&self, registry: &str, authority: &Path) {
        let place = self.folder.path().join("etc/certs.d").join(registry);
        fs::create_dir_all(&place).unwrap();
        fs::copy(authority, place.join("ca.crt")).unwrap();
    }

    /// Returns the process id of the engine.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Finds the first client on the `PATH` that works with the engine. Earlier clients may belong to
/// another engine.
fn client(folder: &Path) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let clients = std::env::split_paths(&path).map(|place| place.join("docker"));
    let mut said = String::new();
    for client in clients.filter(|client| client.is_file()) {
        let finished = finish(call(&client, folder).arg("version"));
        if finished.status.success() {
            return client;
        }
        said.push_str(&finished.to_string());
    }
    panic!("no docker on the PATH works with the engine: {said}");
}

fn call(client: &Path, folder: &Path) -> Command {
    let mut docker = apart(Command::new(client));
    docker.arg(format!("--host=unix://{}", folder.join("s").display()));
    docker
}
