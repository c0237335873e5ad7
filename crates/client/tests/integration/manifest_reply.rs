//! Incomplete, unusual or wrong replies to requests for manifests, and the media types that a
//! caller accepts.

use bytes::Bytes;
use longshore::{
    Algorithm, Digest, ErrorKind, Manifest, MediaType, RawManifest, Source as _, Tag, TagOrDigest,
    Target as _,
};
use longshore_testkit::script::{Exchange, Script};

use crate::manifest::{CONTENT, INDEX, by_digest, request, signed_schema1, tag, with_manifest};
use crate::remote;

const SCHEMA2: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;

#[tokio::test]
async fn manifests_of_all_six_media_types_are_pulled_and_pushed() {
    let server = Script::start().await;
    let repository = remote(&server);
    let config =
        |t: &str| format!(r#"{{"mediaType":"{t}","digest":"{}","size":0}}"#, Digest::sha256(b""));
    let image = |media_type: &MediaType, config_type: &MediaType| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{},"layers":null}}"#,
            config(config_type.as_str())
        )
    };
    let index = |media_type: &MediaType| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[]}}"#)
    };
    let schema1 = r#"{"schemaVersion":1,"name":"a/b","tag":"v1","fsLayers":[],"history":[]}"#;
    for (media_type, text) in [
        (MediaType::DOCKER_MANIFEST, image(&MediaType::DOCKER_MANIFEST, &MediaType::DOCKER_CONFIG)),
        (MediaType::DOCKER_LIST, index(&MediaType::DOCKER_LIST)),
        (MediaType::OCI_MANIFEST, image(&MediaType::OCI_MANIFEST, &MediaType::OCI_CONFIG)),
        (MediaType::OCI_INDEX, index(&MediaType::OCI_INDEX)),
        (MediaType::DOCKER_SCHEMA1, schema1.to_owned()),
        (MediaType::DOCKER_SCHEMA1_SIGNED, signed_schema1().0.try_into().unwrap()),
    ] {
        server.expect(
            request("GET", &tag()).header("content-type", media_type.as_str()).body(text.clone()),
        );
        let manifest = repository.manifest(&tag()).await.unwrap();
        assert_eq!((manifest.media_type(), manifest.bytes()), (&media_type, &Bytes::from(text)));
        let read = manifest.parse().unwrap();
        assert_eq!(media_type.is_index(), matches!(read, Manifest::Index(_)), "{media_type}");
        assert!(!matches!(read, Manifest::Opaque));
        server.expect(
            request("PUT", &tag())
                .with("content-type", media_type.as_str())
                .sending(manifest.bytes().to_vec())
                .answer(201),
        );
        repository.push_manifest(&manifest, tag().tag()).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_manifest_is_returned_only_in_a_requested_media_type() {
    let server = Script::start().await;
    let repository = remote(&server);
    let docker = [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST];
    let accept = "application/vnd.docker.distribution.manifest.v2+json, \
        application/vnd.docker.distribution.manifest.list.v2+json";
    let with_manifest = |method, media_type: &MediaType, body: &str| {
        request(method, &tag())
            .with("accept", accept)
            .header("content-type", media_type.as_str())
            .header("docker-content-digest", Digest::sha256(body.as_bytes()).as_str())
            .body(body)
    };
    server.expect(with_manifest("GET", &docker[0], SCHEMA2));
    assert_eq!(repository.manifest_as(&tag(), &docker).await.unwrap().bytes(), SCHEMA2);
    server.expect(with_manifest("HEAD", &docker[0], SCHEMA2));
    let found = repository.resolve_as(&tag(), &docker).await.unwrap();
    assert_eq!(found.digest, Digest::sha256(SCHEMA2.as_bytes()));
    // The registry ignores `Accept`.
    for method in ["GET", "HEAD"] {
        server.expect(with_manifest(method, &MediaType::OCI_INDEX, CONTENT));
        let e = match method {
            "GET" => repository.manifest_as(&tag(), &docker).await.unwrap_err(),
            _ => repository.resolve_as(&tag(), &docker).await.unwrap_err(),
        };
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(e.to_string().contains("the registry has application/vnd.oci.image.index"), "{e}");
    }
    server.finish();
}

#[tokio::test]
async fn trap_09_a_manifest_is_read_with_missing_or_additional_headers() {
    let server = Script::start().await;
    let repository = remote(&server);
    let oci = CONTENT;
    for (content_type, body) in [
        ("application/vnd.oci.image.index.v1+json; charset=utf-8", oci),
        ("application/vnd.docker.distribution.manifest.v2+json;charset=UTF-8", SCHEMA2),
        ("application/json; charset=utf-8", oci),
        ("application/octet-stream", oci),
        ("text/plain", oci),
        ("text/html", SCHEMA2),
        ("junk; ; ;", oci),
        ("application/json", SCHEMA2),
    ] {
        server.expect(request("GET", &tag()).header("content-type", content_type).body(body));
        let manifest = repository.manifest(&tag()).await.unwrap();
        assert_eq!(manifest.digest(), &Digest::sha256(body.as_bytes()), "{content_type}");
        assert!(!matches!(manifest.parse().unwrap(), Manifest::Opaque), "{content_type}");
    }
    // Type, digest and length are missing. The document states the type, and the bytes determine
    // the digest and size.
    server.expect(request("GET", &tag()).body(oci));
    let manifest = repository.manifest(&tag()).await.unwrap();
    assert_eq!(*manifest.media_type(), MediaType::OCI_INDEX);
    assert_eq!(manifest.descriptor().size, oci.len() as u64);
    server.finish();
    let server = headless("", oci).await;
    let place = format!("{server}/a/b").parse().unwrap();
    let manifest = crate::quick().build().repository(&place).manifest(&tag()).await.unwrap();
    assert_eq!(manifest.digest(), &Digest::sha256(oci.as_bytes()));
}

/// Starts a server that answers one request with these headers. The body ends with the connection.
async fn headless(headers: &'static str, body: &'static str) -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await.unwrap());
        }
        let reply = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}\r\n{body}");
        connection.write_all(reply.as_bytes()).await.unwrap();
    });
    address
}

