//! Third-party programs that some tests need. Missing programs are installed if possible.
//! Otherwise, the tests that need them are skipped by name.
//!
//! Owns the list, the installation with Debian's package manager, and the report of skipped tests.
//! By a convention of the testkit, the name of a test contains the name of the peer that it needs.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::step::{cargo, succeed, works};

/// A third-party program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The program's name.
    pub(crate) program: &'static str,
    /// Its Debian packages. Not every release has all of them.
    pub(crate) packages: &'static [&'static str],
    /// Tests with this text in their name need the program.
    pub(crate) in_test_names: &'static str,
    /// True if the tests also need the program to start, which requires root and kernel support.
    pub(crate) must_start: bool,
}

/// All peers of the tests.
pub(crate) const PEERS: [Peer; 8] = [
    Peer::new("docker-registry", &["docker-registry"], "docker_registry"),
    Peer::new("skopeo", &["skopeo"], "skopeo"),
    Peer::new("umoci", &["umoci"], "umoci"),
    Peer::new("htpasswd", &["apache2-utils"], "htpasswd"),
    Peer::new("openssl", &["openssl"], "openssl"),
    // Docker's client has been a separate package since Debian 13.
    Peer::engine("dockerd", &["docker.io", "docker-cli", "containerd"], "dockerd"),
    Peer::engine("containerd", &["containerd"], "containerd"),
    Peer::engine("podman", &["podman", "uidmap"], "podman"),
];

impl Peer {
    const fn new(
        program: &'static str,
        packages: &'static [&'static str],
        in_test_names: &'static str,
    ) -> Self {
        Self { program, packages, in_test_names, must_start: false }
    }

    const fn engine(
        program: &'static str,
        packages: &'static [&'static str],
        in_test_names: &'static str,
    ) -> Self {
        Self { must_start: true, ..Self::new(program, packages, in_test_names) }
    }

    /// Returns true if the program is on the `PATH`.
    pub(crate) fn is_here(&self) -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(self.program).is_file())
    }
}

/// Installs the missing peers if possible, and returns those that are still missing.
pub(crate) fn set_up() -> Vec<&'static Peer> {
    let missing = missing();
    if missing.is_empty() {
        println!("all peers are installed");
        return missing;
    }
    let names: Vec<&str> = missing.iter().map(|peer| peer.program).collect();
    println!("missing: {}", names.join(", "));
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

/// Returns the missing peers.
pub(crate) fn missing() -> Vec<&'static Peer> {
    PEERS.iter().filter(|peer| !peer.is_here()).collect()
}

/// Checks that packages may be installed on this machine. The error is the reason why not.
pub(crate) fn may_install() -> Result<(), &'static str> {
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
    may_install().map_err(Failure::new)?;
    succeed(&mut apt_get(&["update"]))?;
    let packages = |peer: &&Peer| peer.packages.iter().copied().filter(|name| is_known(name));
    let all: Vec<&str> = peers.iter().flat_map(packages).collect();
    if succeed(&mut installation(&all)).is_err() {
        // An unavailable package must not block the others.
        for peer in peers {
            let packages: Vec<&str> = packages(peer).collect();
            if let Err(failure) = succeed(&mut installation(&packages)) {
                println!("{}: {failure}", peer.program);
            }
        }
    }
    Ok(())
}

/// Returns true if this release of Debian has a package with that name.
fn is_known(package: &str) -> bool {
    works("apt-cache", &["show", "--quiet", package])
}

/// Installs Debian packages, if allowed.
pub(crate) fn install_packages(packages: &[&str]) -> Result<(), Failure> {
    may_install().map_err(Failure::new)?;
    succeed(&mut apt_get(&["update"]))?;
    succeed(&mut installation(packages))
}

fn installation(packages: &[&str]) -> Command {
    let mut command = apt_get(&["install", "--no-install-recommends"]);
    command.args(packages);
    command
}

/// Returns an `apt-get` that never prompts, gives up on unreachable mirrors, and starts no service.
fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(["--yes", "--quiet", "--option=Dpkg::Use-Pty=0"])
        .args(["--option=Acquire::Retries=2", "--option=Acquire::http::Timeout=30"])
        .args(["--option=Dpkg::Options::=--force-confold"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // The package docker-registry would start a server on port 5000, and docker.io the engine.
        // In runlevel 1, packages start nothing.
        .env("RUNLEVEL", "1");
    command
}

/// Returns the engines that fail to start. Determines this with the tests of the target `peers`,
/// which are already built.
pub(crate) fn do_not_start() -> Result<Vec<&'static Peer>, Failure> {
    let engines = PEERS.iter().filter(|peer| peer.must_start && peer.is_here());
    let mut failed = Vec::new();
    for peer in engines {
        let mut test = cargo();
        test.args(["test", "--quiet", "--workspace", "--test", "peers", "--", peer.in_test_names]);
        if let Err(failure) = succeed(&mut test) {
            println!("{}: {failure}", peer.program);
            failed.push(peer);
        }
    }
    Ok(failed)
}

/// Returns the report on a peer that is missing or does not start.
pub(crate) fn left_out(peer: &Peer) -> String {
    let why = if peer.is_here() { "does not start" } else { "is not installed" };
    format!(
        "{} {why} (Debian: {}): tests with `{}` in their name did not run",
        peer.program,
        peer.packages.join(" "),
        peer.in_test_names
    )
}
