//! Tests which parts of an image change when layers are appended.

use std::sync::Arc;

use longshore_core::{
    Copier, Descriptor, Digest, ErrorKind, Layout, Manifest, MediaType, Memory, Platform,
    RawManifest, Source as _, Target as _,
};
use longshore_image::Append;
use longshore_testkit::fixture::{Content, Image, Layer, layer_tar};
use longshore_testkit::peer::{skopeo, umoci};
use tempfile::TempDir;

use crate::{by_tag, identity, memory_with, tag};

/// A config with details that parsers lose: nanoseconds, unknown fields, the format of numbers, the
/// order of fields, and an umlaut.
const CONFIG: &str = r#"{"os":"linux","architecture":"amd64","created":"2015-10-31T22:22:56.015925234Z","docker_version":"1.8","container":"0b","author":"J\u00fcrgen Jürgen","config":{"OnBuild":null,"ArgsEscaped":true,"Odd":1.10},"rootfs":{"type":"layers","odd":1,"diff_ids":["DIFF"]},"history":[{"created":"2015-10-31T22:22:54.690851953Z","created_by":"/bin/sh -c #(nop) ADD file","x":1},{"created_by":"CMD","empty_layer":true}]}"#;

/// Builds an image with one layer and the config [`CONFIG`], in Docker's or OCI's format.
fn odd_image(docker: bool) -> Content {
    let layer = Layer::gzip(&layer_tar(&[("etc/motd", b"hello")]));
    let config = bytes::Bytes::from(CONFIG.replace("DIFF", layer.diff_id.as_str()));
    let (manifest_type, config_type) = match docker {
        true => (MediaType::DOCKER_MANIFEST, MediaType::DOCKER_CONFIG),
        false => (MediaType::OCI_MANIFEST, MediaType::OCI_CONFIG),
    };
    let config_descriptor = Descriptor::from_bytes(config_type, &config);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{manifest_type}","config":{},"layers":[{}],"annotations":{{"b":"2","a":"1"}},"odd":1.10}}"#,
        serde_json::json!(config_descriptor),
        serde_json::json!(layer.descriptor)
    );
    Content {
        root: RawManifest::from_bytes(manifest.into(), None).unwrap(),
        manifests: Vec::new(),
        blobs: vec![(config_descriptor, config), (layer.descriptor, layer.content)],
    }
}

