//! The examples that show each predecessor's README in longshore: run, and their output read.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore::Tag;
use longshore_registry::{Backend, Builder, MemoryBackend, Registry, Rights, Users};
use longshore_testkit::fixture::Content;
use longshore_testkit::v1::V1Registry;
use tokio::sync::oneshot;

use crate::docker_content::{docker_image, docker_list};
use crate::embedded::start;

/// Takes an example in, as a module.
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

/// A registry that holds this; it ends when what comes with it is dropped.
async fn registry(content: &[(&str, &str, Content)]) -> (SocketAddr, oneshot::Sender<()>) {
    registry_with(content, |builder| builder).await
}

/// The same, which asks for the password of a user.
async fn registry_of(
    user: &str,
    password: &str,
    content: &[(&str, &str, Content)],
) -> (SocketAddr, oneshot::Sender<()>) {
    let users = Users::new().user(user, password, Rights::ALL);
    registry_with(content, |builder| builder.access(users)).await
}

async fn registry_with(
    content: &[(&str, &str, Content)],
    set_up: impl FnOnce(Builder) -> Builder,
) -> (SocketAddr, oneshot::Sender<()>) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    for (name, tag, content) in content {
        let store = backend.repository(&name.parse().unwrap());
        content.push(&*store, Some(&Tag::parse(tag).unwrap())).await;
    }
    start(set_up(Registry::builder().backend(backend))).await
}

/// What an example without async prints.
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
async fn the_example_for_docker_registry_client_async_does_what_its_readme_did() {
    let busybox = docker_image(1, "amd64");
    let (address, _stop) = registry(&[("library/busybox", "1.30.1", busybox)]).await;
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
async fn the_example_for_dreg_client_does_what_its_readme_did() {
    let list = docker_list();
    let short = list.root.digest().short().to_owned();
    let image = docker_image(1, "amd64");
    let size: u64 = image.blobs[1..].iter().map(|(layer, _)| layer.size).sum();
    let (address, _stop) =
        registry(&[("testns/testrepo", "v1", list), ("plain", "v1", image)]).await;
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
async fn the_example_for_aysa_docker_registry_client_does_what_its_readme_did() {
    let list = docker_list();
    let short = list.root.digest().short().to_owned();
    let other = docker_image(1, "amd64");
    let content = [("project/image", "dev", list), ("other/image", "dev", other)];
    let (address, _stop) = registry_of("guest", "guest", &content).await;
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
async fn the_example_for_docker_registry_client_does_what_its_readme_did() {
    let image = docker_image(1, "amd64");
    let short = image.root.digest().short().to_owned();
    let (address, _stop) = registry(&[("library/myrepo", "latest", image)]).await;
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
async fn the_example_for_docker_registry_client_goes_to_v1_registries_too() {
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
async fn the_example_for_moby_distribution_does_what_its_readme_did() {
    let python = docker_image(1, "amd64");
    let config = python.blobs[0].1.len();
    let (address, _stop) = registry(&[("library/python", "latest", python)]).await;
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
async fn the_example_for_python_dxf_does_what_its_readme_did() {
    let (address, _stop) = registry_of("fred", "somepassword", &[]).await;
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
