//! Docker schema 1: what yodle's client and moby-distribution sign, longshore verifies, and back.

use super::*;

use bytes::Bytes;
use longshore::{Digest, MediaType, RawManifest, SigningKey, Target as _, canonical_json};
use serde_json::json;

/// A manifest of one layer, as Python writes it.
const UNSIGNED: &str = "dict(schemaVersion=1, name='old/app', tag='v1', architecture='amd64', \
    fsLayers=[dict(blobSum=layer)], history=[dict(v1Compatibility='{}')])";

fn signed(text: &Value) -> RawManifest {
    let bytes = Bytes::from(text.as_str().unwrap().to_owned());
    RawManifest::of(bytes, Some(MediaType::DOCKER_SCHEMA1_SIGNED)).unwrap()
}

fn python() -> Predecessor {
    let mut python = Predecessor::start(&[]);
    python.run("import json, libtrust");
    python.run("from docker_registry_client.manifest import sign");
    python.run("from docker_registry_client._BaseClient import BaseClientV2, _Manifest");
    python.run("from moby_distribution import *");
    python.run(&format!("layer = '{}'", Digest::sha256(b"layer")));
    python.run(&format!("unsigned = {UNSIGNED}"));
    python
}

#[test]
fn yodle_signs_what_longshore_verifies() {
    let mut python = python();
    let text = python.gives("sign(unsigned)");
    let verified = signed(&text).verify_signatures().unwrap();
    assert_eq!(verified.signers[0].algorithm, "ES256");
    let payload: Value = serde_json::from_slice(&verified.payload).unwrap();
    assert_eq!(payload, python.gives("unsigned"));

    let spoilt = json!(text.as_str().unwrap().replace("old/app", "new/app"));
    let e = signed(&spoilt).verify_signatures().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unverified);
}

#[test]
fn moby_signs_what_longshore_verifies_and_the_other_way_round() {
    let mut python = python();
    python.run("from moby_distribution.registry.utils import get_private_key");
    python.run("key = get_private_key()");
    python.run("js = libtrust.JSONSignature.new(json.dumps(unsigned)); js.sign(key)");
    let theirs = signed(&python.gives("js.to_pretty_signature('signatures')"));
    let verified = theirs.verify_signatures().unwrap();
    assert_eq!(text(&verified.payload), python.gives("json.dumps(unsigned)"));

    let unsigned = canonical_json(&python.gives("unsigned")).unwrap();
    let unsigned = RawManifest::of(unsigned, Some(MediaType::DOCKER_SCHEMA1)).unwrap();
    let ours = unsigned.sign(&SigningKey::generate().unwrap()).unwrap();
    python.run(&format!("ours = {}", json!(text(ours.bytes()))));
    python.run("back = libtrust.JSONSignature.from_pretty_signature(ours)");
    assert_eq!(python.gives("len(back.verify())"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_moby_put_schema1_that_longshore_gets() {
    let place = Place::open().await;
    let layer = longshore::Descriptor::of(MediaType::OCTET_STREAM, b"layer");
    place.at("old/app").push_blob(&layer, Bytes::from("layer").into()).await.unwrap();
    let mut python = python();
    python.run(&format!("host = 'http://{}'", place.address));
    python.run("BaseClientV2(host).put_manifest('old/app', 'yodle', _Manifest(unsigned, '', ''))");
    python.run("client = DockerRegistryV2Client(host)");
    python.run("ManifestRef('old/app', 'moby', client=client).put(ManifestSchema1(**unsigned))");
    for tag in ["yodle", "moby"] {
        let manifest = place.at("old/app").manifest(&super::tag(tag).into()).await.unwrap();
        assert_eq!(*manifest.media_type(), MediaType::DOCKER_SCHEMA1_SIGNED);
        manifest.verify_signatures().unwrap();
        python.run(&format!("got = ManifestRef('old/app', '{tag}', client=client)"));
        let read = python.gives("got.get(ManifestSchema1.content_type()).fsLayers[0].blobSum");
        assert_eq!(read, layer.digest.as_str());
        let read = format!("BaseClientV2(host).get_manifest('old/app', '{tag}')._content['name']");
        assert_eq!(python.gives(&read), "old/app");
    }
}
