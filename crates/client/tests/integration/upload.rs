//! The requests of upload sessions, with the headers that the predecessors sent and expected.

use bytes::Bytes;
use futures_util::stream;
use longshore::{
    Algorithm, BlobBody, BlobStream, Body, Descriptor, ErrorKind, Pushed, RawRequest, Repository,
    Source as _, SourceExt as _, Target as _, UploadMethod,
};
use longshore_registry::Registry;
use longshore_testkit::script::{Exchange, Script};

use crate::embedded::start;
use crate::round_trips::mount_of;
use crate::{blob, blob_path, place, quick, remote};

const CONTENT: &[u8] = b"0123456789";
const UPLOADS: &str = "/v2/a/b/blobs/uploads/";

fn bytes(content: &'static [u8]) -> BlobStream {
    Bytes::from_static(content).into()
}

/// Returns a stream of unknown length.
fn chunked_stream(chunks: &'static [&'static [u8]]) -> BlobStream {
    BlobStream::new(stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk)))))
}

fn begin(location: &str) -> Exchange {
    Exchange::new("POST", UPLOADS)
        .with("content-length", "0")
        .answer(202)
        .header("location", location)
        .header("docker-upload-uuid", "1")
        .header("range", "0-0")
}

fn patch(location: &str, content: &[u8]) -> Exchange {
    Exchange::new("PATCH", location)
        .with("content-type", "application/octet-stream")
        .sending(content)
        .answer(202)
}

/// Returns a PATCH without a length.
fn streamed(location: &str, content: &[u8]) -> Exchange {
    patch(location, content)
        .with("transfer-encoding", "chunked")
        .without("content-length")
        .without("content-range")
}

fn with_digest(location: &str, descriptor: &Descriptor) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={}", descriptor.digest)
}

fn finish(location: &str, descriptor: &Descriptor, content: &[u8]) -> Exchange {
    Exchange::new("PUT", with_digest(location, descriptor))
        .sending(content)
        .answer(201)
        .header("docker-content-digest", descriptor.digest.as_str())
}

#[tokio::test]
async fn an_upload_sends_each_chunk_with_its_range_to_the_current_location() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1?_state=a"));
    let chunk = |from: &str, range: &str, content: &[u8], to: &str| {
        patch(from, content)
            .with("content-range", range)
            .with("content-length", content.len().to_string())
            .header("range", format!("0-{}", range.split_once('-').unwrap().1))
            .header("location", to)
    };
    server.expect(chunk("/v2/u/1?_state=a", "0-4", b"01234", "/v2/u/1?_state=b"));
    server.expect(
        Exchange::new("GET", "/v2/u/1?_state=b")
            .answer(204)
            .header("range", "0-4")
            .header("location", "/v2/u/1?_state=c"),
    );
    server.expect(chunk("/v2/u/1?_state=c", "5-9", b"56789", "/v2/u/1?_state=d"));
    server.expect(finish("/v2/u/1?_state=d", &descriptor, b"").with("content-length", "0"));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    assert_eq!(upload.offset(), 0);
    upload.append(bytes(b"01234"), 5).await.unwrap();
    assert_eq!(upload.status().await.unwrap(), Some(5));
    assert_eq!(upload.location(), server.url("/v2/u/1?_state=c"));
    // No request is sent for an empty chunk, because `Content-Range` cannot express an empty range.
    upload.append(bytes(b""), 0).await.unwrap();
    assert_eq!(upload.offset(), 5);
    upload.append(bytes(b"56789"), 5).await.unwrap();
    assert_eq!(upload.offset(), 10);
    upload.finish(&descriptor.digest).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_location_of_a_blob_never_becomes_a_session() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let stored = format!("/v2/a/b/blobs/{}", descriptor.digest);
    let refused = |error: longshore::Error| {
        assert!(error.to_string().contains("is a blob, not an upload"), "{error}");
        error.kind()
    };
    let begun = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
    server.expect(begun.header("location", &*stored));
    let error = remote(&server).begin_upload().await.err().unwrap();
    assert_eq!(refused(error), ErrorKind::Protocol);
    // Every later reply may name a new location.
    server.expect(begin("/v2/u/1"));
    server.expect(patch("/v2/u/1", b"01234").header("location", &*stored));
    let query = Exchange::new("GET", "/v2/u/1").answer(204);
    server.expect(query.header("location", stored.replace(':', "%3A")));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    let error = upload.append(bytes(b"01234"), 5).await.unwrap_err();
    assert_eq!(refused(error), ErrorKind::Protocol);
    assert_eq!(refused(upload.status().await.unwrap_err()), ErrorKind::Protocol);
    upload.cancel().await.unwrap();
    let error = remote(&server).resume_upload(&stored).await.err().unwrap();
    assert_eq!(refused(error), ErrorKind::Invalid);
    server.finish();
}

