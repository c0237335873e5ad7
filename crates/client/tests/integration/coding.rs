//! Replies with a content coding that was not requested. They are decoded correctly, or refused
//! with a clear error.

use longshore::http::Method;
use longshore::{Descriptor, ErrorKind, RawRequest, Result, Source as _, TagOrDigest};
use longshore_testkit::fixture::Layer;
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, blob_path, place, quick, remote};

fn gzip(content: &[u8]) -> Vec<u8> {
    Layer::gzip(content).content.into()
}

/// Returns the exchange with this body in chunks, labelled with a coding.
fn chunked(exchange: Exchange, coding: &str, body: &[u8]) -> Exchange {
    let mut chunks = Vec::new();
    for chunk in body.chunks(1000) {
        chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
        chunks.extend([chunk, b"\r\n"].concat());
    }
    chunks.extend(b"0\r\n\r\n");
    exchange.header("content-encoding", coding).header("transfer-encoding", "chunked").body(chunks)
}

/// Returns the exchange with this body and its length, labelled with a coding.
fn sized(exchange: Exchange, coding: &str, body: &[u8]) -> Exchange {
    exchange.header("content-encoding", coding).body(body)
}

type Sent = fn(Exchange, &str, &[u8]) -> Exchange;

fn get(descriptor: &Descriptor) -> Exchange {
    Exchange::new("GET", blob_path(descriptor)).with("accept-encoding", "identity").without("range")
}

async fn read(server: &Script, descriptor: &Descriptor) -> Result<bytes::Bytes> {
    remote(server).blob(descriptor).await?.bytes(1 << 20).await
}

/// If only the checksum at the end of the gzip stream is missing, the digest has already verified
/// the content.
#[tokio::test]
async fn gzip_without_its_checksum_is_accepted_if_the_digest_matches() {
    let content = random::bytes(1, 100_000);
    let (descriptor, coded) = (blob(&content), gzip(&content));
    for (sent, requests) in [(sized as Sent, 1), (chunked, 2)] {
        let server = Script::start().await;
        for _ in 0..requests {
            server.expect(sent(get(&descriptor), "gzip", &coded[..coded.len() - 1]));
        }
        assert!(read(&server, &descriptor).await.unwrap() == content);
        server.finish();
    }
}

/// Returns contents below and above the size up to which a blob is kept while its digest is
/// computed, each as it is and as gzip.
fn contents() -> Vec<Vec<u8>> {
    let text = b"some words, ".repeat(20_000);
    let noise = random::bytes(1, 100_000);
    [&b"some words"[..], b"", &text, &noise]
        .into_iter()
        .flat_map(|content| [content.to_vec(), gzip(content)])
        .collect()
}

#[tokio::test]
async fn an_encoded_or_mislabelled_blob_is_read() {
    for content in contents() {
        let descriptor = blob(&content);
        let large = content.len() > 64 << 10;
        // With a length, the size shows whether the body is encoded. Without a length, the digest
        // shows this, and a large blob is requested again.
        for (sent, body, requests) in [
            (sized as Sent, &gzip(&content), 1),
            (chunked, &gzip(&content), if large { 2 } else { 1 }),
            (sized, &content, 1),
            (chunked, &content, if large { 2 } else { 1 }),
        ] {
            for coding in ["gzip", "x-gzip"] {
                let server = Script::start().await;
                for _ in 0..requests {
                    server.expect(sent(get(&descriptor), coding, body));
                }
                assert!(read(&server, &descriptor).await.unwrap() == content, "{coding}");
                server.finish();
            }
        }
    }
}

#[tokio::test]
async fn content_of_the_same_length_as_its_gzip_form_is_read_correctly() {
    let noise = random::bytes(1, 100);
    // gzip makes random bytes longer and zeros shorter. This mixture keeps its length.
    let content = (0..100)
        .map(|zeros| [&noise[..], &vec![0; zeros]].concat())
        .find(|content| gzip(content).len() == content.len())
        .unwrap();
    let descriptor = blob(&content);
    for body in [gzip(&content), content.clone()] {
        let server = Script::start().await;
        server.expect(sized(get(&descriptor), "gzip", &body));
        assert!(read(&server, &descriptor).await.unwrap() == content);
        server.finish();
    }
}

