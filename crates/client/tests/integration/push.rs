//! Uploads with different methods, and after failures.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore::{
    BlobBody, BlobStream, Descriptor, ErrorKind, Pushed, RemoteRepository, Repository, Side,
    Target as _, UploadMethod,
};
use longshore_registry::Registry;
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::script::{Exchange, Script};

use crate::embedded::start;
use crate::{blob, blob_path, login, place, quick, remote};

const CONTENT: &[u8] = b"0123456789";

fn body() -> BlobBody {
    BlobBody::from(Bytes::from_static(CONTENT))
}

fn begin(location: &str) -> Exchange {
    Exchange::new("POST", "/v2/a/b/blobs/uploads/")
        .with("content-length", "0")
        .answer(202)
        .header("location", location)
}

fn put(location: &str, descriptor: &Descriptor, content: &[u8]) -> Exchange {
    let separator = if location.contains('?') { '&' } else { '?' };
    Exchange::new("PUT", format!("{location}{separator}digest={}", descriptor.digest))
        .with("content-length", content.len().to_string())
        .sending(content)
        .answer(201)
}

fn patch(location: &str, range: &str, content: &[u8]) -> Exchange {
    Exchange::new("PATCH", location)
        .with("content-range", range)
        .with("content-length", content.len().to_string())
        .sending(content)
        .answer(202)
}

fn in_chunks(server: &Script, size: u64) -> RemoteRepository {
    let form = UploadMethod::Chunked(NonZeroU64::new(size).unwrap());
    quick().upload_method(form).build().repository(&place(server))
}

