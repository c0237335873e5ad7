//! Runs the examples for users of the earlier clients, and checks their output.

use std::net::SocketAddr;

use longshore::{Client, MemoryCredentials, Secret, Tag};
use longshore_registry::{Permissions, Registry, TestRegistry, Users};
use longshore_testkit::fixture::Content;
use longshore_testkit::peer::DockerRegistry;
use longshore_testkit::v1::V1Registry;

use crate::docker_content::{docker_image, docker_list};
use crate::start;

/// Includes an example as a module.
macro_rules! example {
    ($name:ident, $path:literal) => {
        #[path = $path]
        #[allow(dead_code, reason = "its `main` is not called here")]
        mod $name;
    };
}

example!(aysa, "../../examples/from_aysa_docker_registry_client.rs");
example!(crashvb, "../../examples/from_docker_registry_client_async.rs");
example!(dreg, "../../examples/from_dreg_client.rs");
example!(dxf, "../../examples/from_python_dxf.rs");
example!(moby, "../../examples/from_moby_distribution.rs");
example!(yodle, "../../examples/from_docker_registry_client.rs");

/// Starts an empty registry, which stops when the second value is dropped.
async fn ours() -> (SocketAddr, TestRegistry) {
    start(Registry::builder().memory()).await
}

/// Starts an empty registry that requires a user's password.
async fn ours_of((user, password): Login) -> (SocketAddr, TestRegistry) {
    let users = Users::new().user(user, password, Permissions::ALL);
    start(Registry::builder().memory().access(users)).await
}

fn address(theirs: &DockerRegistry) -> SocketAddr {
    theirs.address().parse().unwrap()
}

/// A user name and a password.
type Login = (&'static str, &'static str);

const GUEST: Login = ("guest", "guest");
const FRED: Login = ("fred", "somepassword");

/// Pushes images to a registry, each to its repository and tag.
async fn fill(address: SocketAddr, (user, password): Login, content: &[(&str, &str, Content)]) {
    let registry = address.to_string().parse().unwrap();
    let login = MemoryCredentials::new().with(registry, user, Secret::new(password));
    let client = Client::builder().credentials(login).build();
    for (name, tag, content) in content {
        let store = client.repository(&format!("{address}/{name}").parse().unwrap());
        content.push(&store, Some(&Tag::parse(tag).unwrap())).await;
    }
}