#[tokio::test]
async fn gzip_members_and_padding_are_accepted_and_other_trailing_data_is_refused() {
    let content = b"some words".repeat(20);
    let descriptor = blob(&content);
    let (first, second) = content.split_at(50);
    let members = [gzip(first), gzip(b""), gzip(second)].concat();
    let padded = [gzip(&content), vec![0; 512]].concat();
    let followed = [&gzip(&content)[..], b"more"].concat();
    for (body, good) in [(members, true), (padded, true), (followed, false)] {
        for sent in [sized as Sent, chunked] {
            let server = Script::start().await;
            server.expect(sent(get(&descriptor), "gzip", &body));
            let found = read(&server, &descriptor).await;
            match good {
                true => assert_eq!(found.unwrap(), content),
                false => assert_eq!(found.unwrap_err().kind(), ErrorKind::Protocol),
            }
            server.finish();
        }
    }
}

#[tokio::test]
async fn an_interrupted_encoded_blob_is_requested_from_its_start() {
    let content = random::bytes(1, 100_000);
    let (descriptor, coded) = (blob(&content), gzip(&content));
    for cut in [0, 5, 50_000] {
        let server = Script::start().await;
        server.expect(sized(get(&descriptor), "gzip", &coded).cut(cut));
        server.expect(sized(get(&descriptor), "gzip", &coded));
        assert!(read(&server, &descriptor).await.unwrap() == content);
        server.finish();

        // The blob is requested once to determine how to read it and once to yield it. Either reply
        // may be cut short.
        let server = Script::start().await;
        server.expect(chunked(get(&descriptor), "gzip", &coded).cut(cut));
        server.expect(chunked(get(&descriptor), "gzip", &coded));
        server.expect(chunked(get(&descriptor), "gzip", &coded).cut(cut));
        server.expect(chunked(get(&descriptor), "gzip", &coded));
        assert!(read(&server, &descriptor).await.unwrap() == content);
        server.finish();
    }
    // The second reply may have no coding.
    let server = Script::start().await;
    server.expect(sized(get(&descriptor), "gzip", &coded).cut(50_000));
    server.expect(get(&descriptor).body(content.clone()));
    assert!(read(&server, &descriptor).await.unwrap() == content);
    server.finish();
}

#[tokio::test]
async fn truncated_gzip_is_requested_again_and_then_fails() {
    let content = random::bytes(1, 100_000);
    let (descriptor, coded) = (blob(&content), gzip(&content));
    for (cut, sent) in [(60_000, sized as Sent), (60_000, chunked), (9, sized), (9, chunked)] {
        let server = Script::start().await;
        for _ in 0..5 {
            server.expect(sent(get(&descriptor), "gzip", &coded[..cut]));
        }
        let e = read(&server, &descriptor).await.map(drop).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Transport, "{e}");
        assert!(e.to_string().contains("gzip") && e.to_string().contains("/a/b"), "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn a_wrong_blob_is_refused_in_both_readings() {
    let content = b"some words".repeat(10_000);
    let descriptor = blob(&content);
    let mut other = content.clone();
    other[50_000] ^= 1;
    let longer = [&content[..], b"x"].concat();
    let bomb = gzip(&vec![0; 50 << 20]);
    for (body, kind) in [
        (gzip(&other), ErrorKind::DigestMismatch),
        (gzip(&longer), ErrorKind::SizeMismatch),
        (gzip(&content[1..]), ErrorKind::SizeMismatch),
        (bomb, ErrorKind::SizeMismatch),
    ] {
        for sent in [sized as Sent, chunked] {
            let server = Script::start().await;
            server.expect(sent(get(&descriptor), "gzip", &body));
            let e = read(&server, &descriptor).await.map(drop).unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
            server.finish();
        }
    }
}

#[tokio::test]
async fn the_error_for_an_unknown_coding_names_it() {
    let content = b"some words".repeat(20_000);
    let descriptor = blob(&content);
    for coding in ["br", "zstd", "deflate", "gzip, gzip"] {
        for sent in [sized as Sent, chunked] {
            let server = Script::start().await;
            server.expect(sent(get(&descriptor), coding, b"\x0b\x02 something"));
            let e = remote(&server).blob(&descriptor).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Protocol);
            let message = format!("the content coding \"{coding}\", which was not requested");
            assert!(e.to_string().contains(&message) && e.to_string().contains("/a/b"), "{e}");
            assert!(e.hint().unwrap().contains("proxy"));
            server.finish();
        }
        // If the label is wrong, the content is accepted: some storage services repeat the label of
        // the upload.
        let server = Script::start().await;
        server.expect(sized(get(&descriptor), coding, &content));
        assert!(read(&server, &descriptor).await.unwrap() == content);
        server.finish();
    }
}

