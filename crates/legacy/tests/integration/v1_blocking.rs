//! Tests the v1 API without async against a v1 registry.

use std::io::Read as _;

use bytes::Bytes;
use longshore::blocking;
use longshore::{
    Body, Digest, Error, ErrorKind, MemoryCredentials, RegistryName, RegistrySettings, Scheme,
    Secret, Tag,
};
use longshore_legacy::v1::blocking::{Registry, Repository, api_version};
use longshore_legacy::v1::{Access, ApiVersion, Endpoints, ImageId};
use longshore_testkit::v1::{Settings, V1Registry};

use crate::quick;

const LAYER: &[u8] = b"\x1f\x8b\x08\x00 not text \xff\x00";

/// Starts a registry with `lib/img:latest`: an image with a parent.
fn filled(settings: Settings) -> V1Registry {
    let server = blocking::wait(async { Ok(V1Registry::with(settings).await) }).unwrap();
    server.put_image("base", r#"{"id":"base"}"#, b"base layer");
    server.put_image("top", r#"{"id":"top","parent":"base"}"#, LAYER);
    server.put_tag("lib/img", "latest", "top");
    server
}

fn name(server: &V1Registry) -> RegistryName {
    server.address().parse().unwrap()
}

fn id(text: &str) -> ImageId {
    ImageId::parse(text).unwrap()
}

fn repository(registry: &Registry) -> Repository {
    registry.repository(&"lib/img".parse().unwrap()).unwrap()
}

#[test]
fn tags_are_listed_read_set_and_removed_without_async() {
    let mut settings = Settings::default();
    settings.page_size = Some(1);
    let server = filled(settings);
    server.put_tag("lib/other", "latest", "base");
    let client = quick().build_blocking();
    assert_eq!(api_version(&client, &name(&server)).unwrap(), ApiVersion::V1);
    let registry = Registry::new(&client, &name(&server));
    assert!(registry.ping().unwrap().standalone);
    server.requests();
    let mut found = registry.search("lib");
    assert_eq!(found.next().unwrap().unwrap().name, "lib/img");
    assert_eq!(server.lines().len(), 1, "the next page is requested only if needed");
    let names: Vec<String> = found.map(|found| found.unwrap().name).collect();
    assert_eq!(names, ["lib/other"]);

    let repository = repository(&registry);
    assert_eq!((repository.namespace(), repository.name()), ("lib", "img"));
    assert_eq!(repository.to_string(), format!("{}/lib/img", server.address()));
    let (latest, v2): (Tag, Tag) = (Tag::latest(), "v2".parse().unwrap());
    assert_eq!(repository.tag(&latest).unwrap(), id("top"));
    assert!(repository.tag_json(&latest).unwrap().is_object());
    assert_eq!(repository.images().unwrap().len(), 2);
    repository.set_tag(&v2, &id("base")).unwrap();
    repository.delete_tag(&latest).unwrap();
    let left = repository.tags().unwrap();
    assert_eq!(left.iter().map(|tagged| &tagged.tag).collect::<Vec<_>>(), [&v2]);
    repository.delete().unwrap();
    assert_eq!(repository.tags().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_checked_layer_ends_only_after_verification() {
    let server = filled(Settings::default());
    let image = Registry::new(&quick().build_blocking(), &name(&server)).image(&id("top"));
    let json = image.json().unwrap();
    assert_eq!((image.id(), image.field("parent").unwrap()), (&id("top"), "base".into()));
    assert_eq!(image.ancestry().unwrap(), [id("top"), id("base")]);
    let layer = image.layer().unwrap();
    assert_eq!(layer.size(), Some(LAYER.len() as u64));
    assert_eq!(layer.into_reader().bytes(LAYER.len()).unwrap(), LAYER);
    let e = image.layer().unwrap().into_reader().bytes(LAYER.len() - 1).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    let mut content = Vec::new();
    image.layer().unwrap().checked(&json).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, LAYER);

    server.damage_layer("top");
    let mut damaged = image.layer().unwrap().checked(&json).unwrap();
    let e = damaged.read_to_end(&mut content).unwrap_err().downcast::<Error>().unwrap();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    assert!(damaged.read(&mut [0]).is_err(), "a second read fails, too");
    let mut unknown = json;
    unknown.checksum = None;
    let layer = image.layer().unwrap().checked(&unknown).unwrap_err();
    assert!(layer.into_reader().bytes(100).is_ok(), "without a checksum, the layer is returned");
}

#[test]
fn an_image_is_pushed_from_bytes_and_from_a_reader() {
    let server = filled(Settings::default());
    let registry = Registry::new(&quick().build_blocking(), &name(&server));
    let of_reader = |size| Body::Stream { stream: blocking::stream(LAYER), size };
    let checksum = |json: &str| Digest::sha256(&[json.as_bytes(), b"\n", LAYER].concat());
    let bodies = [
        ("one", Body::Bytes(Bytes::from_static(LAYER))),
        ("two", of_reader(Some(LAYER.len() as u64))),
        ("three", of_reader(None)),
    ];
    for (name, layer) in bodies {
        let (image, json) = (registry.image(&id(name)), format!(r#"{{"id":"{name}"}}"#));
        assert_eq!(image.push(json.clone(), layer).unwrap(), checksum(&json));
        let read = image.json().unwrap();
        let layer = image.layer().unwrap().checked(&read).unwrap();
        assert_eq!(layer.bytes(100).unwrap(), LAYER);
    }
    // An upload in single steps.
    let (image, json) = (registry.image(&id("four")), r#"{"id":"four"}"#);
    image.push_json(json).unwrap();
    image.push_layer(of_reader(None)).unwrap();
    image.push_checksum(&checksum(json)).unwrap();
    let (image, json) = (registry.image(&id("five")), r#"{"id":"five"}"#);
    image.push_json(json).unwrap();
    assert_eq!(image.complete(json.as_bytes(), of_reader(None)).unwrap(), checksum(json));
}

#[test]
fn a_token_of_the_index_is_used_without_async() {
    let mut settings = Settings::default();
    settings.needs_token = true;
    let registry = filled(settings);
    let mut settings = Settings::default();
    settings.index_of = Some(registry.address());
    settings.authorization = Some("Basic dXNlcjpwYXNz".to_owned());
    let index = filled(settings);
    let credentials = MemoryCredentials::new().with(name(&index), "user", Secret::new("pass"));
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    let client = quick().credentials(credentials);
    let client = client.settings(name(&index), plain.clone()).settings(name(&registry), plain);
    let client = client.build_blocking();

    let refused = repository(&Registry::new(&client, &name(&registry))).tags().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthorized);
    let asked = repository(&Registry::new(&client, &name(&index)));
    let authorized = asked.authorize(Access::Write, Endpoints::SameSite).unwrap();
    authorized.set_tag(&"v2".parse().unwrap(), &id("base")).unwrap();
    assert_eq!(authorized.tags().unwrap().len(), 2);
    assert_eq!(authorized.image(&id("top")).ancestry().unwrap().len(), 2);
}
