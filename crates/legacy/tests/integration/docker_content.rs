//! Images in Docker's formats, the only formats that most earlier clients support.

use bytes::Bytes;
use longshore::{Descriptor, Digest, MediaType, RawManifest};
use longshore_testkit::fixture::{Content, Layer, layer_tar};
use serde_json::{Value, json};

/// Builds a Docker image of two layers. `seed` determines the content.
pub(crate) fn docker_image(seed: u8, architecture: &str) -> Content {
    let base = layer(&[("etc/os-release", b"ID=longshore\n")]);
    let app = layer(&[("app/data", &[seed; 300])]);
    let config = config(architecture, &[&base.diff_id, &app.diff_id]);
    let layers = [&base.descriptor, &app.descriptor];
    let descriptor = Descriptor::from_bytes(MediaType::DOCKER_CONFIG, &config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::DOCKER_MANIFEST,
        "config": descriptor,
        "layers": layers,
    });
    let blobs = [&base, &app].map(|layer| (layer.descriptor.clone(), layer.content.clone()));
    let blobs = [(descriptor, config)].into_iter().chain(blobs).collect();
    Content { root: indented(&manifest), manifests: Vec::new(), blobs }
}

/// Builds a Docker manifest list of two images.
pub(crate) fn docker_list() -> Content {
    let images = [("amd64", docker_image(1, "amd64")), ("arm64", docker_image(2, "arm64"))];
    let entries = images.each_ref().map(|(architecture, image)| {
        let mut entry = json!(image.root.descriptor());
        entry["platform"] = json!({"architecture": architecture, "os": "linux"});
        entry
    });
    let list = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::DOCKER_LIST,
        "manifests": entries,
    });
    let blobs = images.iter().flat_map(|(_, image)| image.blobs.clone()).collect();
    let manifests = images.map(|(_, image)| image.root).to_vec();
    Content { root: indented(&list), manifests, blobs }
}

fn layer(files: &[(&str, &[u8])]) -> Layer {
    let mut layer = Layer::gzip(&layer_tar(files));
    layer.descriptor.media_type = MediaType::DOCKER_LAYER_GZIP;
    layer
}

fn config(architecture: &str, diff_ids: &[&Digest]) -> Bytes {
    let step = |created_by: &str| json!({"created": CREATED, "created_by": created_by});
    let mut empty = step("/bin/sh -c #(nop)  CMD [\"/app/data\"]");
    empty["empty_layer"] = json!(true);
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": {"Env": ["PATH=/bin"], "Cmd": ["/app/data"]},
        "history": [step("/bin/sh -c #(nop) ADD file:abc in / "), step("COPY data /app # buildkit"), empty],
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    Bytes::from(config.to_string())
}

/// Serializes with indentation, as Docker does, so that a rewritten manifest has another digest.
fn indented(document: &Value) -> RawManifest {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"   ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(document, &mut serializer).unwrap();
    RawManifest::from_bytes(Bytes::from(text), None).unwrap()
}

const CREATED: &str = "2021-08-28T01:35:59.758616391Z";
