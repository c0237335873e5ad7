use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::{Authority, command, finish};
use crate::process::Process;

/// Debian's `docker-registry` (CNCF distribution), on a free loopback port, in its own folder.
///
/// Dropping this value stops the registry and removes its folder.
#[derive(Debug)]
pub struct DockerRegistry {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl DockerRegistry {
    /// Starts a registry for anonymous clients, over plain HTTP.
    ///
    /// # Panics
    /// If `docker-registry` is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::launch(tempfile::tempdir().unwrap(), "", "")
    }

    /// Starts a registry that requires this user and password (Basic authentication).
    ///
    /// # Panics
    /// If `docker-registry` or `htpasswd` is not installed, or does not start.
    #[must_use]
    pub fn with_htpasswd(user: &str, password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // -C 5 is a low bcrypt cost, because the registry checks the password on each request.
        let line = finish(command("htpasswd").args(["-B", "-C", "5", "-b", "-n", user, password]));
        let users = folder.path().join("htpasswd");
        fs::write(&users, line.succeeded()).unwrap();
        let auth =
            format!("auth:\n  htpasswd:\n    realm: testkit\n    path: {}\n", users.display());
        Self::launch(folder, "", &auth)
    }

    /// Starts a registry over TLS with a certificate of this authority.
    ///
    /// # Panics
    /// If `docker-registry` is not installed or does not start.
    #[must_use]
    pub fn with_tls(authority: &Authority) -> Self {
        let tls = format!(
            "  tls:\n    certificate: {}\n    key: {}\n",
            authority.server_certificate_file().display(),
            authority.server_key_file().display()
        );
        Self::launch(tempfile::tempdir().unwrap(), &tls, "")
    }

    /// Returns the registry's address, `127.0.0.1:port`, as in a reference.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the registry's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the registry's log, which has a line for each request.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.printed()
    }

    /// Returns the folder of the registry's content.
    #[must_use]
    pub fn storage(&self) -> std::path::PathBuf {
        self.folder.path().join("storage")
    }

    /// Starts the registry on a free port. The port is chosen before the start, so another program
    /// may take the port in between. The start is therefore attempted several times.
    fn launch(folder: TempDir, tls: &str, auth: &str) -> Self {
        let mut output = String::new();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let process = spawn(folder.path(), port, tls, auth);
            if process.wait_for("listening on", START_LIMIT).is_some() {
                return Self { process, port, folder };
            }
            output = process.printed();
        }
        panic!("docker-registry does not start:\n{output}");
    }
}

fn spawn(folder: &Path, port: u16, tls: &str, auth: &str) -> Process {
    let storage = folder.join("storage");
    let configuration = format!(
        "version: 0.1\n\
         log:\n  level: info\n\
         storage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\n\
         {auth}\
         http:\n  addr: 127.0.0.1:{port}\n{tls}",
        storage.display()
    );
    let file = folder.join("config.yml");
    fs::write(&file, configuration).unwrap();
    Process::start(command("docker-registry").arg("serve").arg(&file))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// 5 attempts: losing the race for a port twice in a row is already rare.
const ATTEMPTS: usize = 5;

/// 30 s: starting takes 0.1 s, but a loaded machine may need longer.
const START_LIMIT: Duration = Duration::from_secs(30);