#[tokio::test]
async fn a_contradictory_reply_is_refused_and_shown_in_the_error() {
    let server = Script::start().await;
    let repository = remote(&server);
    let list = r#"{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[]}"#;
    for (content_type, body, reason) in [
        (MediaType::DOCKER_MANIFEST, list, "the document states the type"),
        (MediaType::DOCKER_LIST, SCHEMA2, "the document states the type"),
        (MediaType::DOCKER_MANIFEST, "[]", "not a valid manifest"),
        (MediaType::DOCKER_MANIFEST, "{'abc'}", "not a valid manifest"),
        (MediaType::DOCKER_MANIFEST, "", "not a valid manifest"),
        (MediaType::JSON, "{}", "neither the store nor the document"),
    ] {
        server.expect(
            request("GET", &tag()).header("content-type", content_type.as_str()).body(body),
        );
        let e = repository.manifest(&tag()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);
        assert!(e.to_string().contains(reason), "{body}: {e}");
        let reply = std::error::Error::source(&e).unwrap().to_string();
        let url = server.url("/v2/a/b/manifests/v1");
        let start: String = body.chars().take(20).collect();
        for part in [url.as_str(), "HTTP 200", content_type.as_str(), &start] {
            assert!(reply.contains(part), "{part}: {reply}");
        }
    }
    // The client returns a manifest with a defect that only the parser can find. Parsing this
    // manifest fails.
    let wrong = r#"{"schemaVersion":1}"#;
    server.expect(
        request("GET", &tag())
            .header("content-type", MediaType::DOCKER_MANIFEST.as_str())
            .body(wrong),
    );
    let manifest = repository.manifest(&tag()).await.unwrap();
    assert_eq!(manifest.parse().unwrap_err().kind(), ErrorKind::Invalid);
    server.finish();
    // An invalid length violates HTTP.
    let place = format!("{}/a/b", headless("content-length: docker\r\n", CONTENT).await);
    let repository = crate::quick().build().repository(&place.parse().unwrap());
    let e = repository.manifest(&tag()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport, "{e}");
}

#[tokio::test]
async fn the_digest_in_the_reply_to_a_push_is_checked() {
    let server = Script::start().await;
    let repository = remote(&server);
    let manifest = RawManifest::from_bytes(Bytes::from_static(CONTENT.as_bytes()), None).unwrap();
    for (stated, right) in [
        (manifest.digest().to_string(), true),
        (Algorithm::Sha512.digest(b"").to_string(), true),
        ("junk".to_owned(), true),
        (Digest::sha256(b"").to_string(), false),
    ] {
        server.expect(
            request("PUT", &tag()).answer(201).header("docker-content-digest", stated.as_str()),
        );
        let pushed = repository.push_manifest(&manifest, tag().tag()).await;
        assert_eq!(pushed.is_ok(), right, "{stated}");
        let kind = pushed.err().map(|e| e.kind());
        assert_eq!(kind, (!right).then_some(ErrorKind::DigestMismatch));
    }
    server.finish();
}

