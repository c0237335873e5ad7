//! Manifests: their exact bytes, checked against all digests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use longshore::{
    Algorithm, Delete as _, Descriptor, Digest, ErrorKind, GuardMethod, Manifest, MediaType, Node,
    Presence, RawManifest, Source as _, Tag, TagGuard, TagOrDigest, Target as _,
};
use longshore_testkit::script::{Exchange, Script};

use crate::remote;

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONTENT: &str = "{ \"schemaVersion\": 2,\n  \"manifests\": [] }";

pub(crate) fn tag() -> TagOrDigest {
    Tag::parse("v1").unwrap().into()
}

pub(crate) fn by_digest() -> TagOrDigest {
    Digest::sha256(CONTENT.as_bytes()).into()
}

pub(crate) fn request(method: &str, selector: &TagOrDigest) -> Exchange {
    Exchange::new(method, format!("/v2/a/b/manifests/{selector}"))
}

pub(crate) fn with_manifest(method: &str, selector: &TagOrDigest) -> Exchange {
    request(method, selector).header("content-type", INDEX).body(CONTENT)
}

#[tokio::test]
async fn a_complete_head_is_sufficient_to_resolve_a_tag() {
    let server = Script::start().await;
    let digest = Digest::sha256(CONTENT.as_bytes());
    server.expect(with_manifest("HEAD", &tag()).header("docker-content-digest", digest.as_str()));
    let found = remote(&server).resolve(&tag()).await.unwrap();
    assert_eq!(found, Descriptor::new(MediaType::OCI_INDEX, digest, CONTENT.len() as u64));
    // For a request by digest, the reply need not state the digest.
    server.expect(with_manifest("HEAD", &by_digest()));
    assert_eq!(remote(&server).resolve(&by_digest()).await.unwrap(), found);
    server.finish();
}

#[tokio::test]
async fn get_is_used_if_head_fails_or_is_incomplete() {
    let heads = [
        with_manifest("HEAD", &tag()),
        request("HEAD", &tag()).answer(404),
        request("HEAD", &tag()).answer(405),
        request("HEAD", &tag()).header("content-type", "text/html").body("<html>"),
        with_manifest("HEAD", &tag()).header("docker-content-digest", "junk"),
    ];
    for head in heads {
        let server = Script::start().await;
        server.expect(head);
        server.expect(with_manifest("GET", &tag()));
        let found = remote(&server).resolve(&tag()).await.unwrap();
        assert_eq!(found.digest, Digest::sha256(CONTENT.as_bytes()));
        server.finish();
    }
}

#[tokio::test]
async fn the_error_for_a_missing_manifest_names_its_full_reference() {
    let server = Script::start().await;
    server.expect(
        request("GET", &tag()).answer(404).body("{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"),
    );
    let e = remote(&server).manifest(&tag()).await.unwrap_err();
    let expected = format!("not found: {}/a/b:v1: MANIFEST_UNKNOWN (HTTP 404)", server.address());
    assert_eq!(e.to_string(), expected);
    server.finish();
}

