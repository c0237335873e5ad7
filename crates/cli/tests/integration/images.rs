//! Looking at images: platforms, history, fields; and what is inside layers.

use longshore::{Layout, Tag};
use longshore_testkit::fixture::{Content, Image, Layer, layer_tar};
use serde_json::Value;

use crate::program::Program;

/// Writes content to a layout of the home under the tag `v1`, and returns its location.
fn layout(program: &Program, name: &str, content: &Content) -> String {
    let path = program.path(name);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        content.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    format!("oci:{}:v1", path.display())
}

/// Puts content into a running registry as `app:v1`, and returns its name there.
fn pushed(program: &Program, address: &str, content: &Content) -> String {
    let packed = layout(program, "packed", content);
    let app = format!("{address}/app:v1");
    program.ok(&format!("push -q {packed} {app}"));
    app
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_platforms_of_a_tag_come_with_digests_and_sizes() {
    let program = Program::new();
    let server = program.serve(None);
    let app = pushed(&program, &server.address, &Image::small_index(7));
    let text = program.ok(&format!("platforms {app}"));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let arm = program.ok(&format!("digest {app} --platform linux/arm64"));
    assert!(lines[1].starts_with("linux/arm64 ") && lines[1].contains(&arm), "{text}");

    let listed = json(&program.ok(&format!("platforms {app} --json")));
    let inspected = json(&program.ok(&format!("inspect {app} --platform linux/arm64 --json")));
    let layers = inspected["layers"].as_array().unwrap();
    let size: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
    assert_eq!(listed["platforms"][1]["size"].as_u64(), Some(size));
    assert_eq!(inspected["layersSize"].as_u64(), Some(size));
}

#[test]
fn a_single_image_is_a_list_of_one_with_its_own_digest() {
    let program = Program::new();
    let packed = layout(&program, "packed", &Image::small(1).build());
    let listed = json(&program.ok(&format!("platforms {packed} --json")));
    let platforms = listed["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 1);
    assert_eq!(platforms[0]["platform"]["architecture"], "amd64");
    assert_eq!(platforms[0]["digest"], program.ok(&format!("digest {packed}")));
}

#[test]
fn a_field_of_a_config_or_manifest_is_asked_for_by_name() {
    let program = Program::new();
    let packed = layout(&program, "packed", &Image::small_index(1));
    let config = format!("config {packed} --platform linux/amd64 --field");
    assert_eq!(program.ok(&format!("{config} .config.Env[0]")), "PATH=/bin");
    assert_eq!(program.ok(&format!("{config} /config/Env/0")), "PATH=/bin");
    assert_eq!(program.ok(&format!("{config} config.Env[0] --json")), "\"PATH=/bin\"");
    let layers = "manifest get --platform linux/amd64 --field .layers[1].mediaType";
    let media_type = program.ok(&format!("{layers} {packed}"));
    assert_eq!(media_type, "application/vnd.oci.image.layer.v1.tar+zstd");
    let missing = program.fails(3, &format!("{config} .config.User"));
    assert!(missing.contains("Healthcheck"), "it says what there is: {missing}");
}

#[test]
fn the_history_shows_each_step_with_its_layer() {
    let program = Program::new();
    let mut content = Image::new("linux/amd64".parse().unwrap())
        .layer(Layer::gzip(&layer_tar(&[("a", b"a")])))
        .layer(Layer::gzip(&layer_tar(&[("b", b"b")])))
        .build();
    let mut config = json(std::str::from_utf8(&content.blobs[0].1).unwrap());
    config["history"] = serde_json::json!([
        {"created": "2021-08-17T01:23:26.106744652Z", "created_by": "/bin/sh -c #(nop) ADD file:abc in / "},
        {"created_by": "/bin/sh -c #(nop)  CMD [\"bash\"]", "empty_layer": true},
        {"created_by": "RUN /bin/sh -c apt-get update # buildkit"},
    ]);
    with_config(&mut content, &config);
    let packed = layout(&program, "packed", &content);
    let text = program.ok(&format!("history {packed}"));
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].ends_with("ADD file:abc in /") && lines[0].contains("2021-08-17"), "{text}");
    assert!(lines[1].starts_with("- ") && lines[1].ends_with("CMD [\"bash\"]"), "{text}");
    assert!(lines[2].ends_with("RUN apt-get update"), "{text}");
    assert!(lines[2].starts_with(content.blobs[2].0.digest.short()), "{text}");

    let told = json(&program.ok(&format!("history {packed} --json --no-empty")));
    let steps = told["history"].as_array().unwrap();
    assert_eq!(steps.len(), 2);
    let diff_ids = &config["rootfs"]["diff_ids"];
    assert_eq!(steps[0]["chain_id"], diff_ids[0]);
    let both = format!("{} {}", diff_ids[0].as_str().unwrap(), diff_ids[1].as_str().unwrap());
    assert_eq!(steps[1]["chain_id"], longshore::Digest::sha256(both.as_bytes()).as_str());
}

/// The same content with another config.
fn with_config(content: &mut Content, config: &Value) {
    let bytes = bytes::Bytes::from(config.to_string());
    let descriptor = longshore::Descriptor::of(longshore::MediaType::OCI_CONFIG, &bytes);
    let mut manifest = json(std::str::from_utf8(content.root.bytes()).unwrap());
    manifest["config"] = serde_json::json!(descriptor);
    content.blobs[0] = (descriptor, bytes);
    content.root = longshore::RawManifest::of(manifest.to_string().into(), None).unwrap();
}