#[tokio::test]
async fn a_streamed_patch_has_no_length_and_no_range() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(streamed("/v2/u/1", b"0123456").header("location", "/v2/u/2"));
    server.expect(finish("/v2/u/2", &descriptor, b"789").with("content-length", "3"));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    assert_eq!(upload.append_stream(chunked_stream(&[b"01234", b"", b"56"])).await.unwrap(), 7);
    assert_eq!(upload.offset(), 7);
    upload.finish_with(&descriptor.digest, bytes(b"789"), 3).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_last_request_may_contain_the_whole_content() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(finish("/v2/u/1", &descriptor, CONTENT).with("content-length", "10"));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    upload.finish_with(&descriptor.digest, bytes(CONTENT), 10).await.unwrap();
    server.expect(begin("/v2/u/2"));
    server.expect(
        finish("/v2/u/2", &descriptor, CONTENT)
            .with("transfer-encoding", "chunked")
            .without("content-length"),
    );
    let mut upload = remote(&server).begin_upload().await.unwrap();
    let rest = chunked_stream(&[b"01234", b"56789"]);
    upload.finish_with_stream(&descriptor.digest, rest).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_stored_digest_is_compared_with_the_sent_content() {
    let server = Script::start().await;
    let (descriptor, other) = (blob(CONTENT), blob(b"other"));
    for stated in [other.digest.to_string(), "sha512:no digest".to_owned()] {
        server.expect(begin("/v2/u/1"));
        let last = format!("/v2/u/1?digest={}", descriptor.digest);
        let put = Exchange::new("PUT", last).answer(201).header("docker-content-digest", stated);
        server.expect(put);
    }
    let finished = async || {
        let mut upload = remote(&server).begin_upload().await.unwrap();
        upload.finish(&descriptor.digest).await
    };
    let error = finished().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    // A malformed digest is ignored.
    finished().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_session_is_cancelled_and_a_missing_session_is_an_error() {
    let server = Script::start().await;
    server.expect(begin("/v2/u/1?s=1"));
    server.expect(Exchange::new("DELETE", "/v2/u/1?s=1").answer(204));
    server.expect(begin("/v2/u/2"));
    server.expect(Exchange::new("GET", "/v2/u/2").answer(404));
    let repository = remote(&server);
    repository.begin_upload().await.unwrap().cancel().await.unwrap();
    let mut gone = repository.begin_upload().await.unwrap();
    assert_eq!(gone.status().await.unwrap_err().kind(), ErrorKind::NotFound);
    server.finish();
}

#[tokio::test]
async fn a_new_client_resumes_a_session() {
    let (address, _running) = start(Registry::builder().memory()).await;
    let place: Repository = format!("{address}/a/b").parse().unwrap();
    let descriptor = blob(CONTENT);
    let mut upload = quick().build().repository(&place).begin_upload().await.unwrap();
    upload.append(bytes(b"0123"), 4).await.unwrap();
    let location = upload.location();
    drop(upload);
    let repository = quick().build().repository(&place);
    let mut resumed = repository.resume_upload(&location).await.unwrap();
    assert_eq!(resumed.offset(), 4);
    resumed.append_stream(chunked_stream(&[b"45", b"67"])).await.unwrap();
    resumed.finish_with(&descriptor.digest, bytes(b"89"), 2).await.unwrap();
    assert_eq!(repository.blob_size(&descriptor.digest).await.unwrap(), Some(10));
    // The session is complete and no longer exists.
    let error = repository.resume_upload(&location).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = repository.resume_upload("ftp://elsewhere/u").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_session_is_resumed_by_its_path() {
    let server = Script::start().await;
    // `0-0` is ambiguous: it is the range of an empty session and of a session with one byte.
    server.expect(Exchange::new("GET", "/v2/u/1?_state=x").answer(204).header("range", "0-0"));
    let resumed = remote(&server).resume_upload("/v2/u/1?_state=x").await.unwrap();
    assert_eq!((resumed.offset(), resumed.location()), (0, server.url("/v2/u/1?_state=x")));
    server.finish();
}

#[tokio::test]
async fn a_blob_is_uploaded_in_a_single_request_if_the_registry_accepts_it() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let post = || {
        Exchange::new("POST", format!("{UPLOADS}?digest={}", descriptor.digest))
            .with("content-type", "application/octet-stream")
            .with("content-length", "10")
            .sending(CONTENT)
    };
    let repository = || {
        let client = quick().upload_method(UploadMethod::SinglePost).build();
        client.repository(&place(&server))
    };
    let body = || BlobBody::from(Bytes::from_static(CONTENT));
    server.expect(post().answer(201).header("docker-content-digest", descriptor.digest.as_str()));
    repository().push_blob(&descriptor, body()).await.unwrap();
    // A registry that ignores the content answers with a session. The client does not use single
    // requests for later blobs.
    server.expect(post().answer(202).header("location", "/v2/u/1"));
    server.expect(finish("/v2/u/1", &descriptor, CONTENT));
    server.expect(begin("/v2/u/2"));
    server.expect(finish("/v2/u/2", &descriptor, CONTENT));
    let wary = repository();
    wary.push_blob(&descriptor, body()).await.unwrap();
    wary.push_blob(&descriptor, body()).await.unwrap();
    // The request is retried if the registry is busy. If the registry does not support a single
    // `POST`, the client begins a session.
    server.expect(post().answer(503));
    server.expect(post().answer(405));
    server.expect(begin("/v2/u/3"));
    server.expect(finish("/v2/u/3", &descriptor, CONTENT));
    repository().push_blob(&descriptor, body()).await.unwrap();
    server.expect(post().answer(403));
    let error = repository().push_blob(&descriptor, body()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    server.finish();
}

#[tokio::test]
async fn a_redirected_single_request_becomes_a_session_at_the_target() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    // The client does not send a redirected single request again. It begins a session, whose first
    // request has no body.
    let single =
        quick().upload_method(UploadMethod::SinglePost).build().repository(&place(&server));
    let post = Exchange::new("POST", format!("{UPLOADS}?digest={}", descriptor.digest));
    server.expect(post.answer(307).header("location", "/v2/c/d/blobs/uploads/"));
    server.expect(
        Exchange::new("POST", UPLOADS).answer(307).header("location", "/v2/c/d/blobs/uploads/"),
    );
    server.expect(
        Exchange::new("POST", "/v2/c/d/blobs/uploads/").answer(202).header("location", "7"),
    );
    server.expect(finish("/v2/c/d/blobs/uploads/7", &descriptor, CONTENT));
    single.push_blob(&descriptor, Bytes::from_static(CONTENT).into()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_redirected_upload_request_can_be_repeated_at_its_target() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(patch("/v2/u/1", b"01234").answer(308).header("location", "/v2/w/1"));
    server.expect(patch("/v2/w/1", b"01234").header("location", "/v2/w/2"));
    let elsewhere = format!("/v2/x/2?digest={}&to=x", descriptor.digest);
    server.expect(
        finish("/v2/w/2", &descriptor, b"56789").answer(307).header("location", &elsewhere),
    );
    server.expect(Exchange::new("PUT", &elsewhere).sending(b"56789").answer(201));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    let error = upload.append(bytes(b"01234"), 5).await.unwrap_err();
    assert_eq!((error.kind(), upload.offset()), (ErrorKind::Protocol, 0));
    upload.append(bytes(b"01234"), 5).await.unwrap();
    upload.finish_with(&descriptor.digest, bytes(b"56789"), 5).await.unwrap_err();
    upload.finish_with(&descriptor.digest, bytes(b"56789"), 5).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_upload_in_a_redirect_loop_fails() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    for _ in 0..5 {
        let put = finish("/v2/u/1", &descriptor, CONTENT).answer(307);
        server.expect(put.header("location", with_digest("/v2/u/1", &descriptor)));
    }
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let round = remote(&server).push_blob(&descriptor, Bytes::from_static(CONTENT).into()).await;
    assert!(round.unwrap_err().to_string().contains("redirect"));
    server.finish();
}

#[tokio::test]
async fn a_stream_of_unknown_length_is_read_once_and_its_digest_is_sent_last() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    for digest in [None, Some(&descriptor.digest)] {
        server.expect(begin("/v2/u/1?_state=1"));
        server.expect(streamed("/v2/u/1?_state=1", CONTENT).header("location", "2?_state=2"));
        server.expect(finish("/v2/u/2?_state=2", &descriptor, b"").with("content-length", "0"));
        let sent = chunked_stream(&[b"", b"01234", b"56789"]);
        let sent = remote(&server).push_stream(sent, digest).await.unwrap();
        assert_eq!(sent, descriptor);
    }
    // If the content does not match the given digest, the blob is not completed, and the session is
    // cancelled.
    server.expect(begin("/v2/u/1"));
    server.expect(streamed("/v2/u/1", CONTENT));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let other = Algorithm::Sha512.digest(b"other");
    let error =
        remote(&server).push_stream(chunked_stream(&[CONTENT]), Some(&other)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch);
    // The stream is sent in chunks if chunked uploads are configured.
    server.expect(begin("/v2/u/1").header("oci-chunk-min-length", "4"));
    for (range, content) in [("0-3", b"0123".as_slice()), ("4-7", b"4567"), ("8-9", b"89")] {
        server.expect(patch("/v2/u/1", content).with("content-range", range));
    }
    server.expect(finish("/v2/u/1", &descriptor, b""));
    let three = UploadMethod::Chunked(std::num::NonZeroU64::new(3).unwrap());
    let repository = quick().upload_method(three).build().repository(&place(&server));
    repository.push_stream(chunked_stream(&[b"01", b"23456", b"789"]), None).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_session_of_a_failed_stream_is_cancelled() {
    let server = Script::start().await;
    server.expect(begin("/v2/u/1"));
    server.expect(streamed("/v2/u/1", CONTENT).answer(500));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let error = remote(&server).push_stream(chunked_stream(&[CONTENT]), None).await.unwrap_err();
    assert_eq!(error.status(), Some(500));
    server.finish();
}

#[tokio::test]
async fn an_existing_large_blob_is_not_sent() {
    let server = Script::start().await;
    // A smaller blob would be sent without a check.
    static CONTENT: [u8; 80 << 10] = [7; 80 << 10];
    let descriptor = blob(&CONTENT);
    let body = || BlobBody::from(Bytes::from_static(&CONTENT));
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).body(CONTENT));
    assert_eq!(remote(&server).ensure_blob(&descriptor, body()).await.unwrap(), Pushed::Existing);
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).answer(404));
    server.expect(begin("/v2/u/1"));
    server.expect(finish("/v2/u/1", &descriptor, &CONTENT));
    server.expect(Exchange::new("POST", mount_of(&descriptor)).answer(201));
    assert_eq!(remote(&server).ensure_blob(&descriptor, body()).await.unwrap(), Pushed::Sent);
    server.finish();
}