#[tokio::test]
async fn a_range_of_an_encoded_blob_is_taken_from_the_whole_blob() {
    let content = random::bytes(1, 100_000);
    let (descriptor, coded) = (blob(&content), gzip(&content));
    let request =
        || Exchange::new("GET", blob_path(&descriptor)).with("range", "bytes=70000-80000");
    let partial = request().answer(206).header("content-range", "bytes 70000-80000/100000");
    for (first, again) in [
        // It is unknown whether this range counts encoded or decoded bytes.
        (sized(partial, "gzip", &content[70_000..=80_000]), true),
        (sized(request(), "gzip", &coded), false),
    ] {
        let server = Script::start().await;
        server.expect(first);
        if again {
            server.expect(sized(get(&descriptor), "gzip", &coded));
        }
        let part = remote(&server).blob_range(&descriptor, 70_000..80_001).await.unwrap();
        assert_eq!(part.bytes(1 << 20).await.unwrap(), content[70_000..=80_000]);
        server.finish();
    }
}

#[tokio::test]
async fn the_length_of_an_encoded_reply_is_not_the_blobs_size() {
    let content = b"some words".repeat(20);
    let descriptor = blob(&content);
    let server = Script::start().await;
    server.expect(sized(Exchange::new("HEAD", blob_path(&descriptor)), "gzip", b"coded"));
    server.expect(get(&descriptor).body(content.clone()));
    let size = remote(&server).blob_size(&descriptor.digest).await.unwrap();
    assert_eq!(size, Some(content.len() as u64));

    let manifest = r#"{"schemaVersion":2,"layers":[]}"#;
    let digest = longshore::Digest::sha256(manifest.as_bytes());
    let request = |method| {
        Exchange::new(method, "/v2/a/b/manifests/v1")
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .header("docker-content-digest", digest.as_str())
    };
    server.expect(sized(request("HEAD"), "gzip", b"coded"));
    server.expect(sized(request("GET"), "gzip", &gzip(manifest.as_bytes())));
    let tag: TagOrDigest = longshore::Tag::parse("v1").unwrap().into();
    let found = remote(&server).resolve(&tag).await.unwrap();
    assert_eq!((found.digest, found.size), (digest, manifest.len() as u64));
    server.finish();
}

/// Requests one kind of document, and returns its content as text.
async fn request_document(kind: &str, server: &Script) -> Result<String> {
    let client = quick().build();
    let registry = place(server).registry().clone();
    Ok(match kind {
        "/v2/a/b/tags/list" => format!("{:?}", remote(server).tags(None).all().await?),
        "/v2/_catalog" => format!("{:?}", client.catalog(&registry).all().await?),
        "/v2/a/b/manifests/v1" => {
            let tag: TagOrDigest = longshore::Tag::parse("v1")?.into();
            String::from_utf8_lossy(remote(server).manifest(&tag).await?.bytes()).into_owned()
        }
        "/v1/images/abc/json" => {
            let request = RawRequest::new(Method::GET, "/v1/images/abc/json");
            let document = client.fetch(&registry, request, 1 << 10).await?;
            document.json::<serde_json::Value>()?.to_string()
        }
        _ => {
            let subject = longshore::Digest::sha256(b"subject");
            let found = remote(server).referrers(&subject, None).all().await?;
            found.iter().map(|d| d.digest.to_string()).collect()
        }
    })
}

