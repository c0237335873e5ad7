//! Compares schema 1 signatures of yodle's client, moby-distribution and longshore.

use super::*;

use bytes::Bytes;
use longshore::{Digest, MediaType, RawManifest, Target as _, canonical_json};
use longshore_legacy::schema1::{Sign as _, SigningKey, VerifySignatures as _};
use serde_json::json;

/// A manifest of one layer, as a Python expression.
const UNSIGNED: &str = "dict(schemaVersion=1, name='old/app', tag='v1', architecture='amd64', \
    fsLayers=[dict(blobSum=layer)], history=[dict(v1Compatibility='{}')])";

fn signed(text: &Value) -> RawManifest {
    let bytes = Bytes::from(text.as_str().unwrap().to_owned());
    RawManifest::from_bytes(bytes, Some(MediaType::DOCKER_SCHEMA1_SIGNED)).unwrap()
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
fn longshore_verifies_signatures_of_yodle() {
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
fn moby_and_longshore_verify_each_others_signatures() {
    let mut python = python();
    python.run("from moby_distribution.registry.utils import get_private_key");
    python.run("key = get_private_key()");
    python.run("js = libtrust.JSONSignature.new(json.dumps(unsigned)); js.sign(key)");
    let theirs = signed(&python.gives("js.to_pretty_signature('signatures')"));
    let verified = theirs.verify_signatures().unwrap();
    assert_eq!(text(&verified.payload), python.gives("json.dumps(unsigned)"));

    let unsigned = canonical_json(&python.gives("unsigned")).unwrap();
    let unsigned = RawManifest::from_bytes(unsigned, Some(MediaType::DOCKER_SCHEMA1)).unwrap();
    let ours = unsigned.sign(&SigningKey::generate().unwrap()).unwrap();
    python.run(&format!("ours = {}", json!(text(ours.bytes()))));
    python.run("back = libtrust.JSONSignature.from_pretty_signature(ours)");
    assert_eq!(python.gives("len(back.verify())"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn longshore_reads_schema_1_manifests_of_yodle_and_moby() {
    let place = Place::open().await;
    let layer = longshore::Descriptor::from_bytes(MediaType::OCTET_STREAM, b"layer");
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

#[test]
fn moby_and_longshore_read_the_same_key() {
    let mut python = python();
    python.run("import os; from moby_distribution.registry.utils import get_private_key");
    python.run("from cryptography.hazmat.primitives.asymmetric import ec, rsa");
    python.run("from cryptography.hazmat.primitives.serialization import *");
    python.run(
        "def keep(key, lock=NoEncryption()):\n    \
             pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()\n    \
             os.environ['MOBY_DISTRIBUTION_PRIVATE_KEY'] = pem\n    \
             return pem",
    );
    for key in ["ec.generate_private_key(ec.SECP256R1())", "rsa.generate_private_key(65537, 2048)"]
    {
        let pem = python.gives(&format!("keep({key})"));
        let ours = SigningKey::from_pem(pem.as_str().unwrap(), None).unwrap();
        assert_eq!(python.gives("get_private_key().key_id()"), ours.public().id());
        if key.starts_with("ec") {
            // moby's library cannot sign with RSA, because it is incompatible with the current
            // release of a dependency.
            python.run("js = libtrust.JSONSignature.new(json.dumps(unsigned))");
            python.run("js.sign(get_private_key())");
            let theirs = signed(&python.gives("js.to_pretty_signature('signatures')"));
            let verified = theirs.verify_signatures().unwrap();
            assert_eq!(verified.signers[0].key.id(), ours.public().id());
        }
    }

    // Defect of moby-distribution: it silently uses a new key instead of an encrypted or unreadable
    // key.
    python.run("os.environ['MOBY_DISTRIBUTION_PRIVATE_KEY_PASSWORD'] = 'secret'");
    let locked =
        "keep(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b'secret'))";
    let pem = python.gives(locked);
    let ours = SigningKey::from_pem(pem.as_str().unwrap(), Some("secret")).unwrap();
    assert_ne!(python.gives("get_private_key().key_id()"), ours.public().id());
    python.run("os.environ['MOBY_DISTRIBUTION_PRIVATE_KEY'] = 'no key'");
    assert!(python.gives("get_private_key().key_id()").is_string());
    assert_eq!(SigningKey::from_pem("no key", None).unwrap_err().kind(), ErrorKind::Invalid);
}