/// moby-distribution's `Blob.upload` sends these requests for 40 bytes, because its chunk size is
/// 64 MiB.
#[tokio::test]
async fn a_blob_smaller_than_a_chunk_is_sent_in_one_chunk() {
    let server = Script::start().await;
    let content = [b'x'; 40];
    let descriptor = blob(&content);
    server.expect(begin("/v2/a/b/blobs/uploads/1?_state=s%3D"));
    server.expect(
        patch("/v2/a/b/blobs/uploads/1?_state=s%3D", &content)
            .with("content-range", "0-39")
            .header("location", "/v2/a/b/blobs/uploads/1?_state=t%3D"),
    );
    server.expect(finish("/v2/a/b/blobs/uploads/1?_state=t%3D", &descriptor, b""));
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).body(content));
    let chunks = UploadMethod::Chunked(std::num::NonZeroU64::new(64 << 20).unwrap());
    let repository = quick().upload_method(chunks).build().repository(&place(&server));
    repository.push_blob(&descriptor, Bytes::copy_from_slice(&content).into()).await.unwrap();
    assert_eq!(repository.describe_blob(&descriptor.digest).await.unwrap(), descriptor);
    server.finish();
}

/// docker-registry-client-async parses these upload locations with a regular expression to find
/// their repository. longshore already has the repository.
#[tokio::test]
async fn a_session_is_resumed_at_every_form_of_location() {
    let server = Script::start().await;
    for (location, target) in [
        (
            server.url("/v2/lib/img/blobs/uploads/u?_state=x"),
            "/v2/lib/img/blobs/uploads/u?_state=x",
        ),
        (
            server.url("/prefix/v2/a/b/blobs/uploads/u").replace("http:", "HTTP:"),
            "/prefix/v2/a/b/blobs/uploads/u",
        ),
        ("/v2/a/blobs/uploads/u".to_owned(), "/v2/a/blobs/uploads/u"),
    ] {
        server.expect(Exchange::new("GET", target).answer(204).header("range", "0-6"));
        let resumed = remote(&server).resume_upload(&location).await.unwrap();
        assert_eq!((resumed.offset(), resumed.location()), (7, server.url(target)), "{location}");
    }
    server.finish();
}