#[tokio::test]
async fn a_blob_is_pushed_in_two_requests() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    // The query of the session's URL is returned unchanged.
    server.expect(begin("/v2/u/1?_state=a%2Bb+c;d&e&e"));
    server.expect(
        put("/v2/u/1?_state=a%2Bb+c;d&e&e", &descriptor, CONTENT)
            .with("content-type", "application/octet-stream")
            .header("docker-content-digest", descriptor.digest.as_str()),
    );
    remote(&server).push_blob(&descriptor, body()).await.unwrap();
    let empty = blob(b"");
    server.expect(begin("/v2/u/2"));
    server.expect(put("/v2/u/2", &empty, b""));
    remote(&server).push_blob(&empty, BlobBody::from(Bytes::new())).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn chunks_have_the_registrys_minimum_size() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1").header("oci-chunk-min-length", "4"));
    server.expect(patch("/v2/u/1", "0-3", b"0123").header("location", "/v2/u/2"));
    // ECR answers 201. zot states the last chunk's own range instead of the total.
    server.expect(
        patch("/v2/u/2", "4-7", b"4567")
            .answer(201)
            .header("location", "/v2/u/3")
            .header("range", "0-3"),
    );
    server.expect(patch("/v2/u/3", "8-9", b"89"));
    server.expect(put("/v2/u/3", &descriptor, b""));
    in_chunks(&server, 3).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_broken_upload_resumes_at_the_registrys_offset() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(Exchange::new("PUT", format!("/v2/u/1?digest={}", descriptor.digest)).hang_up(6));
    server.expect(
        Exchange::new("GET", "/v2/u/1")
            .answer(204)
            .header("range", "bytes=0-3")
            .header("location", "/v2/u/2"),
    );
    server.expect(put("/v2/u/2", &descriptor, &CONTENT[4..]));
    remote(&server).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_upload_resumes_after_a_failed_chunk() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(patch("/v2/u/1", "0-4", b"01234").header("location", "/v2/u/2"));
    server.expect(patch("/v2/u/2", "5-9", b"56789").answer(503));
    server.expect(Exchange::new("GET", "/v2/u/2").answer(204).header("range", "0-4"));
    server.expect(patch("/v2/u/2", "5-9", b"56789"));
    server.expect(put("/v2/u/2", &descriptor, b""));
    in_chunks(&server, 5).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_unusable_offset_restarts_the_upload() {
    for range in ["0-0", "5-9", "0-99", ""] {
        let server = Script::start().await;
        let descriptor = blob(CONTENT);
        server.expect(begin("/v2/u/1"));
        server.expect(
            Exchange::new("PUT", format!("/v2/u/1?digest={}", descriptor.digest)).answer(500),
        );
        server.expect(Exchange::new("GET", "/v2/u/1").answer(204).header("range", range));
        server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
        server.expect(begin("/v2/u/2"));
        server.expect(put("/v2/u/2", &descriptor, CONTENT));
        remote(&server).push_blob(&descriptor, body()).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn a_failed_query_for_the_offset_restarts_the_upload() {
    for status in [400, 405, 501] {
        let server = Script::start().await;
        let descriptor = blob(CONTENT);
        server.expect(begin("/v2/u/1"));
        server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(503));
        server.expect(Exchange::new("GET", "/v2/u/1").answer(status));
        server.expect(Exchange::new("HEAD", blob_path(&descriptor)).answer(404));
        server.expect(begin("/v2/u/2"));
        server.expect(put("/v2/u/2", &descriptor, CONTENT));
        remote(&server).push_blob(&descriptor, body()).await.unwrap();
        server.finish();
    }
}

#[tokio::test]
async fn a_failing_source_is_not_read_repeatedly() {
    let (server, source) = (Script::start().await, Script::start().await);
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    source.expect(Exchange::new("GET", blob_path(&descriptor)).answer(404));
    let body = BlobBody::source(Arc::new(remote(&source)));
    let e = remote(&server).push_blob(&descriptor, body).await.unwrap_err();
    assert_eq!((e.kind(), e.side()), (ErrorKind::NotFound, Some(Side::Source)));
    server.finish();
    source.finish();
}

#[tokio::test]
async fn dropping_a_push_cancels_its_session() {
    let (address, _stop) = start(Registry::builder().memory()).await;
    let proxy = FaultProxy::start(address).await;
    let repository = format!("{}/a/b", proxy.address()).parse().unwrap();
    let repository = quick().build().repository(&repository);
    let descriptor = blob(CONTENT);
    let endless = stream::iter([Ok(Bytes::from_static(b"0123"))]).chain(stream::pending());
    let push = repository.push_blob(&descriptor, BlobBody::stream(BlobStream::new(endless)));
    let push = tokio::time::timeout(Duration::from_millis(200), push);
    assert!(push.await.is_err());
    sends_delete(&proxy).await;
}

#[tokio::test]
async fn dropping_a_push_that_cancels_its_session_does_not_stop_this() {
    let (address, _stop) = start(Registry::builder().memory()).await;
    let proxy = FaultProxy::start(address).await;
    let repository = format!("{}/a/b", proxy.address()).parse().unwrap();
    let repository = quick().build().repository(&repository);
    let (failing, failed) = tokio::sync::oneshot::channel();
    let mut failing = Some(failing);
    let content = stream::iter(["0123", "4567", ""]).then(move |piece| {
        let failing = failing.take_if(|_| piece.is_empty());
        async move {
            let Some(failing) = failing else { return Ok(Bytes::from_static(piece.as_bytes())) };
            // The registry has the first pieces by now.
            tokio::time::sleep(Duration::from_millis(100)).await;
            failing.send(()).unwrap();
            Err(longshore::Error::new(ErrorKind::Canceled))
        }
    });
    let push = repository.push_stream(BlobStream::new(content), None);
    tokio::select! {
        biased;
        pushed = push => panic!("{pushed:?}"),
        failed = failed => failed.unwrap(),
    }
    sends_delete(&proxy).await;
}

#[tokio::test]
async fn a_session_that_is_still_in_use_is_canceled_later() {
    let (address, _stop) = start(Registry::builder().memory()).await;
    let proxy = FaultProxy::start(address).await;
    let repository = format!("{}/a/b", proxy.address()).parse().unwrap();
    let repository = quick().build().repository(&repository);
    proxy.inject("DELETE", "/uploads/", 1, Fault::Reply(416, Vec::new()));
    proxy.inject("DELETE", "/uploads/", 1, Fault::Reply(409, Vec::new()));
    repository.begin_upload().await.unwrap().cancel().await.unwrap();
    assert_eq!(proxy.faults_made(), 2);
    assert_eq!(proxy.requests().iter().filter(|r| r.method == "DELETE").count(), 3);
}

/// Waits until a session is canceled.
async fn sends_delete(proxy: &FaultProxy) {
    let canceled = async {
        while !proxy.requests().iter().any(|request| request.method == "DELETE") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), canceled).await.unwrap();
}

