use super::*;

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn digests_of_known_algorithms_must_have_the_right_length_and_alphabet() {
    let hex = |n: usize| "0".repeat(n);
    for good in [
        format!("sha256:{}", hex(64)),
        format!("sha384:{}", hex(96)),
        format!("sha512:{}", hex(128)),
        "sha256+b64:abcDEF_-=".to_owned(),
        "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
    ] {
        assert_eq!(Digest::parse(&good).unwrap().as_str(), good);
    }
    for bad in [
        String::new(),
        "sha256".to_owned(),
        "sha256:".to_owned(),
        ":abc".to_owned(),
        format!("sha256:{}", hex(63)),
        format!("sha256:{}", hex(65)),
        format!("sha512:{}", hex(64)),
        format!("sha256:{}A", hex(63)),
        format!("SHA256:{}", hex(64)),
        "sha256:../../x".to_owned(),
        "sha256/abc".to_owned(),
        "blake3:../../x".to_owned(),
        "blake3:a\nb".to_owned(),
        "a..b:cd".to_owned(),
        format!("blake3:{}", hex(1 << 20)),
        format!("sha256:{}", "０".repeat(64)),
    ] {
        let e = Digest::parse(&bad).unwrap_err();
        assert_eq!(e.noun(), "digest", "{bad}");
    }
}

#[test]
fn digests_match_published_values() {
    assert_eq!(Digest::sha256(b"").as_str(), EMPTY);
    assert!(Algorithm::Sha384.digest(b"abc").encoded().starts_with("cb00753f45a35e8b"));
    assert!(Algorithm::Sha512.digest(b"abc").encoded().starts_with("ddaf35a193617aba"));
}

/// Uses the test data of docker-registry-client-async and python-dxf.
#[test]
fn digests_match_those_of_other_clients() {
    for (content, hex) in [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("def", "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34"),
        ("test data", "916f0027a575074ce72a331777c3478d6513f786a591bd892da1a577bf2335f9"),
        (
            r#"{"abcdefghijklmnopqrstuvwxyz": "0123456789"}"#,
            "d156b3bc8e65e52d4839affab7c7de5b4e7333ddeb82c2ea9b1df40381df0f3f",
        ),
        (r#"{"x":"1"}"#, "013bdcb2b4d38b7d26f13f2a48631e9a5ae45530c3ef0e5946668d4f1892baa1"),
    ] {
        let digest = Digest::sha256(content.as_bytes());
        assert_eq!((digest.algorithm_name(), digest.encoded()), ("sha256", hex));
        assert_eq!(Algorithm::Sha256.encoded(hex).unwrap(), digest);
        // `io::copy` can write to a digester.
        let mut digester = Algorithm::Sha256.digester();
        std::io::copy(&mut content.as_bytes(), &mut digester).unwrap();
        assert_eq!(digester.finish(), digest);
    }
}

#[test]
fn invalid_digests_are_refused_with_a_reason() {
    let hex = "0".repeat(64);
    for (text, reason) in [
        (hex.clone(), "no ':'"),
        (String::new(), "no ':'"),
        (hex[1..].to_owned(), "no ':'"),
        (format!("sha256:{}", &hex[1..]), "sha256 takes 64 hex digits, found 63"),
        (format!("sha1:{hex}"), "sha1 takes 40 hex digits, found 64"),
        (format!("SHA256:{hex}"), "the algorithm must be lower-case"),
        (format!("sha256:sha256:{hex}"), "sha256 takes 64 hex digits, found 71"),
        (format!("sha256:{}A", &hex[1..]), "expected lower-case hex digits (at byte 70)"),
    ] {
        let shown = Digest::parse(&text).unwrap_err().to_string();
        assert!(shown.contains(reason), "{text:?}: {shown}");
    }
    for bad in ["", &hex[1..], &format!("sha256:{hex}")] {
        assert!(Algorithm::Sha256.encoded(bad).is_err(), "{bad}");
    }
    assert!(Algorithm::Sha256.encoded(&hex).is_ok());
}

#[test]
fn the_short_form_has_at_most_twelve_digits() {
    for (text, short) in [
        ("sha256:1a067fa67b5bf1044c411ad73ac82cecd3d4dd2dabe7bc4d4b6dbbd55963b667", "1a067fa67b5b"),
        ("sha256:1a067abcdef121044c411ad73ac82cecd098762dabe7bc4d4b6dbbd55963b667", "1a067abcdef1"),
        ("sha256:fc7187188888f5192efdc08682d7fa260820a41f2bdd09b7f5f9cdcb53c9fbc0", "fc7187188888"),
        ("test:ab", "ab"),
    ] {
        assert_eq!(Digest::parse(text).unwrap().short(), short);
    }
}

#[test]
fn the_verifier_distinguishes_short_long_and_wrong_content() {
    let digest = Digest::sha256(b"abc");
    let verify = |bytes: &[u8]| {
        let mut v = Verifier::new(&digest, 3).unwrap();
        v.update(bytes).and_then(|()| v.finish()).map_err(|e| e.kind())
    };
    assert_eq!(verify(b"abc"), Ok(()));
    assert_eq!(verify(b"ab"), Err(ErrorKind::SizeMismatch));
    assert_eq!(verify(b"abcd"), Err(ErrorKind::SizeMismatch));
    assert_eq!(verify(b"abd"), Err(ErrorKind::DigestMismatch));
}

#[test]
fn a_digest_of_an_unknown_algorithm_parses_but_cannot_be_verified() {
    let digest = Digest::parse("blake3:af1349b9").unwrap();
    assert_eq!(digest.algorithm(), None);
    assert_eq!(Verifier::new(&digest, 0).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_digester_resumes_from_its_state() {
    let content: Vec<u8> = (0..1000_u32).map(|i| (i % 251) as u8).collect();
    for algorithm in Algorithm::ALL {
        for cut in [0, 1, 64, 127, 128, 500, 1000] {
            let mut digester = algorithm.digester();
            digester.update(&content[..cut]);
            let state = digester.state();
            assert!(state.len() <= 209, "{}", state.len());
            let mut resumed = algorithm.resume(&state).unwrap();
            resumed.update(&content[cut..]);
            assert_eq!(resumed.finish(), algorithm.digest(&content), "{cut}");
            assert!(algorithm.resume(&state[1..]).is_none());
        }
    }
    let state = Algorithm::Sha256.digester().state();
    assert!(Algorithm::Sha512.resume(&state).is_none());
}