/// Returns the output of an example that uses no async.
async fn printed(
    address: SocketAddr,
    run: impl FnOnce(&str, &mut Vec<u8>) -> Result<(), Box<dyn std::error::Error>> + Send + 'static,
) -> String {
    let run = move || {
        let mut out = Vec::new();
        run(&address.to_string(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_docker_registry_client_async_runs_against_the_embedded_registry() {
    let (address, _stop) = ours().await;
    crashvb_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_docker_registry_client_async_runs_against_docker_registry() {
    let theirs = DockerRegistry::start();
    crashvb_at(address(&theirs)).await;
}

async fn crashvb_at(address: SocketAddr) {
    let busybox = docker_image(1, "amd64");
    fill(address, GUEST, &[("library/busybox", "1.30.1", busybox)]).await;
    let mut out = Vec::new();
    crashvb::run(&address.to_string(), &mut out).await.unwrap();
    let expected = "\
image: library/busybox
manifest: application/vnd.docker.distribution.manifest.v2+json
config: linux/amd64 [\"/app/data\"]
the same: true
tag: 1.30.1
tag: copy
repositories: 1
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_dreg_client_runs_against_the_embedded_registry() {
    let (address, _stop) = ours().await;
    dreg_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_dreg_client_runs_against_docker_registry() {
    let theirs = DockerRegistry::start();
    dreg_at(address(&theirs)).await;
}

async fn dreg_at(address: SocketAddr) {
    let list = docker_list();
    let short = list.root.digest().short().to_owned();
    let image = docker_image(1, "amd64");
    let size: u64 = image.blobs[1..].iter().map(|(layer, _)| layer.size).sum();
    fill(address, GUEST, &[("testns/testrepo", "v1", list), ("plain", "v1", image)]).await;
    let expected = format!(
        "\
namespaces: library testns
repositories: 2
in testns: 1
name: {address}/testns/testrepo
v1: application/vnd.docker.distribution.manifest.list.v2+json
short: {short}
platform: linux/amd64
platform: linux/arm64
history: ADD file:abc in /
history: COPY data /app
size: {size}
blob: true
tags: 2
gone: None
"
    );
    assert_eq!(printed(address, dreg::run).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_aysa_docker_registry_client_runs_against_the_embedded_registry() {
    let (address, _stop) = ours_of(GUEST).await;
    aysa_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_aysa_docker_registry_client_runs_against_docker_registry_with_htpasswd() {
    let theirs = DockerRegistry::with_htpasswd(GUEST.0, GUEST.1);
    aysa_at(address(&theirs)).await;
}

async fn aysa_at(address: SocketAddr) {
    let list = docker_list();
    let short = list.root.digest().short().to_owned();
    let other = docker_image(1, "amd64");
    let content = [("project/image", "dev", list), ("other/image", "dev", other)];
    fill(address, GUEST, &content).await;
    let expected = format!(
        "\
ping: true
other/image:dev
project/image:dev
in project: 1
digest: {short}
images: 2, the first: application/vnd.docker.distribution.manifest.v2+json
stable is dev: true
tags: 1
left: 0
"
    );
    assert_eq!(printed(address, aysa::run).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_docker_registry_client_runs_against_the_embedded_registry() {
    let (address, _stop) = ours().await;
    yodle_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_docker_registry_client_runs_against_docker_registry() {
    let theirs = DockerRegistry::start();
    yodle_at(address(&theirs)).await;
}

async fn yodle_at(address: SocketAddr) {
    let image = docker_image(1, "amd64");
    let short = image.root.digest().short().to_owned();
    fill(address, GUEST, &[("library/myrepo", "latest", image)]).await;
    let expected = format!(
        "\
version: 2
namespaces: library
repositories: 1
tag: latest
manifest: application/vnd.docker.distribution.manifest.v2+json
stable: {short}
left: 1
left: 0
"
    );
    assert_eq!(printed(address, yodle::run).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_docker_registry_client_runs_against_a_v1_registry() {
    let old = V1Registry::start().await;
    old.put_image("base", r#"{"id": "base"}"#, b"base layer");
    old.put_image("top", r#"{"id": "top", "parent": "base"}"#, b"top layer");
    old.put_tag("library/myrepo", "latest", "top");
    let expected = "\
version: 1
repositories: 1
tag: latest
data: true
json: true
parent: \"base\"
ancestry: 2
layer: 9 bytes
left: 1
";
    let address = old.address().parse().unwrap();
    assert_eq!(printed(address, yodle::run).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_moby_distribution_runs_against_the_embedded_registry() {
    let (address, _stop) = ours().await;
    moby_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_moby_distribution_runs_against_docker_registry() {
    let theirs = DockerRegistry::start();
    moby_at(address(&theirs)).await;
}

async fn moby_at(address: SocketAddr) {
    let python = docker_image(1, "amd64");
    let config = python.blobs[0].1.len();
    fill(address, GUEST, &[("library/python", "latest", python)]).await;
    let expected = format!(
        "\
tags: 1
latest: true
config: {config} bytes
uploaded: Some(11) bytes
mounted: true
packed: application/vnd.oci.image.manifest.v1+json
copied: true
layers: 2 + 1 = 3
saved: demo/python
loaded: 1
"
    );
    assert_eq!(printed(address, moby::run).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_python_dxf_runs_against_the_embedded_registry() {
    let (address, _stop) = ours_of(FRED).await;
    dxf_at(address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_for_python_dxf_runs_against_docker_registry_with_htpasswd() {
    let theirs = DockerRegistry::with_htpasswd(FRED.0, FRED.1);
    dxf_at(address(&theirs)).await;
}

async fn dxf_at(address: SocketAddr) {
    let expected = "\
blob: 9 bytes
size: Some(9)
alias: true
21.5 °C
mounted: true
aliases: 1
listed: true
left: 1
gone: None
";
    assert_eq!(printed(address, dxf::run).await, expected);
}