/// The tests of docker-registry-client-async expect these statuses and headers of a registry.
#[tokio::test]
async fn the_embedded_registry_answers_as_the_predecessors_expect() {
    let (address, _running) = start(Registry::builder().memory()).await;
    let client = quick().build();
    let registry = address.to_string().parse().unwrap();
    let digest = blob(b"01234").digest;
    let send = async |method: &str, target: &str, headers: &[(&str, &str)], body: &'static [u8]| {
        let mut request = RawRequest::new(method.parse().unwrap(), target);
        for (name, value) in headers {
            request = request.header(name.parse().unwrap(), value.parse().unwrap());
        }
        let request = request.body(Body::Bytes(Bytes::from_static(body)));
        let reply = client.request(&registry, request).await.unwrap();
        let header = |name: &str| reply.headers.get(name).map(|v| v.to_str().unwrap().to_owned());
        (
            reply.status.as_u16(),
            header("range"),
            header("location"),
            header("docker-content-digest"),
        )
    };
    let range = |text: &str| Some(text.to_owned());
    let (status, begun, location, _) = send("POST", "/v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!((status, begun), (202, range("0-0")));
    let fresh = send("GET", location.as_deref().unwrap(), &[], b"").await;
    assert_eq!((fresh.0, fresh.1), (204, range("0-0")));
    let chunk = [("content-range", "0-4"), ("content-type", "application/octet-stream")];
    let (status, sent, location, _) =
        send("PATCH", location.as_deref().unwrap(), &chunk, b"01234").await;
    assert_eq!((status, sent), (202, range("0-4")));
    let location = location.unwrap();
    let separator = if location.contains('?') { '&' } else { '?' };
    let last = format!("{location}{separator}digest={digest}");
    let (status, _, _, stated) = send("PUT", &last, &[], b"").await;
    assert_eq!((status, stated), (201, Some(digest.to_string())));
    let mount = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
    let (status, none, location, stated) = send("POST", &mount, &[], b"").await;
    assert_eq!((status, none, stated), (201, None, Some(digest.to_string())));
    assert!(location.unwrap().ends_with(digest.as_str()));
    let path = format!("/v2/b/blobs/{digest}");
    assert_eq!(send("DELETE", &path, &[], b"").await.0, 202);
    assert_eq!(send("HEAD", &path, &[], b"").await.0, 404);
    let (_, _, location, _) = send("POST", "/v2/a/blobs/uploads/", &[], b"").await;
    assert_eq!(send("DELETE", &location.unwrap(), &[], b"").await.0, 204);
}

