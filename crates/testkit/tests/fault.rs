//! The fault proxy injects each requested fault, and no others.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use longshore_testkit::fault::{Fault, FaultProxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BODY: &[u8] = b"0123456789";

/// Starts a server that answers every complete request with ten bytes.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"end") {
                    if client.read_buf(&mut request).await.unwrap() == 0 {
                        return;
                    }
                }
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
                client.write_all(head.as_bytes()).await.unwrap();
                client.write_all(BODY).await.unwrap();
            });
        }
    });
    address
}

/// Sends a request. Returns the received part of the reply, and whether the connection ended
/// without an error.
async fn exchange(proxy: &FaultProxy, request: &str) -> (String, bool) {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    let clean = stream.read_to_end(&mut reply).await.is_ok();
    (String::from_utf8(reply).unwrap(), clean)
}

const GET: &str = "GET /v2/a/blobs/x HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n";
const PUT: &str = "PUT /v2/a/uploads/1 HTTP/1.1\r\nHost: x\r\n\r\nall of it to the end";

#[tokio::test]
async fn requests_without_a_fault_pass_and_are_recorded() {
    let proxy = FaultProxy::start(server().await).await;
    let (reply, clean) = exchange(&proxy, GET).await;
    assert!(clean && reply.ends_with("\r\n\r\n0123456789"), "{reply}");
    let requests = proxy.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[0].path, "/v2/a/blobs/x");
    assert_eq!(requests[0].header("range"), Some("bytes=0-"));
}

#[tokio::test]
async fn replies_are_damaged_the_requested_number_of_times() {
    let proxy = FaultProxy::start(server().await).await;
    for (fault, ending, closes) in [
        (Fault::Cut(4), "\r\n\r\n0123", true),
        (Fault::Reset(4), "\r\n\r\n0123", false),
        (Fault::Flip(4), "\r\n\r\n0123556789", true),
        (Fault::LoseReply, "", false),
    ] {
        proxy.inject("GET", "/blobs/", 2, fault);
        for _ in 0..2 {
            let (reply, clean) = exchange(&proxy, GET).await;
            assert_eq!(clean, closes, "{reply}");
            // A reset may also discard bytes that are still on the way.
            assert!(reply.ends_with(ending) || !closes, "{reply}");
        }
    }
    assert!(exchange(&proxy, GET).await.0.ends_with("0123456789"));
    assert_eq!(proxy.faults_made(), 8);
}

#[tokio::test]
async fn a_reply_is_compressed_or_only_labeled() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("GET", "/blobs/", 1, Fault::Label("x-gzip"));
    let (reply, _) = exchange(&proxy, GET).await;
    assert!(reply.contains("content-encoding: x-gzip\r\n"), "{reply}");
    assert!(reply.contains("Content-Length: 10\r\n") && reply.ends_with("0123456789"), "{reply}");

    proxy.inject("GET", "/blobs/", 1, Fault::Compress("gzip"));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    let gzip = longshore_testkit::fixture::Layer::gzip(BODY).content;
    let size = format!("\r\n\r\n{:x}\r\n", gzip.len());
    let body = [size.as_bytes(), &gzip, b"\r\n0\r\n\r\n"].concat();
    assert!(reply.ends_with(&body), "{}", String::from_utf8_lossy(&reply));
    assert!(!String::from_utf8_lossy(&reply).contains("Content-Length"));
}

#[tokio::test]
async fn a_fault_affects_only_matching_requests() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("GET", "/manifests/", 1, Fault::Cut(0));
    proxy.inject("HEAD", "/blobs/", 1, Fault::Cut(0));
    assert!(exchange(&proxy, GET).await.0.ends_with("0123456789"));
    assert_eq!(proxy.faults_made(), 0);
}

#[tokio::test]
async fn a_stalled_request_is_not_answered() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("PUT", "/uploads/", 1, Fault::StallRequest(4));
    let stalled = tokio::time::timeout(Duration::from_millis(100), exchange(&proxy, PUT)).await;
    assert!(stalled.is_err(), "{stalled:?}");
    assert_eq!(proxy.faults_made(), 1);
    assert!(exchange(&proxy, PUT).await.0.ends_with("0123456789"));
}

#[tokio::test]
async fn a_stalled_reply_keeps_the_connection_open() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("GET", "/blobs/", 1, Fault::Stall(4));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"0123") {
        stream.read_buf(&mut reply).await.unwrap();
    }
    let more = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
    assert!(more.is_err(), "{more:?}");
    drop(proxy);
    stream.read_u8().await.unwrap_err();
}

#[tokio::test]
async fn the_proxy_replies_in_place_of_the_server() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("PUT", "/uploads/", 1, Fault::Reply(503, vec![("retry-after", "0")]));
    let (reply, clean) = exchange(&proxy, PUT).await;
    assert!(clean && reply.starts_with("HTTP/1.1 503"), "{reply}");
    assert!(reply.contains("retry-after: 0\r\n"), "{reply}");
    assert!(exchange(&proxy, PUT).await.0.ends_with("0123456789"));
}

#[tokio::test]
async fn a_request_is_reset_in_the_middle_of_its_body() {
    let proxy = FaultProxy::start(server().await).await;
    proxy.inject("PUT", "/uploads/", 1, Fault::ResetRequest(3));
    let (reply, clean) = exchange(&proxy, PUT).await;
    assert_eq!((reply.as_str(), clean), ("", false));
    assert_eq!(proxy.requests().len(), 1);
}