#[tokio::test]
async fn a_lost_session_restarts_the_upload() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let unknown = "{\"errors\":[{\"code\":\"BLOB_UPLOAD_UNKNOWN\"}]}";
    server.expect(begin("/v2/u/1"));
    server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(404).body(unknown));
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).answer(404));
    server.expect(begin("/v2/u/2"));
    server.expect(put("/v2/u/2", &descriptor, CONTENT));
    remote(&server).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_push_succeeds_if_only_its_last_reply_was_lost() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(put("/v2/u/1", &descriptor, CONTENT).hang_up(10));
    server.expect(Exchange::new("GET", "/v2/u/1").answer(404));
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).body(CONTENT));
    remote(&server).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_refused_upload_method_is_replaced_for_all_later_uploads() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let client = quick().build();
    server.expect(begin("/v2/u/1"));
    server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(405));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    for location in ["/v2/u/2", "/v2/u/3"] {
        server.expect(begin(location));
        server.expect(patch(location, "0-9", CONTENT));
        server.expect(put(location, &descriptor, b""));
        client.repository(&place(&server)).push_blob(&descriptor, body()).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_registry_that_refuses_chunks_gets_the_blob_in_one_request() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(patch("/v2/u/1", "0-3", b"0123").answer(405));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(405));
    server.expect(begin("/v2/u/2"));
    server.expect(put("/v2/u/2", &descriptor, CONTENT));
    in_chunks(&server, 4).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_request_that_is_too_large_is_split_into_chunks_and_then_fails() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(413));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    server.expect(begin("/v2/u/2"));
    server.expect(patch("/v2/u/2", "0-9", CONTENT).answer(413));
    server.expect(Exchange::new("DELETE", "/v2/u/2").answer(204));
    let e = remote(&server).push_blob(&descriptor, body()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::TooLarge);
    server.finish();
}

#[tokio::test]
async fn a_push_fails_after_too_many_failures() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    for _ in 0..4 {
        server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(503));
        server.expect(Exchange::new("GET", "/v2/u/1").answer(204).header("range", "0--1"));
    }
    server.expect(put("/v2/u/1", &descriptor, CONTENT).answer(503));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let e = remote(&server).push_blob(&descriptor, body()).await.unwrap_err();
    assert_eq!(e.status(), Some(503));
    server.finish();
}

#[tokio::test]
async fn every_chunk_may_be_redirected() {
    const CHUNK: u64 = 1 << 20;
    let server = Script::start().await;
    let content = vec![7; 7 * CHUNK as usize];
    let descriptor = blob(&content);
    server.expect(begin("/v2/u/1"));
    for start in (0..7).map(|chunk| chunk * CHUNK) {
        let range = format!("{start}-{}", start + CHUNK - 1);
        let chunk = &content[..CHUNK as usize];
        let redirect = Exchange::new("PATCH", "/v2/u/1").answer(307).header("location", "/v2/w/1");
        server.expect(redirect);
        server.expect(patch("/v2/w/1", &range, chunk).header("location", "/v2/u/1"));
    }
    let last = put("/v2/u/1", &descriptor, b"");
    server.expect(last.header("docker-content-digest", descriptor.digest.to_string()));
    let body = BlobBody::from(Bytes::from(content));
    in_chunks(&server, CHUNK).push_blob(&descriptor, body).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_stream_is_sent_once_and_the_first_error_is_returned() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let once =
        || BlobBody::stream(BlobStream::new(stream::iter([Ok(Bytes::from_static(CONTENT))])));
    server.expect(begin("/v2/u/1"));
    server.expect(put("/v2/u/1", &descriptor, CONTENT));
    remote(&server).push_blob(&descriptor, once()).await.unwrap();
    server.expect(begin("/v2/u/2"));
    server.expect(put("/v2/u/2", &descriptor, CONTENT).answer(503));
    server.expect(Exchange::new("DELETE", "/v2/u/2").answer(204));
    let e = remote(&server).push_blob(&descriptor, once()).await.unwrap_err();
    assert_eq!(e.status(), Some(503));
    server.finish();
}

