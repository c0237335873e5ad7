//! Commands that show and change images: platforms, history, fields and layers.

use longshore::{Layout, Tag};
use longshore_testkit::fixture::{Content, Image, Layer, layer_tar};
use serde_json::Value;

use crate::program::Program;

/// Writes content to a layout under the tag `v1`, and returns its location.
fn layout(program: &Program, name: &str, content: &Content) -> String {
    let path = program.path(name);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
        let layout = Layout::create(&path).await.unwrap();
        content.push(&layout, Some(&Tag::parse("v1").unwrap())).await;
    });
    format!("oci:{}:v1", path.display())
}

/// Pushes content to a running registry as `app:v1`, and returns its reference.
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
fn platforms_are_listed_with_digests_and_sizes() {
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
fn a_single_image_lists_one_platform_with_its_own_digest() {
    let program = Program::new();
    let packed = layout(&program, "packed", &Image::small(1).build());
    let listed = json(&program.ok(&format!("platforms {packed} --json")));
    let platforms = listed["platforms"].as_array().unwrap();
    assert_eq!(platforms.len(), 1);
    assert_eq!(platforms[0]["platform"]["architecture"], "amd64");
    assert_eq!(platforms[0]["digest"], program.ok(&format!("digest {packed}")));
}

#[test]
fn inspect_unpacked_measures_layers_by_reading_them() {
    let program = Program::new();
    let tars = [layer_tar(&[("a", &[b'a'; 5000][..])]), layer_tar(&[("b", b"b")])];
    let sizes = tars.each_ref().map(|tar| tar.len() as u64);
    let amd64 = || Image::new("linux/amd64".parse().unwrap());
    let image = amd64().layer(Layer::gzip(&tars[0])).layer(Layer::zstd(&tars[1]));
    let packed = layout(&program, "packed", &image.build());
    let unread = json(&program.ok(&format!("inspect {packed} --json")));
    assert_eq!(unread["unpackedSize"], Value::Null, "the layers are compressed");

    let read = json(&program.ok(&format!("inspect {packed} --unpacked --json")));
    assert_eq!(read["unpackedSize"].as_u64(), Some(sizes.iter().sum()));
    let config = json(&program.ok(&format!("config {packed}")));
    for (at, compression) in ["gzip", "zstd"].into_iter().enumerate() {
        let layer = &read["unpacked"][at];
        assert_eq!(layer["size"].as_u64(), Some(sizes[at]));
        assert_eq!(layer["compression"], compression);
        assert_eq!(layer["digest"], read["layers"][at]["digest"]);
        assert_eq!(layer["diffId"], config["rootfs"]["diff_ids"][at]);
    }
    let text = program.ok(&format!("inspect {packed} --unpacked"));
    assert!(text.contains("\nUnpacked:   ") && text.contains(" zstd"), "{text}");

    let plain = layout(&program, "plain", &amd64().layer(Layer::plain(&tars[0])).build());
    let known = json(&program.ok(&format!("inspect {plain} --json")));
    assert_eq!(known["unpackedSize"].as_u64(), Some(sizes[0]), "the layer is not compressed");
    assert_eq!(known["unpacked"], Value::Null);

    let mut layer = Layer::gzip(&tars[0]);
    layer.diff_id = longshore::Digest::sha256(b"x");
    let lying = layout(&program, "lying", &amd64().layer(layer).build());
    program.fails(7, &format!("inspect {lying} --unpacked"));
}

#[test]
fn a_field_of_a_config_or_manifest_is_printed_by_name() {
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
    assert!(missing.contains("Healthcheck"), "the error lists the fields: {missing}");
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

/// Replaces the config of an image.
fn with_config(content: &mut Content, config: &Value) {
    let bytes = bytes::Bytes::from(config.to_string());
    let descriptor = longshore::Descriptor::from_bytes(longshore::MediaType::OCI_CONFIG, &bytes);
    let mut manifest = json(std::str::from_utf8(content.root.bytes()).unwrap());
    manifest["config"] = serde_json::json!(descriptor);
    content.blobs[0] = (descriptor, bytes);
    content.root = longshore::RawManifest::from_bytes(manifest.to_string().into(), None).unwrap();
}

#[test]
fn a_layer_is_written_as_stored_or_unpacked_and_verified() {
    let program = Program::new();
    let tar = layer_tar(&[("etc/motd", b"hello")]);
    let layer = Layer::gzip(&tar);
    let content = Image::new("linux/amd64".parse().unwrap()).layer(layer.clone()).build();
    let packed = layout(&program, "packed", &content);
    let (gzip, plain) = (program.path("layer.tar.gz"), program.path("layer.tar"));
    program.ok(&format!("layer {packed} 1 -o {}", gzip.display()));
    assert_eq!(std::fs::read(gzip).unwrap(), layer.content);
    for which in ["1", layer.descriptor.digest.as_str(), layer.diff_id.as_str()] {
        program.ok(&format!("layer {packed} {which} --unpack -o {}", plain.display()));
        assert_eq!(std::fs::read(&plain).unwrap(), tar, "{which}");
    }
    let missing = program.fails(3, &format!("layer {packed} 2"));
    assert!(missing.contains("1 layers"), "{missing}");

    // A diff ID in the config that does not match is an error.
    let mut wrong = content;
    let mut config = json(std::str::from_utf8(&wrong.blobs[0].1).unwrap());
    config["rootfs"]["diff_ids"][0] = longshore::Digest::sha256(b"other").as_str().into();
    with_config(&mut wrong, &config);
    let wrong = layout(&program, "wrong", &wrong);
    let nothing = program.path("nothing.tar");
    program.fails(7, &format!("layer {wrong} 1 --unpack -o {}", nothing.display()));
    assert!(!nothing.exists());
    assert!(crate::program::leftovers(&program.path("")).is_empty());
}

#[test]
fn a_layer_is_appended_from_a_file_stdin_or_a_registry() {
    let program = Program::new();
    let server = program.serve(None);
    let app = pushed(&program, &server.address, &Image::small(1).build());
    let tar = layer_tar(&[("append/content", b"__flag__\n")]);
    let layer = Layer::gzip(&tar);
    std::fs::write(program.path("layer.tar.gz"), &layer.content).unwrap();
    let before = program.ok(&format!("digest {app}"));
    let json_text = program.ok(&format!(
        "append {app} --layer layer.tar.gz --to {}/app:v2 --created-by COPY --json",
        server.address
    ));
    let told = json(&json_text);
    assert_eq!(told["diff_ids"][0], layer.diff_id.as_str());
    assert_eq!(program.ok(&format!("digest {app}")), before, "the old tag stays");
    let v2 = format!("{}/app:v2", server.address);
    assert_eq!(told["root"]["digest"], program.ok(&format!("digest {v2}")));
    let last =
        program.ok(&format!("layer {v2} 3 --unpack --output {}", program.path("x").display()));
    assert_eq!((last.as_str(), std::fs::read(program.path("x")).unwrap()), ("", tar.clone()));

    // The same layer is appended from stdin, uncompressed, to another repository.
    let other = format!("{}/other:v1", server.address);
    let piped =
        program.run_with(["append", v2.as_str(), "--layer", "-", "--to", other.as_str()], &tar);
    assert_eq!(piped.code, 0, "{piped:?}");
    assert_eq!(piped.stdout.trim(), program.ok(&format!("digest {other}")));

    // An existing layer of a registry is appended without a local file.
    let from = format!("{}/app@{}", server.address, layer.descriptor.digest);
    program.ok(&format!("append {other} --layer-from {from}"));
    let manifest = json(&program.ok(&format!("manifest get {other}")));
    assert_eq!(manifest["layers"][4]["digest"], layer.descriptor.digest.as_str());
    let bad = program.fails(2, &format!("append {other} --layer-from {other}"));
    assert!(bad.contains("LOCATION@DIGEST"), "{bad}");
    program.fails(2, &format!("append {other}"));
}

#[test]
fn append_changes_only_one_image_of_an_index() {
    let program = Program::new();
    let server = program.serve(None);
    let app = pushed(&program, &server.address, &Image::small_index(7));
    std::fs::write(program.path("layer.tar"), layer_tar(&[("a", b"a")])).unwrap();
    let told = program.fails(1, &format!("append {app} --layer layer.tar"));
    assert!(told.contains("platform"), "{told}");
    let amd = program.ok(&format!("digest {app} --platform linux/amd64"));
    program.ok(&format!("append {app} --layer layer.tar --platform linux/arm64"));
    assert_eq!(program.ok(&format!("digest {app} --platform linux/amd64")), amd);
    let arm = json(&program.ok(&format!("manifest get {app} --platform linux/arm64")));
    assert_eq!(arm["layers"].as_array().unwrap().len(), 3);
    assert_eq!(program.ok(&format!("platforms {app}")).lines().count(), 2);
}

#[test]
fn stdin_is_accepted_for_only_one_file() {
    let program = Program::new();
    let packed = layout(&program, "packed", &Image::small(1).build());
    let before = program.ok(&format!("digest {packed}"));
    let append = ["append", &*packed, "--layer", "-", "--layer", "-"];
    let put = ["blob", "put", "oci:packed", "-", "-"];
    for line in [&append[..], &put] {
        let ended = program.run_with(line, &layer_tar(&[("a", b"a")]));
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("only once"), "{ended:?}");
    }
    assert_eq!(program.ok(&format!("digest {packed}")), before);
}

#[test]
fn several_blobs_are_written_to_a_new_folder() {
    let program = Program::new();
    layout(&program, "packed", &Image::small(1).build());
    let inspected = json(&program.ok("inspect oci:packed:v1 --json"));
    let digests = [0, 1].map(|at| inspected["layers"][at]["digest"].as_str().unwrap().to_owned());
    program.ok(&format!("blob get -q oci:packed {} -o made/here", digests.join(" ")));
    for digest in digests {
        let got = std::fs::read(program.path("made/here").join(digest.replace(':', "-"))).unwrap();
        assert_eq!(longshore::Digest::sha256(&got).as_str(), digest);
    }
}
