//! A registry for the benchmark.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Result;
use crate::failure::Failure;

/// The kind of registry.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Longshore,
    /// Debian's package `docker-registry`: distribution.
    DockerRegistry,
}

impl Kind {
    pub(super) fn parse(name: &str) -> Result<Self> {
        match name {
            "longshore" => Ok(Self::Longshore),
            "docker-registry" => Ok(Self::DockerRegistry),
            _ => Err(Failure::new(format!(
                "not a registry: {name}; expected longshore or docker-registry"
            ))),
        }
    }
}

/// A registry on a free loopback port, in its own folder. Dropping this value stops the registry.
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(super) fn start(kind: Kind, longshore: &Path, root: &Path) -> Result<Self> {
        match kind {
            Kind::Longshore => Self::longshore(longshore, root),
            Kind::DockerRegistry => Self::docker_registry(root),
        }
    }

    fn longshore(longshore: &Path, root: &Path) -> Result<Self> {
        let mut child = Command::new(longshore)
            .args(["serve", "--listen", "127.0.0.1:0", "--root"])
            .arg(root)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Failure::io(longshore, &e))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(|e| Failure::io(longshore, &e))?;
        }
        match line.trim().strip_prefix("listening on ") {
            Some(address) => Ok(Self { child, address: address.to_owned() }),
            None => Err(Failure::new(format!("the registry did not start: {line:?}"))),
        }
    }

    fn docker_registry(root: &Path) -> Result<Self> {
        let failed = |e: std::io::Error| Failure::io(root, &e);
        std::fs::create_dir_all(root).map_err(failed)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(failed)?.to_string();
        let config = root.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
            root.display()
        );
        std::fs::write(&config, text).map_err(failed)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| Failure::new(format!("cannot run docker-registry: {e}")))?;
        let mut server = Self { child, address };
        for _ in 0..500 {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(Failure::new(format!("docker-registry exited: {status}")));
            }
            if TcpStream::connect(&server.address).is_ok() {
                return Ok(server);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(Failure::new("docker-registry did not start within 5 seconds"))
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
