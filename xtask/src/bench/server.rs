//! A registry for the benchmark.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::Result;
use super::certificate::Certificate;
use crate::failure::Failure;

/// The kind of registry.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Longshore,
    /// longshore without a folder.
    LongshoreInMemory,
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
    /// The address of longshore's metrics.
    metrics: Option<String>,
}

impl Server {
    /// Starts a registry, with TLS if there is a certificate. `longshore` is the program.
    pub(super) fn start(
        kind: Kind,
        longshore: &Path,
        root: &Path,
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        match kind {
            Kind::Longshore => Self::longshore(longshore, Some(root), certificate),
            Kind::LongshoreInMemory => Self::longshore(longshore, None, certificate),
            Kind::DockerRegistry => Self::docker_registry(root, certificate),
        }
    }

    fn longshore(
        longshore: &Path,
        root: Option<&Path>,
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        let mut command = Command::new(longshore);
        command.args(["serve", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        match root {
            Some(root) => command.arg("--root").arg(root),
            None => command.arg("--memory"),
        };
        if let Some(Certificate { certificate, key }) = certificate {
            command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Failure::io(longshore, &e))?;
        let stdout = child.stdout.take();
        let mut server = Self { child, address: String::new(), metrics: None };
        let mut lines = stdout.into_iter().flat_map(|stdout| BufReader::new(stdout).lines());
        while server.address.is_empty() {
            let line = lines
                .next()
                .ok_or_else(|| Failure::new("the registry did not start"))?
                .map_err(|e| Failure::io(longshore, &e))?;
            if let Some(address) = line.strip_prefix("listening on ") {
                address.clone_into(&mut server.address);
            } else if let Some(url) = line.strip_prefix("metrics at http://") {
                server.metrics = url.strip_suffix("/metrics").map(str::to_owned);
            }
        }
        Ok(server)
    }

    fn docker_registry(root: &Path, certificate: Option<&Certificate>) -> Result<Self> {
        let failed = |e: std::io::Error| Failure::io(root, &e);
        std::fs::create_dir_all(root).map_err(failed)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.map_err(failed)?.to_string();
        let tls = certificate.map_or_else(String::new, |Certificate { certificate, key }| {
            let (certificate, key) = (certificate.display(), key.display());
            format!(", tls: {{certificate: {certificate}, key: {key}}}")
        });
        let config = root.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}, level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'{tls}}}\n",
            root.display()
        );
        std::fs::write(&config, text).map_err(failed)?;
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|e| Failure::new(format!("cannot run docker-registry: {e}")))?;
        let mut server = Self { child, address, metrics: None };
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

    /// Returns the number of requests that the registry has finished; `None` if the registry does
    /// not count them.
    pub(super) fn requests(&self) -> Result<Option<u64>> {
        let Some(metrics) = &self.metrics else { return Ok(None) };
        let failed = |e: std::io::Error| Failure::new(format!("the metrics at {metrics}: {e}"));
        let mut stream = TcpStream::connect(metrics).map_err(failed)?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {metrics}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut page = String::new();
        stream.read_to_string(&mut page).map_err(failed)?;
        Ok(Some(counted_requests(&page)))
    }
}

/// Adds up the requests of all methods, paths and statuses on longshore's page of metrics.
fn counted_requests(page: &str) -> u64 {
    page.lines()
        .filter(|line| line.starts_with("longshore_requests_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_kinds_are_added_up() {
        let page = "HTTP/1.1 200 OK\r\n\r\n# TYPE longshore_requests_total counter\n\
            longshore_requests_total{method=\"GET\",route=\"blob\",status=\"200\"} 9\n\
            longshore_requests_total{method=\"PUT\",route=\"manifest\",status=\"201\"} 4\n\
            longshore_sent_bytes_total 79\n";
        assert_eq!(counted_requests(page), 13);
        assert_eq!(counted_requests("longshore_sent_bytes_total 79\n"), 0);
    }
}
