//! The programs of others that tests use: installed where that may be done, else left out by name.
//!
//! Owns the list, its installation with Debian's package manager, and what is left out. The tests'
//! side of the bargain is in the testkit: a test that needs a peer carries the peer's name.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::step::{succeed, works};

/// A program of others.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The program's name.
    pub(crate) program: &'static str,
    /// The Debian package it comes in.
    pub(crate) package: &'static str,
    /// What the names of tests that need it contain.
    pub(crate) in_test_names: &'static str,
}

/// All peers of the tests.
pub(crate) const PEERS: [Peer; 5] = [
    Peer::new("docker-registry", "docker-registry", "docker_registry"),
    Peer::new("skopeo", "skopeo", "skopeo"),
    Peer::new("umoci", "umoci", "umoci"),
    Peer::new("htpasswd", "apache2-utils", "htpasswd"),
    Peer::new("openssl", "openssl", "openssl"),
];

impl Peer {
    const fn new(
        program: &'static str,
        package: &'static str,
        in_test_names: &'static str,
    ) -> Self {
        Self { program, package, in_test_names }
    }

    /// Whether the program is on the `PATH`.
    pub(crate) fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program).is_file())
    }
}

/// Installs the peers that are missing, if it may, and returns those that are missing still.
pub(crate) fn set_up() -> Vec<&'static Peer> {
    let missing = missing();
    if missing.is_empty() {
        println!("every peer is here");
        return missing;
    }
    let names: Vec<&str> = missing.iter().map(|peer| peer.program).collect();
    println!("not here: {}", names.join(", "));
    match may_install() {
        Ok(()) => {
            if let Err(failure) = install(&missing) {
                println!("not installed: {failure}");
            }
        }
        Err(reason) => println!("not installed: {reason}"),
    }
    self::missing()
}

fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| !peer.is_here()).collect()
}

/// Whether packages may be installed here, or why not.
fn may_install() -> Result<(), &'static str> {
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("there is no apt-get on this system");
    }
    let user = Command::new("id").arg("-u").output();
    match user {
        Ok(output) if output.stdout.trim_ascii() == b"0" => Ok(()),
        _ => Err("only root may install packages"),
    }
}

fn install(peers: &[&Peer]) -> Result<(), Failure> {
    let packages: Vec<&str> = peers.iter().map(|peer| peer.package).collect();
    if install_packages(&packages).is_err() {
        // One package that this release lacks must not cost the others.
        for peer in peers {
            if let Err(failure) = succeed(&mut apt_get(&["install", peer.package])) {
                println!("{}: {failure}", peer.program);
            }
        }
    }
    Ok(())
}

/// Installs Debian's packages, if that may be done here.
pub(crate) fn install_packages(packages: &[&str]) -> Result<(), Failure> {
    may_install().map_err(Failure::new)?;
    succeed(&mut apt_get(&["update"]))?;
    let mut arguments = vec!["install", "--no-install-recommends"];
    arguments.extend(packages);
    succeed(&mut apt_get(&arguments))
}

/// `apt-get` that never asks, gives up on dead mirrors, and starts no service.
fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["--yes", "--quiet", "--option=Dpkg::Use-Pty=0"])
        .args(["--option=Acquire::Retries=2", "--option=Acquire::http::Timeout=30"])
        .args(["--option=Dpkg::Options::=--force-confold"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // docker-registry's package would start a server on port 5000; in runlevel 1 none starts.
        .env("RUNLEVEL", "1");
    command
}

/// What to say of a peer that is not there.
pub(crate) fn left_out(peer: &Peer) -> String {
    format!(
        "left out: {} (Debian: {}): tests with `{}` in their name did not run",
        peer.program, peer.package, peer.in_test_names
    )
}

/// Installs rustup's components that the checks need, if they are missing and rustup is there.
/// Returns those that are missing still.
pub(crate) fn components() -> Vec<&'static str> {
    let missing = |component: &&str| !works("cargo", &[component, "--version"]);
    for (command, component) in COMPONENTS {
        if missing(&command) && works("rustup", &["--version"]) {
            let mut rustup = Command::new("rustup");
            if let Err(failure) = succeed(rustup.args(["component", "add", component])) {
                println!("{failure}");
            }
        }
    }
    let commands = COMPONENTS.iter().map(|(command, _)| *command);
    commands.filter(missing).collect()
}

/// Subcommands of cargo, and the components of rustup that they come in.
const COMPONENTS: [(&str, &str); 2] = [("fmt", "rustfmt"), ("clippy", "clippy")];