#[tokio::test]
async fn trap_10_a_tag_is_resolved_with_every_media_type_before_its_manifest_is_deleted() {
    let server = Script::start().await;
    let repository = remote(&server);
    let accept = "application/vnd.oci.image.manifest.v1+json, \
        application/vnd.oci.image.index.v1+json, \
        application/vnd.docker.distribution.manifest.v2+json, \
        application/vnd.docker.distribution.manifest.list.v2+json, \
        application/vnd.oci.artifact.manifest.v1+json, \
        application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.5, \
        application/vnd.docker.distribution.manifest.v1+json;q=0.5, */*;q=0.1";
    let digest = Digest::sha256(CONTENT.as_bytes());
    let resolve_request = |method| {
        with_manifest(method, &tag())
            .with("accept", accept)
            .header("docker-content-digest", digest.as_str())
    };
    // The client resolves the tag, lists all tags, and resolves each listed tag.
    server.expect(resolve_request("HEAD"));
    server.expect(Exchange::new("GET", "/v2/a/b/tags/list").body(r#"{"tags":["v1"]}"#));
    server.expect(resolve_request("HEAD"));
    server.expect(request("DELETE", &by_digest()).answer(202));
    let deleted = longshore::delete_with_tags(&repository, &tag()).await.unwrap();
    assert_eq!((deleted.digest, deleted.tags.len()), (digest, 1));
    server.finish();
}

#[tokio::test]
async fn trap_12_a_fetched_manifest_is_pushed_with_the_same_bytes() {
    let server = Script::start().await;
    let repository = remote(&server);
    // The document has needlessly escaped slashes, an unknown field, unordered keys and a final
    // newline.
    let text = concat!(
        r#"{"x-new": 1.50, "schemaVersion": 2, "manifests": [],  "mediaType": "#,
        r#""application\/vnd.oci.image.index.v1+json"}"#,
        "\n"
    );
    let digest = Digest::sha256(text.as_bytes());
    server.expect(request("GET", &tag()).header("content-type", INDEX).body(text));
    let latest = TagOrDigest::from(Tag::parse("latest").unwrap());
    server.expect(
        request("PUT", &latest)
            .with("content-type", INDEX)
            .sending(text)
            .answer(201)
            .header("docker-content-digest", digest.as_str()),
    );
    let tagged = longshore::add_tags(&repository, &tag(), &[latest.tag().unwrap().clone()]).await;
    assert_eq!(tagged.unwrap().digest, digest);
    server.finish();
}

#[tokio::test]
async fn the_error_for_an_unusable_listing_shows_its_start() {
    let server = Script::start().await;
    let body = format!("{{\"tags\":\u{1b}[2J{}", "x".repeat(500));
    server.expect(Exchange::new("GET", "/v2/a/b/tags/list").body(body));
    let e = remote(&server).tags(None).all().await.unwrap_err();
    assert_eq!((e.kind(), e.status()), (ErrorKind::Protocol, Some(200)));
    let shown = e.to_string();
    for part in [&server.url("/v2/a/b/tags/list"), r#"{"tags":\u{1b}[2Jxx"#, "bytes more"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(shown.len() < 400 && std::error::Error::source(&e).is_some(), "{shown}");
    server.finish();
}

#[tokio::test]
async fn trap_13_the_size_of_a_config_counts_bytes_not_characters() {
    let (address, _running) =
        crate::embedded::start(longshore_registry::Registry::builder().memory()).await;
    let place = format!("{address}/a/b").parse().unwrap();
    let repository = longshore::Client::new().repository(&place);
    let mut config = longshore::ImageConfig::default();
    config.author = Some("Ünï Cödé ✓ 漢字".to_owned());
    let pack = longshore::Pack::image(&config).unwrap();
    pack.push(&repository, tag().tag()).await.unwrap();
    let manifest = repository.manifest(&tag()).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("an image") };
    let stored = repository.blob(&image.config).await.unwrap().bytes(1 << 20).await.unwrap();
    let text = std::str::from_utf8(&stored).unwrap();
    assert!(text.contains("漢字") && text.chars().count() < stored.len());
    assert_eq!(image.config.size, stored.len() as u64);
}
