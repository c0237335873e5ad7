//! Commands that inspect, copy, verify and sign Docker schema 1 images.

use longshore::{Digest, RawManifest, Tag};
use longshore_testkit::fixture::schema1::{self, DIGEST, KEY, KEY_ID, LAYER, SIGNED};
use serde_json::{Value, json};

use crate::program::Program;

/// Pushes a schema 1 image to `foo/bar:t1`, and returns its manifest.
fn fill(program: &Program, registry: &str) -> RawManifest {
    let image = schema1::image();
    let repository = format!("{registry}/foo/bar").parse().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let repository = longshore::Client::new().repository(&repository);
        schema1::push(&repository, &image, &Tag::parse("t1").unwrap()).await;
    });
    program.ok(&format!("manifest verify {registry}/foo/bar:t1"));
    image
}

#[test]
fn a_schema_1_image_is_shown_like_other_images() {
    let program = Program::new();
    let server = program.serve(None);
    let image = fill(&program, &server.address);
    let app = format!("{}/foo/bar:t1", server.address);
    assert_eq!(program.ok(&format!("digest {app}")), image.digest().as_str());
    let shown = program.ok(&format!("inspect {app}"));
    let layer = Digest::sha256(LAYER);
    for word in [image.digest().as_str(), "linux/arm64", "2015-01-02", "sh", layer.as_str(), "3 B"]
    {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let inspection: Value =
        serde_json::from_str(&program.ok(&format!("inspect {app} --json"))).unwrap();
    assert_eq!(inspection["digest"], image.digest().as_str());
    assert_eq!(inspection["layers"][0]["size"], 3);
    let config: Value = serde_json::from_str(&program.ok(&format!("config {app}"))).unwrap();
    assert_eq!(config["id"], "f".repeat(64));
    assert_eq!(program.ok(&format!("config {app} --field .id")), "f".repeat(64));
    let by_digest = app.replace(":t1", &format!("@{}", image.digest()));
    let got = program.run(["manifest", "get", by_digest.as_str()]);
    assert_eq!(got.stdout.as_bytes(), image.bytes());
}

#[test]
fn a_schema_1_image_is_copied_unchanged_to_registries_layouts_and_oci_archives() {
    let program = Program::new();
    let server = program.serve(None);
    let image = fill(&program, &server.address);
    let app = format!("{}/foo/bar", server.address);
    let (layout, archive) = (program.local("oci", "layout"), program.local("oci-archive", "a.tar"));
    program.ok(&format!("pull -q {app}:t1 {layout}:t1"));
    program.ok(&format!("copy -q {layout}:t1 {archive}:t1"));
    program.ok(&format!("push -q {archive}:t1 {}/other:t2", server.address));
    program.ok(&format!("copy -q {app}:t1 {}/third:t3", server.address));
    program.ok(&format!("tag {app}:t1 again"));
    // In a layout, a manifest has the digest of all its bytes, including the signatures.
    let of_bytes = Digest::sha256(image.bytes());
    for (location, digest) in [
        (format!("{layout}:t1"), &of_bytes),
        (format!("{archive}:t1"), &of_bytes),
        (format!("{}/other:t2", server.address), image.digest()),
        (format!("{}/third:t3", server.address), image.digest()),
        (format!("{app}:again"), image.digest()),
    ] {
        assert_eq!(program.ok(&format!("digest {location}")), digest.as_str(), "{location}");
        assert_eq!(program.run(["manifest", "get", &location]).stdout.as_bytes(), image.bytes());
        let verified = program.ok(&format!("manifest verify {location}"));
        assert_eq!(verified, format!("{}\nES256 {KEY_ID}", image.digest()));
        let config: Value =
            serde_json::from_str(&program.ok(&format!("config {location}"))).unwrap();
        assert_eq!(config["architecture"], "arm64");
    }
    let refused =
        program.fails(1, &format!("pull {app}:t1 {}", program.local("docker-archive", "d")));
    assert!(refused.contains("unsupported"), "{refused}");
    program.ok(&format!("rm --yes {app}@{}", image.digest()));
    program.fails(3, &format!("digest {app}:t1"));
}

#[test]
fn manifest_verify_prints_the_keys_or_exits_with_7() {
    let program = Program::new();
    let file = program.path("schema1.json");
    std::fs::write(&file, SIGNED).unwrap();
    let file = file.display().to_string();
    let answer = program.ok(&format!("manifest verify {file} --json"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let signatures = json!([{ "keyId": KEY_ID, "algorithm": "ES256" }]);
    assert_eq!(answer, json!({ "digest": DIGEST, "payloadSize": 295, "signatures": signatures }));
    let piped = program.run_with(["manifest", "verify", "-"], SIGNED.as_bytes());
    assert_eq!((piped.code, piped.stdout), (0, format!("{DIGEST}\nES256 {KEY_ID}\n")));

    for (bad, word) in [
        (SIGNED.replace("foo/bar", "foo/baz"), "does not match the content"),
        (SIGNED.replace("\"ES256\"", "\"none\""), "not accepted"),
        (r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(), "not signed"),
        (r#"{"schemaVersion":2,"manifests":[]}"#.to_owned(), "not schema 1"),
    ] {
        let ended = program.run_with(["manifest", "verify", "-"], bad.as_bytes());
        assert_eq!(ended.code, 7, "{ended:?}");
        assert!(ended.stderr.contains(word) && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn an_edited_manifest_is_signed_and_pushed() {
    let program = Program::new();
    let server = program.serve(None);
    fill(&program, &server.address);
    let app = format!("{}/foo/bar", server.address);
    let key = program.path("key.pem");
    std::fs::write(&key, KEY).unwrap();
    let got = program.run(["manifest", "get", &format!("{app}:t1")]).stdout;
    let sign = format!("manifest sign - --tag t2 --key {}", key.display());
    let signed = program.run_with(sign.split(' '), got.as_bytes());
    assert_eq!(signed.code, 0, "{signed:?}");
    assert!(signed.stderr.contains(KEY_ID), "{signed:?}");
    let put = format!("{app}:t2");
    let put = program.run_with(["manifest", "put", &put, "-"], signed.stdout.as_bytes());
    assert_eq!(put.code, 0, "{put:?}");
    assert_eq!(program.ok(&format!("digest {app}:t2")), put.stdout.trim());
    let verified = program.ok(&format!("manifest verify {app}:t2"));
    assert_eq!(verified, format!("{}\nES256 {KEY_ID}", put.stdout.trim()));
    assert_eq!(program.ok(&format!("ls {app}")), "t1\nt2");
}

#[test]
fn manifest_sign_keeps_the_payload_with_a_generated_or_encrypted_key() {
    let program = Program::new();
    let (file, to) = (program.path("in.json"), program.path("out.json"));
    std::fs::write(&file, SIGNED).unwrap();
    let (file, out) = (file.display().to_string(), to.display().to_string());
    // Without --key, the program generates a key and prints the ID of the key.
    let report = program.ok(&format!("manifest sign {file} -o {out} --json"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["digest"], &report["algorithm"]), (&json!(DIGEST), &json!("ES256")));
    assert_ne!(report["keyId"], KEY_ID);
    let verified: Value =
        serde_json::from_str(&program.ok(&format!("manifest verify {out} --json"))).unwrap();
    assert_eq!(verified["signatures"][0]["keyId"], report["keyId"]);
    assert_eq!(verified["digest"], DIGEST);

    let encrypted = include_str!("../../../legacy/src/schema1/jws/key/p256_aes256.pem");
    let (key, password) = (program.path("key.pem"), program.path("password"));
    std::fs::write(&key, encrypted).unwrap();
    let with_key = format!("manifest sign {file} -o {out} --key {}", key.display());
    let told = program.fails(1, &with_key);
    assert!(told.contains("no password") && told.contains("--password-file"), "{told}");
    for (text, code) in [("secret\n", 0), ("wrong", 1)] {
        std::fs::write(&password, text).unwrap();
        let line = format!("{with_key} --password-file {}", password.display());
        assert_eq!(program.run(line.split(' ')).code, code);
    }
    let index =
        program.run_with(["manifest", "sign", "-"], br#"{"schemaVersion":2,"manifests":[]}"#);
    assert_eq!(index.code, 1);
    assert!(index.stderr.contains("expected a schema 1 manifest"), "{index:?}");
}
