//! Downloads of blobs: they are verified, resumed and bounded.

use std::time::Duration;

use longshore::{Descriptor, ErrorKind, Limits, Source as _};
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, blob_path, impatient, place, quick, remote};

const CONTENT: &[u8] = b"0123456789";

fn get(descriptor: &Descriptor) -> Exchange {
    Exchange::new("GET", blob_path(descriptor))
}

/// Returns a GET of the bytes from `from` on, with a correct reply.
fn rest(descriptor: &Descriptor, from: usize) -> Exchange {
    get(descriptor)
        .with("range", format!("bytes={from}-9"))
        .answer(206)
        .header("content-range", format!("bytes {from}-9/10"))
        .body(&CONTENT[from..])
}

async fn read(server: &Script, descriptor: &Descriptor) -> longshore::Result<bytes::Bytes> {
    remote(server).blob(descriptor).await?.bytes(100).await
}

#[tokio::test]
async fn a_blob_is_downloaded_and_verified_in_one_request() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(
        get(&descriptor).with("accept-encoding", "identity").without("range").body(CONTENT),
    );
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    server.expect(get(&descriptor).body("012345678X"));
    let e = read(&server, &descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    server.expect(get(&descriptor).body("0123456789 and more"));
    let e = read(&server, &descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::SizeMismatch);
    server.finish();
}

#[tokio::test]
async fn a_broken_download_resumes_where_it_stopped() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).body(CONTENT).cut(3));
    server.expect(rest(&descriptor, 3).cut(4));
    server.expect(rest(&descriptor, 7));
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    server.finish();
}

#[tokio::test]
async fn a_download_without_a_length_that_ends_early_resumes() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    // Without a length, a closed connection looks like the end of the body.
    server.expect(get(&descriptor).header("content-length", "").body(CONTENT).cut(4));
    server.expect(rest(&descriptor, 4));
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    server.finish();
}

#[tokio::test]
async fn a_download_fails_immediately_if_the_blob_has_another_size() {
    let descriptor = blob(CONTENT);
    let chunked = "9\r\n012345678\r\n0\r\n\r\n";
    for (reply, size) in [
        (get(&descriptor).body(&CONTENT[..9]), 9),
        (get(&descriptor).body([CONTENT, b"x"].concat()), 11),
        (get(&descriptor).header("transfer-encoding", "chunked").body(chunked), 9),
    ] {
        // The wrong size is in the first reply, or in the reply to the resumed download.
        for breaks_off in [false, true] {
            let server = Script::start().await;
            if breaks_off {
                server.expect(get(&descriptor).body(CONTENT).cut(3));
            }
            server.expect(reply.clone());
            let e = read(&server, &descriptor).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::SizeMismatch);
            let message = format!("the manifest states 10 bytes, but the registry has {size}");
            assert!(e.to_string().contains(&message), "{e}");
            server.finish();
        }
    }
}

#[tokio::test]
async fn a_download_fails_immediately_if_a_range_reply_states_another_size() {
    let descriptor = blob(CONTENT);
    for (status, range, size) in
        [(206, "bytes 3-9/11", 11), (206, "bytes 3-8/9", 9), (416, "bytes */9", 9)]
    {
        let server = Script::start().await;
        server.expect(get(&descriptor).body(CONTENT).cut(3));
        let request = get(&descriptor).with("range", "bytes=3-9").answer(status);
        server.expect(request.header("content-range", range).body("XXXXXX"));
        let e = read(&server, &descriptor).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::SizeMismatch);
        let message = format!("the manifest states 10 bytes, but the registry has {size}");
        assert!(e.to_string().contains(&message), "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn a_stalled_download_resumes() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).body(CONTENT).stall(3));
    server.expect(rest(&descriptor, 3));
    let repository = impatient().build().repository(&place(&server));
    let content = repository.blob(&descriptor).await.unwrap().bytes(100).await.unwrap();
    assert_eq!(content, CONTENT);
    server.finish();
}

#[tokio::test]
async fn received_bytes_are_skipped_if_the_server_ignores_ranges() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).body(CONTENT).cut(3));
    server.expect(get(&descriptor).with("range", "bytes=3-9").body(CONTENT));
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    server.finish();
}

#[tokio::test]
async fn a_reply_with_another_range_is_not_used() {
    for wrong in ["bytes 4-9/10", "bytes */10", ""] {
        let server = Script::start().await;
        let descriptor = blob(CONTENT);
        server.expect(get(&descriptor).body(CONTENT).cut(3));
        let mut shifted = get(&descriptor).answer(206).body("XXXXXXX");
        if !wrong.is_empty() {
            shifted = shifted.header("content-range", wrong);
        }
        server.expect(shifted);
        server.expect(get(&descriptor).without("range").body(CONTENT));
        assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT, "{wrong}");
        server.finish();
    }
}

#[tokio::test]
async fn a_resumed_download_requests_the_registrys_url_again() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).answer(307).header("location", storage.url("/1?sig=a")));
    storage.expect(Exchange::new("GET", "/1?sig=a").body(CONTENT).cut(6));
    server.expect(
        get(&descriptor)
            .with("range", "bytes=6-9")
            .answer(307)
            .header("location", storage.url("/2?sig=b")),
    );
    storage.expect(
        Exchange::new("GET", "/2?sig=b")
            .with("range", "bytes=6-9")
            .answer(206)
            .header("content-range", "bytes 6-9/10")
            .body(&CONTENT[6..]),
    );
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    server.finish();
    storage.finish();
}