#[tokio::test]
async fn a_push_of_wrong_content_is_not_completed_and_returns_a_digest_error() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    // The last chunk is held back until the digest is verified. This content has only one chunk, so
    // nothing is sent.
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    let wrong = BlobBody::from(Bytes::from_static(b"012345678X"));
    let e = remote(&server).push_blob(&descriptor, wrong).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    server.finish();
}

#[tokio::test]
async fn a_push_fails_if_the_registry_states_another_digest() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1"));
    let other = blob(b"other").digest;
    server.expect(
        put("/v2/u/1", &descriptor, CONTENT).header("docker-content-digest", other.as_str()),
    );
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(404));
    let e = remote(&server).push_blob(&descriptor, body()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    server.finish();
}

#[tokio::test]
async fn a_session_at_another_origin_gets_the_content_but_no_credentials() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let descriptor = blob(CONTENT);
    let registry = place(&server).registry().clone();
    let client = quick().credentials(login(registry, "user", "s3cret")).build();
    let location = storage.url("/upload?sig=s");
    let begin = || begin(&location);
    server.expect(begin().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(begin().with("authorization", "Basic dXNlcjpzM2NyZXQ="));
    storage.expect(put("/upload?sig=s", &descriptor, CONTENT).without("authorization"));
    client.repository(&place(&server)).push_blob(&descriptor, body()).await.unwrap();
    server.finish();
    storage.finish();
}

#[tokio::test]
async fn an_unusable_session_url_is_an_error() {
    for location in ["", "///x", "ftp://x/", "http://user:pw@127.0.0.1/x", "http://[::bad/"] {
        let server = Script::start().await;
        server.expect(begin(location));
        let e = remote(&server).push_blob(&blob(CONTENT), body()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{location}");
        assert!(e.to_string().contains("Location"), "{e}");
        server.finish();
    }
    let server = Script::start().await;
    server.expect(Exchange::new("POST", "/v2/a/b/blobs/uploads/").body("<html>"));
    let e = remote(&server).push_blob(&blob(CONTENT), body()).await.unwrap_err();
    assert!(e.to_string().contains("web page"), "{e}");
    server.finish();
}

/// Returns a request to mount the blob from `c/d` of the same registry, and its reply.
fn mount(descriptor: &Descriptor, status: u16) -> Exchange {
    let encoded = descriptor.digest.as_str().replace(':', "%3A");
    let target = format!("/v2/a/b/blobs/uploads/?mount={encoded}&from=c%2Fd");
    let exchange = Exchange::new("POST", target).answer(status);
    if status == 202 { exchange.header("location", "/v2/u/1") } else { exchange }
}

#[tokio::test]
async fn the_session_of_a_declined_mount_is_used_or_cancelled() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let source: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    let push = async |body: BlobBody| remote(&server).push_blob(&descriptor, body).await;
    let head = |status| Exchange::new("HEAD", blob_path(&descriptor)).answer(status);
    let there = || head(200).header("content-length", CONTENT.len().to_string());
    let cancel = || Exchange::new("DELETE", "/v2/u/1").answer(204);

    server.expect(mount(&descriptor, 201));
    assert_eq!(push(body().with_origin(source.clone())).await.unwrap(), Pushed::Mounted);

    server.expect(mount(&descriptor, 202));
    server.expect(head(404));
    server.expect(put("/v2/u/1", &descriptor, CONTENT));
    assert_eq!(push(body().with_origin(source.clone())).await.unwrap(), Pushed::Sent);

    server.expect(mount(&descriptor, 202));
    server.expect(there());
    server.expect(cancel());
    assert_eq!(push(body().with_origin(source.clone())).await.unwrap(), Pushed::Existing);

    server.expect(mount(&descriptor, 202));
    server.expect(head(404));
    server.expect(cancel());
    let declined = push(BlobBody::mount(source.clone())).await.unwrap_err();
    assert_eq!(declined.kind(), ErrorKind::Unsupported);

    // After a refused mount, the client also checks whether the blob already exists.
    for status in [400, 403, 404, 405] {
        server.expect(mount(&descriptor, status));
        server.expect(there());
        assert_eq!(push(body().with_origin(source.clone())).await.unwrap(), Pushed::Existing);
    }
    server.expect(begin("/v2/u/2"));
    server.expect(put("/v2/u/2", &descriptor, CONTENT));
    let elsewhere = "r.example/c/d".parse().unwrap();
    assert_eq!(push(body().with_origin(elsewhere)).await.unwrap(), Pushed::Sent);
    server.finish();
}