fn documents() -> Vec<(String, String, String)> {
    let manifest = r#"{"schemaVersion":2,"layers":[]}"#;
    let digest = longshore::Digest::sha256(manifest.as_bytes());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"a/b","digest":"{digest}","size":1}}]}}"#
    );
    let referrers = format!("/v2/a/b/referrers/{}", longshore::Digest::sha256(b"subject"));
    [
        ("/v2/a/b/tags/list", r#"{"tags":["v1","v2"]}"#, "[v1, v2]"),
        ("/v2/_catalog", r#"{"repositories":["a/b"]}"#, "[a/b]"),
        ("/v2/a/b/manifests/v1", manifest, manifest),
        ("/v1/images/abc/json", r#"{"id":"abc"}"#, r#"{"id":"abc"}"#),
        (&referrers, &index, digest.as_str()),
    ]
    .map(|(path, body, read)| (path.to_owned(), body.to_owned(), read.to_owned()))
    .into()
}

#[tokio::test]
async fn every_kind_of_document_is_decoded_from_gzip() {
    for (path, body, expected) in documents() {
        let plain = body.as_bytes();
        let get = || Exchange::new("GET", path.clone());
        for (coding, sent) in [
            ("gzip", gzip(plain)),
            ("x-gzip", gzip(plain)),
            ("gzip", plain.to_vec()),
            ("br", plain.to_vec()),
        ] {
            for how in [sized as Sent, chunked] {
                let server = Script::start().await;
                server.expect(how(get(), coding, &sent));
                assert_eq!(
                    request_document(&path, &server).await.unwrap(),
                    expected,
                    "{coding} {path}"
                );
                server.finish();
            }
        }
        // A document is requested again if the reply or its gzip stream is incomplete.
        let server = Script::start().await;
        let coded = gzip(plain);
        server.expect(sized(get(), "gzip", &coded).cut(9));
        server.expect(sized(get(), "gzip", &coded[..coded.len() - 1]));
        server.expect(sized(get(), "gzip", &coded));
        assert_eq!(request_document(&path, &server).await.unwrap(), expected, "{path}");
        server.finish();
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_decoded_is_an_error() {
    for (path, body, _) in documents() {
        for (coding, sent, requests, kind, message) in [
            ("br", b"\x0b\x02\x80{}\x03".to_vec(), 1, ErrorKind::Protocol, "coding \"br\""),
            ("gzip, gzip", gzip(&gzip(body.as_bytes())), 1, ErrorKind::Protocol, "gzip, gzip"),
            ("gzip", [&gzip(b"{}")[..], b"x"].concat(), 1, ErrorKind::Protocol, "gzip coding"),
            ("gzip", gzip(body.as_bytes())[..20].to_vec(), 5, ErrorKind::Transport, "middle"),
        ] {
            let server = Script::start().await;
            for _ in 0..requests {
                server.expect(sized(Exchange::new("GET", path.clone()), coding, &sent));
            }
            let e = request_document(&path, &server).await.unwrap_err();
            assert_eq!(e.kind(), kind, "{coding} {path}: {e}");
            assert!(e.to_string().contains(message), "{coding} {path}: {e}");
            server.finish();
        }
    }
}

#[tokio::test]
async fn a_document_that_exceeds_its_limit_when_decoded_is_an_error() {
    let bomb = gzip(&vec![b' '; 50 << 20]);
    for (path, ..) in documents() {
        let server = Script::start().await;
        server.expect(sized(Exchange::new("GET", path.clone()), "gzip", &bomb));
        // A listing that is too large is requested again in pages.
        if path.ends_with("list") || path.ends_with("_catalog") {
            let pages = Exchange::new("GET", format!("{path}?n=1000"));
            server.expect(sized(pages, "gzip", &bomb));
        }
        let e = request_document(&path, &server).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge, "{path}: {e}");
        server.finish();
    }
}

#[tokio::test]
async fn errors_are_decoded_from_gzip() {
    let error = br#"{"errors":[{"code":"DENIED","message":"not for you"}]}"#;
    let coded = gzip(error);
    let path = "/v2/a/b/tags/list";
    for (coding, body, message) in [
        ("gzip", coded.clone(), "DENIED: not for you"),
        ("x-gzip", coded.clone(), "DENIED: not for you"),
        ("gzip", error.to_vec(), "DENIED: not for you"),
        ("br", error.to_vec(), "DENIED: not for you"),
        ("br", b"\x0b\x02\x80 something \x03".to_vec(), "/a/b (HTTP 400)"),
        ("gzip", gzip(&vec![b'x'; 50 << 20]), "xxx"),
    ] {
        let server = Script::start().await;
        server.expect(sized(Exchange::new("GET", path).answer(400), coding, &body));
        let e = request_document(path, &server).await.unwrap_err();
        assert_eq!((e.kind(), e.status()), (ErrorKind::Invalid, Some(400)));
        let shown = e.to_string();
        assert!(shown.contains(message) && !shown.contains("something"), "{coding}: {shown}");
        assert!(shown.len() < 1000, "{shown}");
        server.finish();
    }
}

#[tokio::test]
async fn tokens_are_decoded_from_gzip() {
    let token = br#"{"token":"t0ken"}"#;
    let path = "/v2/a/b/tags/list";
    for (coding, body, message) in [
        ("gzip", gzip(token), None),
        ("x-gzip", gzip(token), None),
        ("gzip", token.to_vec(), None),
        ("br", b"\x0b\x02\x80{}\x03".to_vec(), Some("coding \"br\"")),
        ("gzip", gzip(&vec![b' '; 50 << 20]), Some("the reply has more than")),
    ] {
        let server = Script::start().await;
        let realm = format!("Bearer realm=\"{}\"", server.url("/token"));
        server.expect(Exchange::new("GET", path).answer(401).header("www-authenticate", realm));
        let token = Exchange::new("GET", "/token?scope=repository%3Aa%2Fb%3Apull");
        server.expect(sized(token, coding, &body));
        if message.is_none() {
            let with = Exchange::new("GET", path).with("authorization", "Bearer t0ken");
            server.expect(with.body("{\"tags\":[\"v1\"]}"));
        }
        match (request_document(path, &server).await, message) {
            (Ok(_), None) => {}
            (Err(e), Some(message)) => {
                let shown = e.to_string();
                assert!(shown.contains(message) && shown.contains("token service"), "{shown}");
            }
            (found, message) => panic!("{coding}: {found:?}, {message:?}"),
        }
        server.finish();
    }
}

#[tokio::test]
async fn the_reply_to_a_custom_request_is_returned_as_received_or_decoded() {
    let server = Script::start().await;
    let coded = gzip(b"{}");
    server.expect(sized(Exchange::new("GET", "/v2/x"), "gzip", &coded));
    let request = RawRequest::new(Method::GET, "/v2/x");
    let registry = place(&server).registry().clone();
    let reply = quick().build().request(&registry, request).await.unwrap();
    assert_eq!(reply.headers["content-encoding"], "gzip");
    assert!(reply.is_coded());
    assert_eq!(reply.bytes(1000).await.unwrap(), coded);
    server.expect(sized(Exchange::new("GET", "/v2/x"), "gzip", &coded));
    let request = RawRequest::new(Method::GET, "/v2/x");
    let reply = quick().build().request(&registry, request).await.unwrap();
    assert_eq!(reply.into_decoded().bytes(1000).await.unwrap(), "{}");
    server.finish();
}
