//! Tests that the peers start, answer and end.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use longshore_testkit::peer::{
    Authority, Containerd, Docker, DockerRegistry, Podman, skopeo, umoci,
};

/// Sends a request over plain HTTP. Returns the whole reply.
fn exchange(registry: &DockerRegistry, headers: &str) -> String {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    write!(stream, "GET /v2/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn docker_registry_answers_and_ends_when_dropped() {
    let registry = DockerRegistry::start();
    assert!(exchange(&registry, "").starts_with("HTTP/1.1 200"));
    let address = registry.address();
    drop(registry);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn docker_registry_with_htpasswd_requires_a_login() {
    let registry = DockerRegistry::with_htpasswd("ann", "secret");
    let refused = exchange(&registry, "");
    assert!(refused.starts_with("HTTP/1.1 401"), "{refused}");
    // The login "ann:secret" in base64.
    let authenticated = exchange(&registry, "authorization: Basic YW5uOnNlY3JldA==\r\n");
    assert!(authenticated.starts_with("HTTP/1.1 200"), "{authenticated}");
}

#[test]
fn skopeo_trusts_docker_registry_with_a_certificate_of_openssl() {
    let authority = Authority::new();
    let registry = DockerRegistry::with_tls(&authority);
    let certificates = tempfile::tempdir().unwrap();
    let trusted = certificates.path().join("ca.crt");
    std::fs::copy(authority.certificate_file(), trusted).unwrap();
    let image = format!("docker://{}/no/such:v1", registry.address());
    let trusting = skopeo([
        "inspect".as_ref(),
        "--cert-dir".as_ref(),
        certificates.path().as_os_str(),
        image.as_ref(),
    ]);
    assert!(trusting.stderr.contains("manifest unknown"), "{trusting}");
    let distrusting = skopeo(["inspect", &image]);
    assert!(distrusting.stderr.contains("certificate"), "{distrusting}");
}

#[test]
fn umoci_prints_its_version() {
    assert!(umoci(["--version"]).succeeded().contains("umoci"));
}

#[test]
fn containerd_answers_and_ends_when_dropped() {
    let engine = Containerd::start();
    assert_eq!(engine.ctr(["images", "ls", "--quiet"]).succeeded(), "");
    let id = engine.id();
    assert!(runs(id));
    drop(engine);
    assert!(!runs(id));
}

#[test]
fn dockerd_answers_and_ends_when_dropped() {
    let engine = Docker::start();
    assert_eq!(engine.docker(["images", "--quiet"]).succeeded(), "");
    let id = engine.id();
    assert!(runs(id));
    drop(engine);
    assert!(!runs(id));
}

#[test]
fn podman_answers() {
    let engine = Podman::new();
    assert_eq!(engine.podman(["images", "--quiet"]).succeeded(), "");
}

fn runs(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}