#[tokio::test]
async fn a_download_with_too_little_progress_fails_after_five_attempts() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).body(CONTENT).cut(1));
    for from in 1..5 {
        server.expect(rest(&descriptor, from).cut(1));
    }
    let e = read(&server, &descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
    server.finish();
}

#[tokio::test]
async fn a_partial_reply_to_a_request_without_a_range_is_refused() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server
        .expect(get(&descriptor).answer(206).header("content-range", "bytes 0-9/10").body(CONTENT));
    assert_eq!(read(&server, &descriptor).await.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn a_redirect_with_a_stalled_body_is_followed() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let moved = get(&descriptor).answer(307).header("location", "/moved");
    server.expect(moved.body("go there").stall(2));
    server.expect(Exchange::new("GET", "/moved").body(CONTENT));
    let read = tokio::time::timeout(Duration::from_secs(30), read(&server, &descriptor));
    assert_eq!(read.await.unwrap().unwrap(), CONTENT);
    server.finish();
}

#[tokio::test]
async fn parts_of_a_blob_have_exactly_the_requested_bytes() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let repository = remote(&server);
    let part = async |range| repository.blob_range(&descriptor, range).await?.bytes(100).await;
    server.expect(
        get(&descriptor)
            .with("range", "bytes=2-4")
            .answer(206)
            .header("content-range", "bytes 2-4/10")
            .body(&CONTENT[2..5]),
    );
    assert_eq!(part(2..5).await.unwrap(), "234");
    // The part is the same if the server ignores ranges.
    server.expect(get(&descriptor).body(CONTENT));
    assert_eq!(part(2..5).await.unwrap(), "234");
    // A blob of another size is refused. If a registry refuses ranges, the whole blob is requested.
    server.expect(get(&descriptor).body("0123456789 and more"));
    assert_eq!(part(0..10).await.unwrap_err().kind(), ErrorKind::SizeMismatch);
    server.expect(get(&descriptor).with("range", "bytes=2-4").answer(416));
    server.expect(get(&descriptor).without("range").body(CONTENT));
    assert_eq!(part(2..5).await.unwrap(), "234");
    assert_eq!(part(4..4).await.unwrap(), "");
    assert_eq!(part(4..11).await.unwrap_err().kind(), ErrorKind::Invalid);
    server.finish();
}

#[tokio::test]
async fn the_error_for_a_missing_blob_names_the_blob() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).answer(404));
    let e = remote(&server).blob(&descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    let shown = e.to_string();
    assert!(shown.contains(descriptor.digest.as_str()) && shown.contains("/a/b"), "{shown}");
    server.finish();
}

#[tokio::test]
async fn the_size_of_a_blob_comes_from_head_or_from_get_if_head_fails() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    let head = || Exchange::new("HEAD", blob_path(&descriptor));
    let repository = remote(&server);
    server.expect(head().body(CONTENT));
    assert_eq!(repository.blob_size(&descriptor.digest).await.unwrap(), Some(10));
    server.expect(head().answer(404));
    assert_eq!(repository.blob_size(&descriptor.digest).await.unwrap(), None);
    server.expect(head().answer(405));
    server.expect(get(&descriptor).body(CONTENT));
    assert_eq!(repository.blob_size(&descriptor.digest).await.unwrap(), Some(10));
    server.finish();
}

#[tokio::test]
async fn transient_failures_are_retried_up_to_a_limit() {
    let server = Script::start().await;
    let descriptor = blob(CONTENT);
    server.expect(get(&descriptor).answer(503));
    server.expect(get(&descriptor).answer(429).header("retry-after", "0"));
    server.expect(get(&descriptor).hang_up(0));
    server.expect(get(&descriptor).body(CONTENT));
    assert_eq!(read(&server, &descriptor).await.unwrap(), CONTENT);
    for _ in 0..5 {
        server.expect(get(&descriptor).answer(500));
    }
    let e = read(&server, &descriptor).await.unwrap_err();
    assert_eq!((e.kind(), e.status()), (ErrorKind::Transport, Some(500)));
    server.expect(get(&descriptor).answer(429).header("retry-after", "86400"));
    let e = read(&server, &descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::RateLimited);
    assert!(e.to_string().contains("86400 seconds"), "{e}");
    server.finish();
}

#[tokio::test]
async fn a_timeout_names_the_server_and_the_time_limit() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut limits = Limits::default();
    limits.response = Duration::from_millis(200);
    let client = quick().limits(limits).build();
    let repository = client.repository(&format!("{address}/a/b").parse().unwrap());
    let e = repository.tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    let shown = e.to_string();
    assert!(shown.contains(&address.to_string()) && shown.contains("200ms"), "{shown}");
    drop(listener);

    let repository = quick().build().repository(&format!("{address}/a/b").parse().unwrap());
    let e = repository.tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
    assert!(e.to_string().contains(&address.to_string()), "{e}");
}
