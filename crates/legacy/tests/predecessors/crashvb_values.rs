//! Compares docker-registry-client-async with longshore: names, digests and documents, without a
//! registry.

use super::*;

use bytes::Bytes;
use longshore::{Algorithm, Defaults, Digest, RawManifest, Reference, canonical_json};
use serde_json::json;

/// Starts Python with the types of docker-registry-client-async.
fn values(environment: &[(&str, &str)]) -> Predecessor {
    let mut crashvb = Predecessor::start(environment);
    crashvb.run("from docker_registry_client_async import *; import json");
    crashvb
}

#[test]
fn crashvb_and_longshore_parse_names_alike() {
    let mut crashvb = values(&[]);
    let digest = Digest::sha256(b"");
    for name in [
        "image".to_owned(),
        "image:tag".to_owned(),
        "ns0/ns1/image:tag".to_owned(),
        "endpoint.io/ns0/image:tag".to_owned(),
        format!("endpoint:5000/ns0/ns1/image:tag@{digest}"),
        format!("endpoint.io:5000/image@{digest}"),
        "[::1]:5000/a/b".to_owned(),
        "busybox:1.30.1".to_owned(),
    ] {
        crashvb.run(&format!("name = ImageName.parse('{name}')"));
        let ours = Reference::familiar(&name).unwrap();
        let none_is_null = |text: Option<String>| text.map_or(Value::Null, Value::from);
        assert_eq!(
            crashvb.gives("name.tag"),
            none_is_null(ours.tag().map(ToString::to_string)),
            "{name}"
        );
        assert_eq!(
            crashvb.gives("name.digest"),
            none_is_null(ours.digest().map(ToString::to_string))
        );
        // Defects of crashvb: only `index.docker.io` is Docker Hub, and `library/` is added at
        // every registry.
        let endpoint = crashvb.gives("name.resolve_endpoint()");
        let endpoint = endpoint.as_str().unwrap().replace("index.docker.io", "docker.io");
        assert_eq!(endpoint, ours.registry().as_str(), "{name}");
        let image = crashvb.gives("name.resolve_image()");
        let image = image.as_str().unwrap();
        let at_hub = ours.registry().is_docker_hub();
        let image = if at_hub { image } else { image.trim_start_matches("library/") };
        assert_eq!(image, ours.repository().name().as_str(), "{name}");
    }
    // Names that crashvb misreads and longshore refuses.
    for name in ["", "endpoint.io/", "https://endpoint.io/image", "UPPER/Image:Tag"] {
        drop(crashvb.gives(&format!("ImageName.parse('{name}')")));
        Reference::familiar(name).unwrap_err();
    }
    assert!(crashvb.raises("ImageName.parse('a:b:c:d')").is("ValueError"));
    Reference::familiar("a:b:c:d").unwrap_err();
}

#[test]
fn crashvb_and_longshore_compute_the_same_digests_and_media_types() {
    let mut crashvb = values(&[]);
    let theirs = crashvb.gives("FormattedSHA256.calculate(b'test data')");
    assert_eq!(theirs, Digest::sha256(b"test data").as_str());
    for document in [
        r#"{"schemaVersion":2,"manifests":[]}"#,
        r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json"}"#,
    ] {
        let theirs = crashvb.gives(&format!("Manifest(b'{document}').get_media_type()"));
        let ours = RawManifest::from_bytes(Bytes::from(document), None).unwrap();
        assert_eq!(theirs, ours.media_type().as_str());
    }
}

#[test]
fn crashvb_and_longshore_write_the_same_canonical_json() {
    let mut crashvb = values(&[]);
    let document = json!({"b": [1, {"z": null, "y": true}], "a": "\u{e9}/\n", "\u{20ac}": 1.5});
    crashvb.run(&format!("document = json.loads({})", json!(document.to_string())));
    crashvb.run("edited = JsonBytes(b'{}'); edited._set_json(document)");
    let ours = canonical_json(&document).unwrap();
    assert_eq!(crashvb.gives("edited.get_bytes()"), text(&ours));
    assert_eq!(crashvb.gives("edited.get_digest()"), Digest::sha256(&ours).as_str());
}

