//! Manifest commands: get, put and check.

use serde_json::Value;

use crate::program::Program;

/// A shortened manifest list with escaped slashes, as Docker Hub once sent it.
const LIST: &str = "{\"manifests\":[],\"mediaType\":\"application\\/vnd.docker.distribution.manifest.list.v2+json\",\"schemaVersion\":2}";
const LIST_TYPE: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

#[test]
fn a_manifest_is_written_to_a_file_and_pushed_back_byte_for_byte() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/team/app", server.address);
    let ended = program.run_with(["manifest", "put", &format!("{app}:v1"), "-"], LIST.as_bytes());
    assert_eq!(ended.code, 0, "{ended:?}");
    let digest = longshore::Digest::sha256(LIST.as_bytes()).to_string();
    assert_eq!(ended.stdout.trim_end(), digest);

    program.ok(&format!("manifest get {app}:v1 -o list.json"));
    assert_eq!(std::fs::read_to_string(program.path("list.json")).unwrap(), LIST);
    let put = program.ok(&format!("manifest put {app}:v2 list.json"));
    assert_eq!(put, digest);
    assert_eq!(program.ok(&format!("manifest get {app}:v2 -o -")), LIST);
    assert_eq!(program.ok(&format!("digest {app}:v2")), digest);
    // A digest that does not match the bytes is refused.
    let wrong = format!("{app}@sha256:{}", "0".repeat(64));
    let told = program.fails(7, &format!("manifest put {wrong} list.json"));
    assert!(told.contains("digest mismatch"), "{told}");
    let told = program.fails(3, &format!("manifest get {app}:v9 -o nothing.json"));
    assert!(told.contains(&format!("{app}:v9")), "{told}");
    assert!(!program.path("nothing.json").exists());
}

#[test]
fn a_manifest_is_returned_only_in_an_accepted_media_type() {
    let program = Program::new();
    let server = program.serve(None);
    let app = format!("{}/team/app:v1", server.address);
    program.run_with(["manifest", "put", &app, "-"], LIST.as_bytes());
    program.ok(&format!("copy -q {app} oci:layout:v1"));
    let oci = "application/vnd.oci.image.index.v1+json";
    for place in [&app, "oci:layout:v1"] {
        assert_eq!(program.ok(&format!("manifest get {place} --accept {LIST_TYPE}")), LIST);
        let both = format!("manifest get {place} --accept {oci} --accept {LIST_TYPE}");
        assert_eq!(program.ok(&both), LIST);
        let told = program.fails(1, &format!("manifest get {place} --accept {oci}"));
        assert!(told.contains("unsupported") && told.contains(LIST_TYPE), "{told}");
    }
}

#[test]
fn manifest_check_reports_violations_of_the_specification() {
    let program = Program::new();
    let check = |text: &str, more: &[&str]| {
        let arguments = ["manifest", "check", "-"].iter().chain(more);
        program.run_with(arguments, text.as_bytes())
    };
    let right = check(LIST, &[]);
    assert_eq!((right.code, &*right.stdout), (0, ""), "{right:?}");
    assert!(right.stderr.contains(LIST_TYPE), "{right:?}");
    let sha = format!("sha256:{}", "0".repeat(64));
    let entry = |media_type: &str| {
        format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{sha}\",\"size\":1}}")
    };
    let text = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"config\":{},\"layers\":[{}]}}",
        entry("application/vnd.oci.image.config.v1+json"),
        entry("application/vnd.docker.image.rootfs.diff.tar.gzip"),
    );
    let wrong = check(&text, &[]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.stdout.starts_with("layers[0] is application/vnd.docker"), "{wrong:?}");
    let json: Value = serde_json::from_str(&check(&text, &["--json"]).stdout).unwrap();
    assert_eq!(json["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(json["problems"].as_array().unwrap().len(), 1);
    for no_manifest in ["", "[]", "{}", "<html>"] {
        assert_eq!(check(no_manifest, &[]).code, 1, "{no_manifest}");
    }
}
