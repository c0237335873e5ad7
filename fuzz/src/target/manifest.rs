//! Manifests of any media type.

use bytes::Bytes;
use longshore::graph::Successors;
use longshore::{Manifest, RawManifest, canonical_json};
use longshore_legacy::schema1::VerifySignatures as _;
use serde_json::Value;

use super::texts;

/// Checks that a manifest matches its digest, and that serialization and an edit without changes
/// keep the parsed view.
pub fn run(data: &[u8]) -> bool {
    if let Ok(document) = serde_json::from_slice::<Value>(data) {
        canonical_form_is_stable(&document);
    }
    let Ok(raw) = RawManifest::from_bytes(Bytes::copy_from_slice(data), None) else {
        return false;
    };
    let again = RawManifest::new(raw.bytes().clone(), None, raw.digest().clone());
    assert_eq!(again.as_ref().ok(), Some(&raw));
    assert_eq!(raw.by_bytes().bytes(), raw.bytes());
    let _ =
        (raw.problems(), raw.check_unambiguous(), raw.verify_signatures(), Successors::of(&raw));
    let Ok(parsed) = raw.parse() else {
        return false;
    };
    let media_type = Some(raw.media_type().clone());
    let written = match parsed {
        Manifest::Image(image) => RawManifest::from_document(image, media_type),
        Manifest::Index(index) => RawManifest::from_document(index, media_type),
        _ => return false,
    };
    let written = written.expect("a parsed manifest can be serialized");
    assert_eq!(written.parse().ok(), Some(parsed), "written");
    // Parsers may disagree about a duplicate key.
    if raw.check_unambiguous().is_ok() {
        let edited = raw.edited(|_| {}).expect("a parsed manifest can be edited");
        assert_eq!(edited.parse().ok(), Some(parsed), "edited");
    }
    true
}

fn canonical_form_is_stable(document: &Value) {
    let first = canonical_json(document).expect("a document can be serialized");
    let read: Value = serde_json::from_slice(&first).expect("the canonical form can be parsed");
    assert_eq!(canonical_json(&read).ok(), Some(first));
}

/// One manifest of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let empty = |kind: &str| format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":0}}"#);
    let oci = "application/vnd.oci.image";
    let docker = "application/vnd.docker";
    let config = empty(&format!("{oci}.config.v1+json"));
    let layer = empty(&format!("{oci}.layer.v1.tar+gzip"));
    let child = empty(&format!("{oci}.manifest.v1+json"));
    let platform = r#""platform":{"os":"linux","architecture":"arm","variant":"v7"}"#;
    texts(&[
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"{oci}.manifest.v1+json","config":{config},"layers":[{layer}],"annotations":{{"a":"b"}}}}"#
        ),
        &format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":null,"subject":{child},"artifactType":"a/b"}}"#
        ),
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"{docker}.distribution.manifest.v2+json","config":{config},"layers":[{layer},{layer}]}}"#
        ),
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"{oci}.index.v1+json","manifests":[{child}]}}"#
        ),
        &format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{oci}.manifest.v1+json","digest":"{digest}","size":9223372036854775807,{platform},"urls":["u"],"data":""}}]}}"#
        ),
        &format!(
            r#"{{"schemaVersion":2,"mediaType":"{docker}.distribution.manifest.list.v2+json","manifests":[]}}"#
        ),
        &format!(
            r#"{{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","artifactType":"a/b","blobs":[{layer}]}}"#
        ),
        &format!(
            r#"{{"schemaVersion":1,"name":"a","tag":"b","architecture":"amd64","fsLayers":[{{"blobSum":"{digest}"}}],"history":[{{"v1Compatibility":"{{\"id\":\"x\"}}"}}],"signatures":[{{"header":{{"jwk":{{"crv":"P-256","kty":"EC","x":"","y":""}},"alg":"ES256"}},"signature":"","protected":"eyJmb3JtYXRMZW5ndGgiOjEsImZvcm1hdFRhaWwiOiIifQ"}}]}}"#
        ),
        r#"{"schemaVersion":2,"a":1.5e300,"A":[0.1,-0,1e-7,18446744073709551616],"a\u0000":"\ud83d\ude00"}"#,
        "[]",
    ])
}