#[tokio::test]
async fn trap_04_a_mount_succeeds_without_a_range_or_session() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let encoded = descriptor.digest.as_str().replace(':', "%3A");
    let mount = || Exchange::new("POST", format!("{UPLOADS}?mount={encoded}&from=c%2Fd"));
    server.expect(
        mount()
            .answer(201)
            .header("docker-content-digest", descriptor.digest.as_str())
            .header("location", blob_path(&descriptor)),
    );
    // A 201 does not require a `Location`.
    server.expect(mount().answer(201));
    let from: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    for _ in 0..2 {
        let mount = BlobBody::mount(from.clone());
        let pushed = remote(&server).push_blob(&descriptor, mount).await.unwrap();
        assert_eq!(pushed, Pushed::Mounted);
    }
    server.finish();
}

#[tokio::test]
async fn trap_05_a_relative_location_keeps_its_query_and_gets_the_digest() {
    let server = Script::start().await;
    let digest = Algorithm::Sha256.digest(CONTENT);
    // The location is below a path prefix that a proxy adds, after the POST and after each PATCH.
    server.expect(begin("/prefix/v2/a/b/blobs/uploads/1?_state=a%2Bb%3D%3D&blank=&flag"));
    server.expect(
        patch("/prefix/v2/a/b/blobs/uploads/1?_state=a%2Bb%3D%3D&blank=&flag", b"01234")
            .with("content-range", "0-4")
            .header("location", "2?_state=c+d&blank="),
    );
    server.expect(
        patch("/prefix/v2/a/b/blobs/uploads/2?_state=c+d&blank=", b"56789")
            .with("content-range", "5-9")
            .header("location", "?_state=e"),
    );
    server.expect(
        Exchange::new("PUT", format!("/prefix/v2/a/b/blobs/uploads/2?_state=e&digest={digest}"))
            .answer(201),
    );
    let mut upload = remote(&server).begin_upload().await.unwrap();
    upload.append(bytes(b"01234"), 5).await.unwrap();
    upload.append(bytes(b"56789"), 5).await.unwrap();
    upload.finish(&digest).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_location_that_is_not_an_http_url_is_refused() {
    let server = Script::start().await;
    server.expect(begin("ftp://elsewhere/u"));
    let broken = remote(&server).begin_upload().await;
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn a_digest_is_percent_encoded_in_an_absolute_location() {
    let server = Script::start().await;
    server.expect(begin(&server.url("/v2/u/9")));
    server.expect(Exchange::new("PUT", "/v2/u/9?digest=a%2Bb:c").answer(201));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    upload.finish(&"a+b:c".parse().unwrap()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn trap_19_an_empty_blob_is_uploaded_with_every_method() {
    let (address, _running) = start(Registry::builder().memory()).await;
    let empty = blob(b"");
    let chunks = UploadMethod::Chunked(std::num::NonZeroU64::new(4).unwrap());
    for (form, name) in [
        (UploadMethod::PostThenPut, "whole"),
        (UploadMethod::SinglePost, "single"),
        (chunks, "chunks"),
    ] {
        let place = |name: &str| format!("{address}/{name}").parse().unwrap();
        let client = quick().upload_method(form).build();
        let repository = client.repository(&place(name));
        repository.push_blob(&empty, Bytes::new().into()).await.unwrap();
        assert_eq!(repository.blob_size(&empty.digest).await.unwrap(), Some(0));
        let reader = repository.blob(&empty).await.unwrap();
        assert!(reader.bytes(0).await.unwrap().is_empty());
        let streamed = client.repository(&place(&format!("{name}/streamed")));
        assert_eq!(streamed.push_stream(chunked_stream(&[b""]), None).await.unwrap(), empty);
        assert_eq!(streamed.blob_size(&empty.digest).await.unwrap(), Some(0));
        let mut upload = streamed.begin_upload().await.unwrap();
        assert_eq!(upload.append_stream(chunked_stream(&[])).await.unwrap(), 0);
        upload.finish(&empty.digest).await.unwrap();
    }
}

#[tokio::test]
async fn progress_of_pushing_and_pulling_a_blob_is_reported() {
    let (address, _running) = start(Registry::builder().memory()).await;
    let place: Repository = format!("{address}/a").parse().unwrap();
    let repository = quick().build().repository(&place);
    let content = Bytes::from(vec![1; 1_000_000]);
    let descriptor = blob(&content);
    let (tell, progress) = std::sync::mpsc::channel();
    let sender = tell.clone();
    let body = BlobBody::from(content).on_progress(move |p| sender.send(p).unwrap());
    repository.push_blob(&descriptor, body).await.unwrap();
    let last = progress.try_iter().last().unwrap();
    assert_eq!((last.done, last.size), (1_000_000, Some(1_000_000)));
    let reader = repository.blob(&descriptor).await.unwrap();
    let reader = reader.on_progress(move |p| tell.send(p).unwrap());
    reader.bytes(1_000_000).await.unwrap();
    let reported: Vec<_> = progress.try_iter().collect();
    assert!(
        reported.is_sorted_by_key(|p| p.done) && reported.iter().all(|p| p.size == Some(1_000_000))
    );
    assert_eq!(reported.iter().map(|p| p.chunk).sum::<u64>(), 1_000_000);
}