/// Creates a file with this content in a new folder.
fn file(content: &[u8]) -> (TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layer");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// Returns the same store in the form that `push` requires.
fn shared(store: &Memory) -> Arc<Memory> {
    Arc::new(store.clone())
}

async fn config_text(store: &Memory, name: &str) -> String {
    let manifest = store.manifest(&by_tag(name)).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("no image") };
    let bytes = store.blob(&image.config).await.unwrap().bytes(1 << 20).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn appending_a_layer_keeps_the_text_of_all_other_fields() {
    let content = odd_image(false);
    let memory = memory_with(&content).await;
    // An empty tar: 1,024 zero bytes.
    let (_folder, path) = file(&[0; 1024]);
    let store = memory.clone();
    let append = Append::new().file(&path).await.unwrap().created_by("COPY x /").comment("more");
    let appended =
        append.push(shared(&store), &by_tag("v1"), shared(&store), Some(&tag("v2"))).await.unwrap();
    let empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(appended.diff_ids, [Digest::parse(empty).unwrap()]);
    assert_eq!(appended.layers, [Descriptor::from_bytes(MediaType::OCI_LAYER, &[0; 1024])]);
    assert_eq!(appended.root, memory.resolve(&by_tag("v2")).await.unwrap());

    let before = config_text(&memory, "v1").await;
    let expected =
        before.replace("\"]},\"history\"", &format!("\",\"{empty}\"]}},\"history\"")).replace(
            "\"empty_layer\":true}]",
            "\"empty_layer\":true},{\"created_by\":\"COPY x /\",\"comment\":\"more\"}]",
        );
    assert_eq!(config_text(&memory, "v2").await, expected);

    let manifest = memory.manifest(&by_tag("v2")).await.unwrap();
    let text = std::str::from_utf8(manifest.bytes()).unwrap();
    assert!(text.ends_with(r#""annotations":{"b":"2","a":"1"},"odd":1.10}"#), "{text}");
    let (image, config, diff_ids) = identity(&memory, &by_tag("v2")).await;
    assert_eq!(image.layers[0], content.blobs[1].0);
    assert_eq!(image.config.size, expected.len() as u64, "bytes, not characters");
    assert_eq!((config, diff_ids.len()), (Digest::sha256(expected.as_bytes()), 2));
    content.assert_in(&memory, &by_tag("v1")).await;
}

#[tokio::test]
async fn the_media_type_of_a_new_layer_depends_on_its_content_and_the_format_of_the_image() {
    let tar = layer_tar(&[("append/content", b"__flag__\n")]);
    for (docker, layer, expected) in [
        (false, Layer::plain(&tar), MediaType::OCI_LAYER),
        (false, Layer::gzip(&tar), MediaType::OCI_LAYER_GZIP),
        (false, Layer::zstd(&tar), MediaType::OCI_LAYER_ZSTD),
        (true, Layer::plain(&tar), MediaType::DOCKER_LAYER),
        (true, Layer::gzip(&tar), MediaType::DOCKER_LAYER_GZIP),
        (true, Layer::zstd(&tar), MediaType::DOCKER_LAYER_ZSTD),
    ] {
        let store = memory_with(&odd_image(docker)).await;
        let (_folder, path) = file(&layer.content);
        let append = Append::new().file(&path).await.unwrap();
        let appended =
            append.push(shared(&store), &by_tag("v1"), shared(&store), None).await.unwrap();
        assert_eq!(appended.layers[0].media_type, expected);
        assert_eq!(appended.layers[0].digest, layer.descriptor.digest);
        assert_eq!(appended.diff_ids, [layer.diff_id], "the digest of the uncompressed content");
    }
}

#[tokio::test]
async fn a_layer_of_another_store_is_copied_and_appended() {
    let (base, other) = (memory_with(&odd_image(false)).await, Memory::new());
    let layer = Layer::gzip(&layer_tar(&[("from", b"elsewhere")]));
    other.push_blob(&layer.descriptor, layer.content.clone().into()).await.unwrap();
    let target = Memory::new();
    let append =
        Append::new().blob(Arc::new(other.clone()), &layer.descriptor.digest).await.unwrap();
    let append = append.created("2026-01-31T12:00:00Z").unwrap();
    append
        .push(Arc::new(base), &by_tag("v1"), Arc::new(target.clone()), Some(&tag("v2")))
        .await
        .unwrap();
    let (image, _, diff_ids) = identity(&target, &by_tag("v2")).await;
    assert_eq!((&image.layers[1], &diff_ids[1]), (&layer.descriptor, &layer.diff_id));
    for layer in &image.layers {
        assert!(target.blob_size(&layer.digest).await.unwrap().is_some());
    }
    assert_eq!(target.manifest_count(), 1, "the old manifest is not copied");
    let config: serde_json::Value =
        serde_json::from_str(&config_text(&target, "v2").await).unwrap();
    assert_eq!(config["created"], "2026-01-31T12:00:00Z");
    assert_eq!(config["history"][2]["created"], "2026-01-31T12:00:00Z");

    let missing = Append::new().blob(Arc::new(other), &Digest::sha256(b"missing")).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn appending_an_existing_layer_again_repeats_its_diff_id() {
    let content = odd_image(false);
    let store = memory_with(&content).await;
    let first = &content.blobs[1].0.digest;
    let append = Append::new().blob(shared(&store), first).await.unwrap();
    append.push(shared(&store), &by_tag("v1"), shared(&store), Some(&tag("v2"))).await.unwrap();
    let (image, _, diff_ids) = identity(&store, &by_tag("v2")).await;
    assert_eq!(diff_ids[0], diff_ids[1]);
    assert_eq!(image.layers[0].digest, image.layers[1].digest);
}

#[tokio::test]
async fn in_an_index_only_the_selected_image_gets_the_layer() {
    let content = Image::small_index(1);
    let memory = memory_with(&content).await;
    let target = Memory::new();
    let (_folder, path) = file(&layer_tar(&[("x", b"x")]));
    let push = |append: Append| {
        let (source, target) = (Arc::new(memory.clone()), Arc::new(target.clone()));
        async move { append.push(source, &by_tag("v1"), target, Some(&tag("v1"))).await }
    };
    let unchosen = push(Append::new().file(&path).await.unwrap()).await.unwrap_err();
    assert_eq!(unchosen.kind(), ErrorKind::Unsupported);
    assert!(unchosen.hint().unwrap().contains("platform"), "{unchosen:?}");
    assert!(target.manifest(&by_tag("v1")).await.is_err(), "no tag was moved");

    let arm = Platform::new("linux", "arm64", None);
    let inner = memory.resolve(&by_tag("v1")).await.unwrap();
    let outer = longshore_core::Pack::index(vec![inner]);
    outer.push(&memory, Some(&tag("outer"))).await.unwrap();
    let append = Append::new().file(&path).await.unwrap().platform(arm.clone());
    let (source, empty) = (Arc::new(memory.clone()), Arc::new(target.clone()));
    let nested = append.push(source, &by_tag("outer"), empty, None).await.unwrap_err();
    assert_eq!(nested.kind(), ErrorKind::Unsupported);
    assert_eq!(target.manifest_count(), 0, "the index is checked before any manifest is written");
    let append = Append::new().file(&path).await.unwrap().platform(arm.clone());
    let appended = push(append).await.unwrap();
    let manifest = target.manifest(&by_tag("v1")).await.unwrap();
    let Manifest::Index(index) = manifest.parse().unwrap() else { panic!("no index") };
    assert_eq!(index.for_platform(&arm).unwrap().digest, appended.image.digest);
    let amd = index.for_platform(&Platform::new("linux", "amd64", None)).unwrap();
    assert_eq!(amd.digest, *content.manifests[0].digest());
    assert!(target.manifest(&amd.digest.clone().into()).await.is_ok());
    assert_eq!(index.annotations.get("org.example.made-by"), Some("testkit"));
}

#[tokio::test]
async fn content_that_is_not_a_layer_is_refused() {
    let store = memory_with(&odd_image(false)).await;
    let none = Append::new().push(shared(&store), &by_tag("v1"), shared(&store), None).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::Invalid);
    for (content, kind) in [
        (&b"\x1f\x8b\x08cut"[..], ErrorKind::Invalid),
        (b"\xfd7zXZ\0....", ErrorKind::Unsupported),
        (b"# Read me\n", ErrorKind::Invalid),
        (&[b'x'; 1024], ErrorKind::Invalid),
    ] {
        let (_folder, path) = file(content);
        assert_eq!(Append::new().file(&path).await.unwrap_err().kind(), kind);
    }
    assert!(Append::new().created("yesterday").is_err());
}

#[tokio::test]
async fn umoci_and_skopeo_accept_an_image_with_an_appended_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("layout");
    let layout = Layout::create(&path).await.unwrap();
    let base = memory_with(&odd_image(false)).await;
    let layer = Layer::gzip(&layer_tar(&[("append/content", b"__flag__\n")]));
    let (_layer_folder, file) = file(&layer.content);
    let append = Append::new().file(&file).await.unwrap().created_by("COPY content append/");
    append.push(Arc::new(base), &by_tag("v1"), Arc::new(layout), Some(&tag("v2"))).await.unwrap();

    let image = format!("{}:v2", path.display());
    let history = umoci(["stat", "--json", "--image", image.as_str()]).succeeded().to_owned();
    assert!(history.contains("COPY content append/"), "{history}");
    let bundle = folder.path().join("bundle");
    let bundle_path = bundle.display().to_string();
    let _ = umoci(["unpack", "--rootless", "--image", image.as_str(), bundle_path.as_str()])
        .succeeded();
    let unpacked = std::fs::read(bundle.join("rootfs/append/content")).unwrap();
    assert_eq!(unpacked, b"__flag__\n");

    let archive =
        format!("docker-archive:{}:r.example/a:v2", folder.path().join("x.tar").display());
    let _ = skopeo(["copy", &format!("oci:{image}"), &archive]).succeeded();
    let back = longshore_image::DockerArchive::open(folder.path().join("x.tar")).await.unwrap();
    let selector = back.only_image().unwrap();
    assert_eq!(identity(&back, &selector).await.2[1], layer.diff_id);
    let copier = Copier::new(Arc::new(back), Arc::new(Memory::new()));
    copier.copy(&selector, None).await.unwrap();
}