#[tokio::test]
async fn a_blob_is_uploaded_after_a_failed_mount() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let source: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    for status in [500, 503] {
        for _ in 0..5 {
            server.expect(mount(&descriptor, status));
        }
        server.expect(Exchange::new("HEAD", blob_path(&descriptor)).answer(404));
        server.expect(begin("/v2/u/1"));
        server.expect(put("/v2/u/1", &descriptor, CONTENT));
        let pushed =
            remote(&server).push_blob(&descriptor, body().with_origin(source.clone())).await;
        assert_eq!(pushed.unwrap(), Pushed::Sent, "{status}");
    }
    // Without content to send, the error of the mount is returned.
    for _ in 0..5 {
        server.expect(mount(&descriptor, 500));
    }
    server.expect(Exchange::new("HEAD", blob_path(&descriptor)).answer(404));
    let mount_alone = BlobBody::mount(source.clone());
    let e = remote(&server).push_blob(&descriptor, mount_alone).await.unwrap_err();
    assert_eq!(e.status(), Some(500));
    // If the registry requests too long a wait, no further request is sent.
    server.expect(mount(&descriptor, 429).header("retry-after", "86400"));
    let e = remote(&server).push_blob(&descriptor, body().with_origin(source)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::RateLimited);
    server.finish();
}

#[tokio::test]
async fn the_requests_of_an_upload_can_be_sent_one_by_one() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(begin("/v2/u/1?state=s3cret"));
    let mut upload = remote(&server).begin_upload().await.unwrap();
    assert!(!format!("{upload:?}").contains("s3cret"));
    server.expect(patch("/v2/u/1?state=s3cret", "0-9", CONTENT).header("location", "/v2/u/2"));
    let chunk = BlobStream::new(stream::iter([Ok(Bytes::from_static(CONTENT))]));
    upload.append(chunk, 10).await.unwrap();
    assert_eq!(upload.offset(), 10);
    server.expect(Exchange::new("GET", "/v2/u/2").answer(204).header("range", "0-9"));
    assert_eq!(upload.status().await.unwrap(), Some(10));
    server.expect(put("/v2/u/2", &descriptor, b""));
    upload.finish(&descriptor.digest).await.unwrap();
    server.expect(begin("/v2/u/3"));
    server.expect(Exchange::new("DELETE", "/v2/u/3").answer(204));
    remote(&server).begin_upload().await.unwrap().cancel().await.unwrap();
    server.finish();
}