#[tokio::test]
async fn a_manifest_keeps_its_exact_bytes_and_a_wrong_digest_is_refused() {
    let server = Script::start().await;
    let repository = remote(&server);
    let right = Digest::sha256(CONTENT.as_bytes());
    let wrong = Digest::sha256(b"");
    let other_algorithm = Algorithm::Sha512.digest(b"");
    server.expect(with_manifest("GET", &tag()));
    assert_eq!(repository.manifest(&tag()).await.unwrap().bytes(), CONTENT);

    server.expect(
        with_manifest("GET", &tag()).header("docker-content-digest", other_algorithm.as_str()),
    );
    assert_eq!(*repository.manifest(&tag()).await.unwrap().digest(), right);

    for selector in [tag(), by_digest()] {
        server.expect(
            with_manifest("GET", &selector).header("docker-content-digest", wrong.as_str()),
        );
        let e = repository.manifest(&selector).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
        assert!(e.to_string().contains(right.as_str()), "{e}");
    }
    server.expect(with_manifest("GET", &by_digest()).body(CONTENT.replace(' ', "")));
    let e = repository.manifest(&by_digest()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    server.finish();
}

/// Returns the exchanges that determine what the tag points at: the manifest with this content, or
/// no manifest.
fn tagged(content: Option<&'static str>) -> Vec<Exchange> {
    let Some(content) = content else {
        return vec![request("HEAD", &tag()).answer(404), request("GET", &tag()).answer(404)];
    };
    let digest = Digest::sha256(content.as_bytes());
    let head = request("HEAD", &tag()).header("content-type", INDEX).body(content);
    vec![head.header("docker-content-digest", digest.as_str())]
}

#[tokio::test]
async fn a_guard_is_sent_as_a_condition_and_counts_as_atomic_only_if_the_registry_confirms_it() {
    let manifest = RawManifest::from_bytes(CONTENT.into(), Some(MediaType::OCI_INDEX)).unwrap();
    let (absent, old) = (TagGuard::Absent, TagGuard::PointsAt(Digest::sha256(b"{}")));
    let if_match = format!("\"{}\"", Digest::sha256(b"{}"));
    let create = || request("PUT", &tag()).with("if-none-match", "*").without("if-match");
    let replace = || request("PUT", &tag()).with("if-match", &*if_match).without("if-none-match");
    let plain = || request("PUT", &tag()).without("if-match").without("if-none-match").answer(201);
    let atomic = |put: Exchange| vec![put.answer(201).header("longshore-tag-guard", "atomic")];
    let (none, before) = (|| tagged(None), || tagged(Some("{}")));
    let (ours, other) = (|| tagged(Some(CONTENT)), || tagged(Some("[]")));
    let (created, refused) = (|| vec![create().answer(201)], || vec![create().answer(412)]);
    let checked = Ok(GuardMethod::Checked);
    let conflict = Err(ErrorKind::Conflict);
    for (guard, exchanges, expected) in [
        (&absent, vec![none(), atomic(create())], Ok(GuardMethod::Atomic)),
        (&old, vec![before(), atomic(replace())], Ok(GuardMethod::Atomic)),
        // The registry ignores the condition.
        (&absent, vec![none(), created(), ours()], checked),
        (&absent, vec![none(), created(), other()], conflict),
        // The tag does not meet the guard before the push, or during the push.
        (&absent, vec![other()], conflict),
        (&old, vec![other()], conflict),
        (&absent, vec![none(), refused(), other()], conflict),
        // The reply to an earlier attempt was lost.
        (&absent, vec![none(), refused(), ours()], checked),
        // The registry compares the condition with something else than the digest.
        (
            &old,
            vec![before(), vec![replace().answer(412)], before(), vec![plain()], ours()],
            checked,
        ),
    ] {
        let server = Script::start().await;
        exchanges.into_iter().flatten().for_each(|exchange| server.expect(exchange));
        let v1 = Tag::parse("v1").unwrap();
        let pushed = remote(&server).push_guarded(&manifest, &v1, guard).await;
        assert_eq!(pushed.map_err(|e| e.kind()), expected, "{guard:?}");
        server.finish();
    }
}

#[tokio::test]
async fn a_web_page_is_not_accepted_as_a_manifest() {
    let server = Script::start().await;
    server.expect(
        request("GET", &tag()).header("content-type", "text/html").body("<html>login</html>"),
    );
    let e = remote(&server).manifest(&tag()).await.unwrap_err();
    assert!(e.to_string().contains("web page") && e.hint().is_some(), "{e}");
    server.finish();
}

#[tokio::test]
async fn an_incomplete_manifest_is_requested_again_but_a_manifest_that_is_too_large_is_not() {
    let server = Script::start().await;
    server.expect(with_manifest("GET", &tag()).cut(5));
    server.expect(with_manifest("GET", &tag()));
    assert_eq!(remote(&server).manifest(&tag()).await.unwrap().bytes(), CONTENT);
    server.expect(request("GET", &tag()).body(vec![b' '; (8 << 20) + 1]));
    let e = remote(&server).manifest(&tag()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    server.finish();
}

#[tokio::test]
async fn an_existing_manifest_at_a_registry_counts_as_complete() {
    let server = Script::start().await;
    let repository = remote(&server);
    let digest = Digest::sha256(CONTENT.as_bytes());
    let descriptor = Descriptor::new(MediaType::OCI_INDEX, digest, CONTENT.len() as u64);
    for (reply, expected) in [
        (with_manifest("HEAD", &by_digest()), Presence::Complete),
        (request("HEAD", &by_digest()).answer(404), Presence::Absent),
    ] {
        server.expect(reply);
        assert_eq!(repository.holds(Node::Manifest(&descriptor)).await.unwrap(), expected);
    }
    // If the HEAD reply is incomplete, the bytes of a GET determine the result.
    server.expect(request("HEAD", &by_digest()));
    server.expect(with_manifest("GET", &by_digest()));
    let held = repository.holds(Node::Manifest(&descriptor)).await.unwrap();
    assert_eq!(held, Presence::Complete);
    server.finish();
}

#[tokio::test]
async fn a_web_page_does_not_count_as_an_existing_manifest() {
    let server = Script::start().await;
    let digest = Digest::sha256(CONTENT.as_bytes());
    let descriptor = Descriptor::new(MediaType::OCI_INDEX, digest, CONTENT.len() as u64);
    let page = |method| {
        let page = request(method, &by_digest()).header("content-type", "text/html");
        page.body("<html>login</html>")
    };
    server.expect(page("HEAD"));
    server.expect(page("GET"));
    let e = remote(&server).holds(Node::Manifest(&descriptor)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol);
    assert!(e.to_string().contains("web page") && e.hint().is_some(), "{e}");
    server.finish();
}

#[tokio::test]
async fn a_push_sends_the_exact_bytes_and_is_retried() {
    let server = Script::start().await;
    let manifest = RawManifest::from_bytes(Bytes::from_static(CONTENT.as_bytes()), None).unwrap();
    server.expect(request("PUT", &tag()).answer(503));
    server.expect(request("PUT", &tag()).with("content-type", INDEX).sending(CONTENT).answer(201));
    remote(&server).push_manifest(&manifest, tag().tag()).await.unwrap();
    server.expect(request("PUT", &by_digest()).sending(CONTENT).answer(201));
    remote(&server).push_manifest(&manifest, None).await.unwrap();
    // An unsuitable reply to a PUT does not count as success.
    server.expect(request("PUT", &tag()).answer(200).body("<html>"));
    assert!(remote(&server).push_manifest(&manifest, tag().tag()).await.is_err());
    server.finish();
}

#[tokio::test]
async fn a_deletion_counts_as_done_if_only_its_reply_was_lost_or_broke_off() {
    let server = Script::start().await;
    let repository = remote(&server);
    let tag_name = Tag::parse("v1").unwrap();
    let delete = |status| request("DELETE", &tag()).answer(status);
    server.expect(delete(200).body("{\"deleted\":true}").cut(3));
    repository.delete_tag(&tag_name).await.unwrap();
    // The first request may have deleted the tag.
    server.expect(delete(503));
    server.expect(delete(404));
    repository.delete_tag(&tag_name).await.unwrap();
    // A refused request deleted nothing.
    server.expect(delete(429));
    server.expect(delete(404));
    let e = repository.delete_tag(&tag_name).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    server.expect(delete(200).body("<html>login</html>"));
    assert_eq!(repository.delete_tag(&tag_name).await.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn tags_and_manifests_are_deleted_if_the_registry_supports_it() {
    let server = Script::start().await;
    let repository = remote(&server);
    let tag_name = Tag::parse("v1").unwrap();
    server.expect(request("DELETE", &by_digest()).answer(202));
    repository.delete_manifest(by_digest().digest().unwrap()).await.unwrap();
    server.expect(request("DELETE", &tag()).answer(202));
    repository.delete_tag(&tag_name).await.unwrap();
    for (status, kind) in
        [(404, ErrorKind::NotFound), (400, ErrorKind::Unsupported), (405, ErrorKind::Unsupported)]
    {
        // A client that knows that the registry deletes no tags sends no request.
        let repository = remote(&server);
        server.expect(request("DELETE", &tag()).answer(status));
        assert_eq!(repository.delete_tag(&tag_name).await.unwrap_err().kind(), kind);
    }
    server.finish();
}

/// Returns a signed schema 1 manifest, as distribution writes it, and its digest at a registry.
pub(crate) fn signed_schema1() -> (Vec<u8>, Digest) {
    let payload = "{\n   \"schemaVersion\": 1,\n   \"name\": \"a/b\",\n   \"fsLayers\": []\n}";
    let start = &payload[..payload.len() - 2];
    let format = format!("{{\"formatLength\":{},\"formatTail\":\"Cn0\"}}", start.len());
    let protected = BASE64URL.encode(format);
    let signatures = format!("[{{\"signature\": \"x\", \"protected\": \"{protected}\"}}]");
    let signed = format!("{start},\n   \"signatures\": {signatures}\n}}");
    (signed.into_bytes(), Digest::sha256(payload.as_bytes()))
}

#[tokio::test]
async fn signed_schema_1_is_read_by_tag_and_by_the_digest_of_its_payload() {
    let server = Script::start().await;
    let repository = remote(&server);
    let (signed, digest) = signed_schema1();
    let with_manifest = |method, selector: &TagOrDigest| {
        request(method, selector)
            .header("content-type", MediaType::DOCKER_SCHEMA1_SIGNED.as_str())
            .header("docker-content-digest", digest.as_str())
            .body(signed.clone())
    };
    let by_digest = TagOrDigest::from(digest.clone());
    server.expect(with_manifest("HEAD", &tag()));
    assert_eq!(repository.resolve(&tag()).await.unwrap().digest, digest);
    for selector in [tag(), by_digest.clone()] {
        server.expect(with_manifest("GET", &selector));
        let manifest = repository.manifest(&selector).await.unwrap();
        assert_eq!(*manifest.bytes(), signed);
        assert_eq!(*manifest.digest(), digest);
        assert!(matches!(manifest.parse().unwrap(), Manifest::Schema1(s) if s.name == "a/b"));
    }
    server.expect(
        request("PUT", &tag()).answer(201).header("docker-content-digest", digest.as_str()),
    );
    let manifest = RawManifest::from_bytes(signed.clone().into(), None).unwrap();
    repository.push_manifest(&manifest, tag().tag()).await.unwrap();
    // Without a tag, the manifest is pushed under the digest of its payload, even if the caller
    // gives it with the digest of its bytes.
    for manifest in [manifest.by_bytes(), manifest] {
        server.expect(request("PUT", &by_digest).answer(201).sending(signed.clone()));
        repository.push_manifest(&manifest, None).await.unwrap();
    }
    // A registry that does not support schema 1 states the digest of the bytes.
    let of_bytes = Digest::sha256(&signed);
    let by_bytes = request("GET", &tag()).header("docker-content-digest", of_bytes.as_str());
    let media_type = MediaType::DOCKER_SCHEMA1_SIGNED;
    server.expect(by_bytes.header("content-type", media_type.as_str()).body(signed.clone()));
    assert_eq!(*repository.manifest(&tag()).await.unwrap().digest(), of_bytes);

    let altered = String::from_utf8(signed.clone()).unwrap().replace("a/b", "x/y");
    for selector in [tag(), by_digest] {
        server.expect(with_manifest("GET", &selector).body(altered.clone()));
        let e = repository.manifest(&selector).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    }
    server.finish();
}
