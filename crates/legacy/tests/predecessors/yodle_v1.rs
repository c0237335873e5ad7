//! Compares docker-registry-client 0.5.2 with longshore, for a registry that supports only v1.

use super::*;

use longshore::Body;
use longshore_legacy::v1::{self, ApiVersion, ImageId, api_version};
use longshore_testkit::v1::V1Registry;

const TOP: &str = r#"{"id": "top", "parent": "base", "created": "2015-01-02T03:04:05Z"}"#;
const LAYER: &[u8] = b"\x1f\x8b\x08\x00 not text \xff\x00";

/// A v1 registry with both clients. Yodle's client is in the Python variables `client` and `base`.
struct Old {
    _server: V1Registry,
    name: RegistryName,
    yodle: Predecessor,
    registry: v1::Registry,
}

async fn old() -> Old {
    let server = V1Registry::start().await;
    server.put_image("base", r#"{"id": "base", "architecture": "amd64"}"#, b"base layer");
    server.put_image("top", TOP, LAYER);
    server.put_tag("lib/img", "latest", "top");
    let mut yodle = Predecessor::start(&[]);
    yodle.run("from docker_registry_client import *");
    yodle.run(&format!("host = 'http://{}'", server.address()));
    yodle.run("client = DockerRegistryClient(host); base = BaseClient(host)");
    yodle.run("repository = client.repository('img', 'lib')");
    let name: RegistryName = server.address().parse().unwrap();
    let registry = v1::Registry::new(&quick().build(), &name);
    Old { _server: server, name, yodle, registry }
}

impl Old {
    fn repository(&self) -> v1::Repository {
        self.registry.repository(&"lib/img".parse().unwrap()).unwrap()
    }

    fn image(&self, id: &str) -> v1::Image {
        self.registry.image(&ImageId::parse(id).unwrap())
    }

    async fn tags(&self) -> Vec<String> {
        let tags = self.repository().tags().await.unwrap();
        tags.iter().map(|tagged| tagged.tag.to_string()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_detect_a_v1_registry() {
    let mut old = old().await;
    assert_eq!(old.yodle.gives("client.api_version"), 1);
    let version = api_version(&quick().build(), &old.name).await.unwrap();
    assert!(matches!(version, ApiVersion::V1), "{version:?}");
    drop(old.yodle.gives("base.check_status()"));
    old.registry.ping().await.unwrap();

    let found = old.registry.search("").all().await.unwrap();
    let names: Vec<_> = found.iter().map(|found| found.name.to_string()).collect();
    assert_texts(&old.yodle.gives("[r['name'] for r in base.search()['results']]"), &names);
    assert_texts(&old.yodle.gives("list(client.repositories())"), &names);
    assert_texts(&old.yodle.gives("client.namespaces()"), &["lib"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_read_and_write_the_same_v1_tags() {
    let mut old = old().await;
    assert_texts(&old.yodle.gives("list(repository.tags())"), &old.tags().await);
    let id = old.repository().tag(&tag("latest")).await.unwrap();
    assert_eq!(old.yodle.gives("repository.image('latest').image_id"), id.as_str());
    assert_eq!(old.yodle.gives("base.get_image_id('lib', 'img', 'latest')"), id.as_str());
    let json = old.repository().tag_json(&tag("latest")).await.unwrap();
    assert_eq!(old.yodle.gives("repository.data('latest')"), json);

    old.yodle.run("repository.tag('theirs', 'base')");
    let base = ImageId::parse("base").unwrap();
    assert_eq!(old.repository().tag(&tag("theirs")).await.unwrap(), base);
    old.repository().set_tag(&tag("ours"), &base).await.unwrap();
    old.yodle.run("repository.refresh()");
    assert_eq!(old.tags().await, ["latest", "ours", "theirs"]);
    assert_texts(&old.yodle.gives("sorted(repository.tags())"), &old.tags().await);

    // In v1, yodle's untag keeps the other tags.
    old.yodle.run("repository.untag('theirs')");
    old.repository().delete_tag(&tag("ours")).await.unwrap();
    assert_eq!(old.tags().await, ["latest"]);
    let raised = old.yodle.raises("base.get_image_id('lib', 'img', 'theirs')");
    let ours = old.repository().tag(&tag("theirs")).await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_read_the_same_v1_image_except_the_layer() {
    let mut old = old().await;
    old.yodle.run("image = repository.image('latest')");
    let top = old.image("top");
    assert_eq!(old.yodle.gives("image.get_json()"), top.json().await.unwrap().value().unwrap());
    assert_eq!(old.yodle.gives("image.get_data('parent')"), top.field("parent").await.unwrap());
    let ancestry = top.ancestry().await.unwrap();
    let ancestry: Vec<&str> = ancestry.iter().map(ImageId::as_str).collect();
    assert_texts(&old.yodle.gives("image.ancestry()"), &ancestry);

    let raised = old.yodle.raises("image.get_data('none')");
    assert_eq!(raised.short(), ("KeyError", None));
    assert_eq!(top.field("none").await.unwrap_err().kind(), ErrorKind::NotFound);

    // Defect of yodle: it parses the layer as JSON.
    let raised = old.yodle.raises("image.get_layer()");
    assert!(raised.is("ValueError"), "{raised:?}");
    let layer = top.layer().await.unwrap().into_stream().bytes(64).await.unwrap();
    assert_eq!(layer, LAYER);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_cannot_push_images_to_v1_registries_and_longshore_can() {
    let mut old = old().await;
    old.yodle.run("image = repository.image('latest')");
    for call in ["image.put_layer(b'x')", "image.put_json({})"] {
        assert!(old.yodle.raises(call).is("NotImplementedError"), "{call}");
    }
    let new = old.image("new");
    let layer = Body::Bytes("new layer".into());
    new.push(r#"{"id": "new", "parent": "base"}"#, layer).await.unwrap();
    assert_eq!(old.yodle.gives("base.get_image_layer('new')['parent']"), "base");

    let raised = old.yodle.raises("repository.delete_repository()");
    assert!(raised.is("NotImplementedError"), "{raised:?}");
    old.repository().delete().await.unwrap();
    let raised = old.yodle.raises("base.get_repository_tags('lib', 'img')");
    let ours = old.repository().tags().await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);
}
