use super::*;

const A: &str = include_str!("vector/a.json");
const B: &str = include_str!("../../../../core/src/manifest/schema1/signed.json");
const C: &str = include_str!("vector/c.json");
const P256: &str = include_str!("key/p256.pem");
const P256_ID: &str = "TIP5:NSTB:WH2C:JMZZ:KXP7:ZRUZ:6GPT:CMAP:WF32:DHSJ:7CSZ:7MQE";

fn manifest(text: &str) -> RawManifest {
    RawManifest::from_bytes(Bytes::copy_from_slice(text.as_bytes()), None).unwrap()
}

fn refusal(text: &str) -> String {
    let e = manifest(text).verify_signatures().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unverified, "{e}");
    e.to_string()
}

#[test]
fn verifying_signatures_of_other_programs_returns_the_payload_digest() {
    for (text, size, digest) in [
        (A, 219, "803df976f392792b925f956096ff5431d4c6c0383e570d97c5c928e03d184f1c"),
        (B, 295, "634fb0b8e1da07868596061b333aa797b6fbf4d1fe9a9d3d6f62f2d993854781"),
        (C, 219, "0e6576186f412438232e33eba981353a02e837b24a26fe3f9d7d8c56c8c763ec"),
    ] {
        let verified = manifest(text).verify_signatures().unwrap();
        assert_eq!((verified.payload.len(), verified.digest.encoded()), (size, digest));
        let [signer] = &verified.signers[..] else { panic!("expected one signer") };
        assert_eq!((signer.key.id().as_str(), signer.algorithm.as_str()), (P256_ID, "ES256"));
    }
}

#[test]
fn trap_11_the_digest_of_a_signed_schema_1_manifest_covers_only_its_payload() {
    for text in [A, B, C] {
        let manifest = manifest(text);
        let verified = manifest.verify_signatures().unwrap();
        assert_eq!(*manifest.digest(), verified.digest);
        assert_ne!(*manifest.digest(), Digest::sha256(text.as_bytes()));
        assert_eq!(manifest.descriptor().size, text.len() as u64);
        assert_eq!(*manifest.bytes(), *text);

        let bytes = manifest.bytes().clone();
        for digest in [verified.digest.clone(), Digest::sha256(&bytes)] {
            let again = RawManifest::new(bytes.clone(), None, digest.clone()).unwrap();
            assert_eq!(*again.digest(), digest);
        }
        let altered = text.replace("\"amd64\"", "\"arm64\"");
        let e = RawManifest::new(altered.into(), None, verified.digest).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    }
}

#[test]
fn content_changed_after_signing_does_not_verify() {
    for text in [A, B, C] {
        let changed = text.replace("foo/bar", "foo/baz");
        assert!(refusal(&changed).contains("signature 1 does not match the content"));
    }
}