#[test]
fn crashvb_and_longshore_complete_short_names_from_defaults() {
    for (namespace, image) in [("team", "team/image"), ("", "image")] {
        let mut crashvb = values(&[
            ("DRCA_DEFAULT_REGISTRY", "r.example:5000"),
            ("DRCA_DEFAULT_NAMESPACE", namespace),
            ("DRCA_DEFAULT_TAG", "stable"),
        ]);
        let mut defaults = Defaults::docker();
        defaults.registry = "r.example:5000".parse().unwrap();
        defaults.namespace = (!namespace.is_empty()).then(|| namespace.parse().unwrap());
        defaults.tag = tag("stable");
        for (name, expected) in [("image", image), ("a/b", "a/b"), ("image:v1", image)] {
            crashvb.run(&format!("name = ImageName.parse('{name}')"));
            let ours = defaults.tagged(defaults.parse(name).unwrap());
            assert_eq!(crashvb.gives("name.resolve_endpoint()"), ours.registry().as_str());
            assert_eq!(crashvb.gives("name.resolve_image()"), expected);
            assert_eq!(ours.repository().name().as_str(), expected);
            assert_eq!(crashvb.gives("name.resolve_tag()"), ours.tag().unwrap().to_string());
        }
    }
}

#[test]
fn crashvb_accepts_digests_that_longshore_refuses() {
    let mut crashvb = values(&[]);
    let hex = Digest::sha256(b"").encoded().to_owned();
    let short = &hex[1..];
    // The text, and whether crashvb's constructor, crashvb's `parse` and longshore accept the text.
    for (written, constructs, parses, ours) in [
        (format!("sha256:{hex}"), true, true, true),
        (hex.clone(), true, false, false),
        (format!("sha256:sha256:{hex}"), true, false, false),
        // Defect of crashvb: it accepts digits that are not hexadecimal or not in lower case.
        (format!("sha256:{}", "z".repeat(64)), true, true, false),
        (format!("sha256:{}", hex.to_uppercase()), true, true, false),
        (String::new(), false, false, false),
        (short.to_owned(), false, false, false),
        (format!("sha256:{short}"), false, false, false),
        (format!("sha1:{hex}"), false, false, false),
        (format!("SHA256:{hex}"), false, false, false),
    ] {
        for (call, takes) in [("", constructs), (".parse", parses)] {
            let call = format!("FormattedSHA256{call}('{written}')");
            if takes {
                assert!(crashvb.gives(&call).is_string(), "{call}");
            } else {
                assert!(crashvb.raises(&call).is("ValueError"), "{call}");
            }
        }
        assert_eq!(Digest::parse(&written).is_ok(), ours, "{written}");
    }
}

#[test]
fn crashvb_and_longshore_hash_a_file_chunk_by_chunk() {
    let mut crashvb = values(&[("DRCA_CHUNK_SIZE", "4")]);
    crashvb.run("open('file', 'wb').write(b'0123456789'); file = open('file', 'rb')");
    crashvb.run("from docker_registry_client_async.hashinggenerator import HashingGenerator");
    crashvb.run("read = HashingGenerator(file, file_is_async=False)");
    assert_texts(&crashvb.gives("[chunk async for chunk in read]"), &["0123", "4567", "89"]);
    let mut ours = Algorithm::Sha256.digester();
    for chunk in ["0123", "4567", "89"] {
        ours.update(chunk.as_bytes());
    }
    assert_eq!(crashvb.gives("read.get_digest()"), ours.finish().as_str());
    assert_eq!(crashvb.gives("read.get_size()"), 10);
    assert_eq!(crashvb.gives("file.tell()"), 0, "the file is rewound, so it can be sent again");
}
