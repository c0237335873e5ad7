mod predecessors;

use bytes::Bytes;

use super::*;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;
use crate::media_type::MediaType;

const SHA: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn raw(json: &str) -> Result<RawManifest> {
    RawManifest::from_bytes(Bytes::copy_from_slice(json.as_bytes()), None)
}

fn descriptor(media_type: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{SHA}","size":0}}"#)
}

fn image() -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json");
    format!(r#" {{"schemaVersion":2,"config":{config},"layers":null,"x-new":[1]}}"#)
}

#[test]
fn the_kind_is_determined_from_the_document_if_the_store_states_none() {
    let image = raw(&image()).unwrap();
    assert_eq!(*image.media_type(), MediaType::OCI_MANIFEST);
    let Manifest::Image(view) = image.parse().unwrap() else { panic!("expected an image") };
    assert!(view.layers.is_empty());
    assert!(view.extra.contains_key("x-new"));

    let index = raw(r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    assert_eq!(*index.media_type(), MediaType::OCI_INDEX);
    let schema1 = raw(&format!(
        r#"{{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[{{"blobSum":"{SHA}"}}],"signatures":[]}}"#
    ))
    .unwrap();
    assert!(matches!(schema1.parse().unwrap(), Manifest::Schema1(s) if s.fs_layers.len() == 1));
}

#[test]
fn the_bytes_of_a_manifest_are_unchanged_and_must_match_its_digest() {
    let text = image();
    let manifest = raw(&text).unwrap();
    assert_eq!(manifest.bytes(), text.as_bytes());
    let e = RawManifest::new(Bytes::from(text), None, SHA.parse().unwrap()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
}

#[test]
fn ambiguous_documents_are_refused() {
    let config = descriptor("a/b");
    for bad in [
        format!(r#"{{"schemaVersion":2,"manifests":[],"layers":[],"config":{config}}}"#),
        format!(r#"{{"schemaVersion":2,"manifests":[],"config":{config}}}"#),
        r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#.to_owned(),
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","mediaType":"a/b"}"#.to_owned(),
    ] {
        assert_eq!(raw(&bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
    }
    let contradicts = RawManifest::from_bytes(
        Bytes::from_static(br#"{"mediaType":"application/vnd.oci.image.index.v1+json"}"#),
        Some(MediaType::OCI_MANIFEST),
    );
    assert_eq!(contradicts.unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn documents_that_are_not_manifests_are_refused() {
    for (bad, word) in [
        ("", "EOF"),
        ("\u{feff}{}", "expected value"),
        ("{} x", "trailing"),
        ("<!doctype html>", "web page"),
        ("\x1f\u{8b}", "expected value"),
        ("{}", "neither"),
        (r#"{"schemaVersion":"2","manifests":[]}"#, "schemaVersion\"|invalid type"),
    ] {
        let e = raw(bad).unwrap_err().to_string();
        assert!(word.split('|').any(|w| e.contains(w)), "{bad:?}: {e}");
    }
    let deep = format!(r#"{{"manifests":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(raw(&deep).unwrap().parse().unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_document_of_unknown_kind_is_parsed_as_opaque() {
    let bytes = Bytes::from_static(br#"{"mediaType":"application/x","y":1}"#);
    let manifest = RawManifest::from_bytes(bytes, None).unwrap();
    assert_eq!(*manifest.parse().unwrap(), Manifest::Opaque);
}

#[test]
fn a_manifest_is_parsed_once_for_all_its_clones() {
    let manifest =
        RawManifest::from_bytes(Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#), None)
            .unwrap();
    let clone = manifest.clone();
    assert!(std::ptr::eq(clone.parse().unwrap(), manifest.parse().unwrap()));
    assert!(std::ptr::eq(clone.by_bytes().parse().unwrap(), manifest.parse().unwrap()));
}

#[test]
fn sizes_and_digests_are_checked_when_a_manifest_is_parsed() {
    for bad in
        [r#""size":-1"#, r#""size":1.5"#, r#""size":1e30"#, r#""digest":"sha256:x""#, r#""x":0"#]
    {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b",{bad}}}]}}"#);
        let e = raw(&text).unwrap().parse().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{bad}");
    }
}

#[test]
fn the_error_for_a_missing_platform_lists_the_available_platforms() {
    let mut entry = Descriptor::new(MediaType::OCI_MANIFEST, SHA.parse().unwrap(), 0);
    entry.platform = Some(crate::platform::Platform::new("linux", "arm64", None));
    let index = Index::new(vec![entry]);
    assert!(index.for_platform(&"linux/aarch64".parse().unwrap()).is_ok());
    let e = index.for_platform(&"linux/s390x".parse().unwrap()).unwrap_err();
    assert!(e.to_string().contains("the index has linux/arm64"), "{e}");
}

#[test]
fn a_config_keeps_the_fields_of_docker() {
    let json = format!(
        r#"{{"architecture":"amd64","os":"linux","docker_version":"1","config":{{"Cmd":null,"Env":["A=b"],
            "Healthcheck":{{"Test":["x"]}}}},"rootfs":{{"type":"layers","diff_ids":["{SHA}"]}},
            "history":[{{"created_by":"RUN x","empty_layer":true}}]}}"#
    );
    let config: ImageConfig = serde_json::from_str(&json).unwrap();
    assert_eq!(config.platform.to_string(), "linux/amd64");
    assert!(config.platform.extra.contains_key("docker_version"));
    let run = config.config.unwrap();
    assert!(run.extra.contains_key("Healthcheck") && run.cmd.is_empty());
    assert!(config.history[0].empty_layer);
}