#[test]
fn each_verification_error_states_its_reason() {
    let crv = r#""crv":"P-256""#;
    let alg = r#""alg":"ES256""#;
    let signature =
        "EMQk8NrrtEYBDHe2-5UgodRM-dKr_cWHWYboh3qZzKv_OJcTSfuImMT3202oOYIoUsJUzMZc1S3nebBIhc9qEA";
    for (from, to, word) in [
        (alg, r#""alg":"none""#, "the algorithm \"none\", which is not accepted"),
        (alg, r#""alg":"HS256""#, "the algorithm \"HS256\""),
        (alg, r#""alg":"ES512""#, "the algorithm \"ES512\""),
        (alg, r#""alg":"ES384""#, "its key is for ES256"),
        (alg, r#""alg":"RS256""#, "its key is for ES256"),
        (alg, r#""alg":7"#, "the algorithm \"\""),
        (r#""chain":[]"#, r#""chain":["MIIB"]"#, "certificate chain"),
        (r#""chain":[]"#, r#""x5c":["MIIB"]"#, "certificate chain"),
        (crv, r#""crv":"P-384""#, "a key that does not match its identifier"),
        (crv, r#""crv":"P-521""#, "curve \"P-521\", which is not supported"),
        (r#""kty":"EC""#, r#""kty":"RSA""#, "damaged"),
        (r#""kty":"EC""#, r#""kty":"oct""#, "type \"oct\""),
        ("TIP5:", "TIP6:", "a key that does not match its identifier"),
        (r#""x":"GY2K"#, r#""x":"!Y2K"#, "damaged"),
        (r#""x":"GY2K"#, r#""x":"AAAAGY2K"#, "damaged"),
        (r#""jwk":{"#, r#""key":{"#, "has no key"),
        (signature, "!", "unreadable"),
        (signature, "", "does not match the content"),
        (r#""signatures": [{"#, r#""signatures": [], "x": [{"#, "not signed"),
        (r#""signatures": "#, r#""signed": "#, "not signed"),
    ] {
        assert!(A.contains(from), "{from}");
        let e = refusal(&A.replacen(from, to, 1));
        assert!(e.contains(word), "{to}: {e}");
    }
}

#[test]
fn all_signatures_must_be_valid_and_cover_the_same_payload() {
    let key = SigningKey::generate().unwrap();
    let other: Schema1 = serde_json::from_slice(manifest(A).sign(&key).unwrap().bytes()).unwrap();
    let mut both: Value = serde_json::from_str(A).unwrap();
    let first = both["signatures"][0].clone();
    // The second signature is inserted as text, so that the payload keeps its bytes.
    let with = |second: &Value| A.replace("\"}]}", &format!("\"}},{second}]}}"));
    let verified = manifest(&with(&other.signatures[0])).verify_signatures().unwrap();
    assert_eq!(verified.signers.len(), 2);
    assert_eq!(verified.signers[1].key.id(), key.public().id());

    let mut bad = other.signatures[0].clone();
    bad["signature"] = first["signature"].clone();
    assert!(refusal(&with(&bad)).contains("signature 2 does not match the content"));
    let format = json!({ "formatLength": 217, "formatTail": "XX0" });
    bad["protected"] = to_base64url(format.to_string()).into();
    assert!(refusal(&with(&bad)).contains("disagree"));
    both["signatures"] = json!([]);
    assert!(refusal(&both.to_string()).contains("not signed"));
}

#[test]
fn the_number_of_signatures_is_limited() {
    let one = serde_json::from_str::<Value>(A).unwrap()["signatures"][0].to_string();
    let of = |count: usize| {
        let more = format!(",{one}").repeat(count - 1);
        A.replace("\"}]}", &format!("\"}}{more}]}}"))
    };
    let verified = manifest(&of(SIGNATURE_LIMIT)).verify_signatures().unwrap();
    assert_eq!(verified.signers.len(), SIGNATURE_LIMIT);
    assert!(refusal(&of(SIGNATURE_LIMIT + 1)).contains("more than 32 signatures"));
}

#[test]
fn the_example_of_the_specification_does_not_verify() {
    let format = r#"{"formatLength":6628,"formatTail":"Cn0","time":"2015-04-08T18:52:59Z"}"#;
    let protected = to_base64url(format);
    let text = format!(
        r#"{{"name":"hello-world","tag":"latest","architecture":"amd64","fsLayers":[],"history":[],
        "schemaVersion":1,"signatures":[{{"header":{{"alg":"ES256"}},"signature":"X","protected":"{protected}"}}]}}"#
    );
    assert!(refusal(&text).contains("shorter than the signed content"));
    // The manifest can be parsed even with malformed signatures.
    let text = text.replace(&protected, "protected");
    let manifest = manifest(&text);
    let schema1 = manifest.parse().unwrap();
    assert!(matches!(schema1, Manifest::Schema1(s) if s.signatures.len() == 1));
    assert!(refusal(&text).contains("protected header"));
}

#[test]
fn a_placeholder_signature_can_be_parsed_but_does_not_verify() {
    let dreg = r#"{"schemaVersion":1,"name":"testns/testrepo","tag":"2021","architecture":"amd64",
        "fsLayers":[{"blobSum":"sha256:4c8ab3090c2685271afcffc2a4dc63f15ab11a0124bdbde6085c934a4e6f4c00"}],
        "history":[{"v1Compatibility":"{}"}],
        "signatures":[{"header":{},"signature":"signature","protected":"protected"}]}"#;
    let manifest = manifest(dreg);
    let Manifest::Schema1(schema1) = manifest.parse().unwrap() else { panic!("legacy") };
    assert_eq!((schema1.name.as_str(), schema1.tag.as_str()), ("testns/testrepo", "2021"));
    assert_eq!(*manifest.digest(), Digest::sha256(dreg.as_bytes()));
    assert!(refusal(dreg).contains("protected header"));
}

#[test]
fn signing_keeps_the_bytes_of_the_payload() {
    let key = SigningKey::from_pem(P256, None).unwrap();
    for text in [A, B, C] {
        let before = manifest(text);
        let after = before.sign(&key).unwrap();
        assert_eq!(after.digest(), before.digest());
        assert_eq!(after.verify_signatures().unwrap().signers[0].key, *key.public());
        let start = text.find("\"signatures\"").unwrap();
        if text != C {
            assert_eq!(after.bytes()[..start + 14], text.as_bytes()[..start + 14]);
            assert_eq!(after.bytes().ends_with(b"\n}"), text.ends_with("\n}"));
        }
        // Only B has several lines. Signing keeps this format.
        assert_eq!(after.bytes().iter().filter(|b| **b == b'\n').count() > 0, text == B);

        let unsigned = before.verify_signatures().unwrap().payload;
        let unsigned = RawManifest::from_bytes(unsigned, None).unwrap();
        assert_eq!(unsigned.sign(&key).unwrap().digest(), before.digest());
    }
}

#[test]
fn an_edited_document_gets_new_signatures() {
    let key = SigningKey::generate().unwrap();
    let original = manifest(A);
    let Manifest::Schema1(schema1) = original.parse().unwrap() else { panic!() };
    let mut schema1 = schema1.clone();
    assert_eq!(schema1.config().unwrap().platform.to_string(), "linux/amd64");
    schema1.tag = "t2".to_owned();
    schema1.extra.insert("x".to_owned(), json!([1]));
    let signed = schema1.sign(&key).unwrap();
    assert_eq!(*signed.media_type(), MediaType::DOCKER_SCHEMA1_SIGNED);
    let verified = signed.verify_signatures().unwrap();
    let payload = String::from_utf8(verified.payload.to_vec()).unwrap();
    assert!(
        payload.starts_with(
            "{\n   \"schemaVersion\": 1,\n   \"name\": \"foo/bar\",\n   \"tag\": \"t2\""
        )
    );
    assert!(!payload.contains("signatures"));
    // The old signatures do not match the edited text and are removed.
    let edited = manifest(&B.replace("\"t1\"", "\"t2-longer\""));
    let signed = edited.sign(&key).unwrap();
    assert_eq!(signed.verify_signatures().unwrap().signers.len(), 1);
    assert!(String::from_utf8_lossy(signed.bytes()).contains("t2-longer"));
}

#[test]
fn only_schema_1_manifests_can_be_signed() {
    let key = SigningKey::generate().unwrap();
    let index = manifest(r#"{"schemaVersion":2,"manifests":[]}"#);
    assert_eq!(index.sign(&key).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(embed(b"{ }", &key).unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(embed(b"", &key).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn keys_of_every_format_have_the_expected_identifier() {
    for (pem, password) in [
        (P256, None),
        (include_str!("key/p256_sec1.pem"), None),
        (include_str!("key/p256_aes256.pem"), Some("secret")),
        (include_str!("key/p256_aes128_sha1.pem"), Some("secret")),
    ] {
        let key = SigningKey::from_pem(pem, password).unwrap();
        assert_eq!(key.public().id(), P256_ID);
        let jwk = key.public().to_jwk();
        assert_eq!(jwk["x"], "GY2KN6lxBaiwbyzW5zC1hunRSW9W5MmbIgX3Z3LiEdc");
        assert_eq!(jwk["y"], "MDGCl4gJ2xouMZUzwh8UzSUH9fMtPuiivO_-VEJ41cM");
        assert!(format!("{key:?}").ends_with(&format!("({P256_ID})")));
    }
    for (pem, algorithm) in [
        (include_str!("key/p384.pem"), "ES384"),
        (include_str!("key/rsa.pem"), "RS256"),
        (include_str!("key/rsa_pkcs1.pem"), "RS256"),
    ] {
        let key = SigningKey::from_pem(pem, None).unwrap();
        let signed = manifest(A).sign(&key).unwrap();
        let verified = signed.verify_signatures().unwrap();
        assert_eq!(verified.signers[0].algorithm, algorithm);
        assert_eq!(PublicKey::from_jwk(&key.public().to_jwk()).unwrap(), *key.public());
        let changed = String::from_utf8_lossy(signed.bytes()).replace("foo/bar", "foo/baz");
        assert!(refusal(&changed).contains("does not match the content"));
    }
    assert_ne!(SigningKey::generate().unwrap().public(), SigningKey::generate().unwrap().public());
}

#[test]
fn a_small_rsa_key_can_be_parsed_but_cannot_sign() {
    let key = SigningKey::from_pem(include_str!("key/rsa_512.pem"), None).unwrap();
    let id = "BCP4:AAX2:CAKW:SM4X:XHIG:DVA5:3ZIQ:MFO7:DG3Q:3FKB:6ACJ:GRI5";
    assert_eq!(key.public().id(), id);
    assert_eq!(key.public().to_jwk()["e"], "AQAB");
    let e = manifest(A).sign(&key).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("2048"), "{e}");
    let verdict = key.public().verify("RS256", b"", b"");
    assert!(verdict.unwrap_err().contains("less than 2048 bits"));
}

#[test]
fn key_errors_state_the_reason_without_quoting_the_key() {
    let cut = P256.replace("MIGH", "MIGI");
    let other = P256.replace("QZjYo3", "QZjYo4");
    for (pem, password, word) in [
        ("", None, "no private key"),
        (include_str!("key/p256_aes256.pem"), None, "no password"),
        (include_str!("key/p256_aes256.pem"), Some("Secret"), "the password is wrong"),
        (include_str!("key/p256_des3.pem"), Some("secret"), "-v2 aes-256-cbc"),
        (include_str!("key/p256_scrypt.pem"), Some("secret"), "-v2 aes-256-cbc"),
        (include_str!("key/p256_openssl.pem"), Some("secret"), "openssl pkcs8 -topk8"),
        (include_str!("key/p256_scalar.pem"), None, "openssl ec"),
        (include_str!("key/p521.pem"), None, "expected P-256 or P-384"),
        (&cut, None, "damaged"),
        (&other, None, "does not match"),
        ("-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA-----", None, "expected an EC or RSA"),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END X", None, "base64"),
    ] {
        let e = SigningKey::from_pem(pem, password).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert!(e.to_string().contains(word), "{word}: {e}");
        assert!(!e.to_string().contains("MIG"), "{e}");
    }
}
