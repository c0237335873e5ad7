//! A registry for the benchmark.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Result;
use crate::failure::Failure;

/// A registry on a free loopback port, in its own folder; dropping it stops it.
pub(super) struct Server {
    child: Child,
    address: String,
}

impl Server {
    pub(super) fn start(longshore: &Path, root: &Path) -> Result<Self> {
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
