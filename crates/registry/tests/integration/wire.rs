//! Behavior that is visible only over TCP.

use std::net::SocketAddr;
use std::time::Duration;

use longshore_core::Digest;
use longshore_registry::{Registry, RegistryBuilder, TestRegistry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    registry: TestRegistry,
}

pub(crate) async fn start(registry: RegistryBuilder) -> Server {
    let registry = TestRegistry::start_with(|_| registry).await.unwrap();
    Server { address: registry.address(), registry }
}

impl Server {
    pub(crate) fn registry(&self) -> &Registry {
        self.registry.registry()
    }

    /// Sends bytes, leaves the connection open, and reads until the server closes it.
    pub(crate) async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut reply = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut reply));
        read.await.unwrap().ok();
        String::from_utf8_lossy(&reply).into_owned()
    }

    pub(crate) async fn stop(self) {
        self.registry.stop().await.unwrap();
    }

    /// Starts the shutdown, and waits until the server accepts no more connections. The returned
    /// task ends with the server.
    pub(crate) async fn begin_to_stop(self) -> JoinHandle<()> {
        let address = self.address;
        let stopping = tokio::spawn(self.stop());
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!stopping.is_finished(), "the server did not wait for the open request");
        stopping
    }
}

pub(crate) const END: &str = "Host: x\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn a_blob_is_pushed_and_pulled_over_a_connection() {
    let server = start(Registry::builder()).await;
    let digest = Digest::sha256(b"hello");
    let post = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nContent-Length: 5\r\n{END}hello"
    );
    let reply = server.exchange(post).await;
    assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
    let reply = server.exchange(format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\n{END}")).await;
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    let reply = server.exchange(format!("HEAD /v2/a/blobs/{digest} HTTP/1.1\r\n{END}")).await;
    assert!(reply.contains("content-length: 5\r\n") && reply.ends_with("\r\n\r\n"), "{reply}");
    // Chunked encoding, without a length.
    let patch = format!("POST /v2/a/blobs/uploads/ HTTP/1.1\r\n{END}");
    let reply = server.exchange(patch).await;
    let location = reply.lines().find_map(|l| l.strip_prefix("location: ")).unwrap();
    let patch = format!(
        "PATCH {location} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{END}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
    );
    let reply = server.exchange(patch).await;
    assert!(reply.starts_with("HTTP/1.1 202 ") && reply.contains("range: 0-4"), "{reply}");
    let put = format!("PUT {location}?digest={digest} HTTP/1.1\r\nContent-Length: 0\r\n{END}");
    assert!(server.exchange(put).await.starts_with("HTTP/1.1 201 "));
    server.stop().await;
}

#[tokio::test]
async fn malformed_requests_are_refused_and_their_connections_closed() {
    let server = start(Registry::builder()).await;
    let get = "GET /v2/ HTTP/1.1\r\n";
    let put = "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: x\r\n";
    let long = "x".repeat(65 << 10);
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        (format!("GET /v2/../x HTTP/1.1\r\n{END}"), 404),
        (format!("{put}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 400),
        (format!("{put}Content-Length: -1\r\n\r\n"), 400),
        (format!("{put}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{put}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n"), 400),
        (format!("{put}Transfer-Encoding: xchunked\r\n\r\n"), 400),
        (format!("{put}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n"), 400),
        (format!("{get}Host: x\r\n folded: y\r\n\r\n"), 400),
        (format!("{get}\r\n"), 400),
        (format!("{get}Host: x\r\nHost: y\r\n\r\n"), 400),
        (format!("{get}Host: x\r\n{}\r\n", "x-y: z\r\n".repeat(101)), 431),
        (format!("{get}x: {long}\r\n{END}"), 431),
        (format!("GET /v2/{} HTTP/1.1\r\n{END}", &long[..20 << 10]), 414),
        (format!("CONNECT a:1 HTTP/1.1\r\n{END}"), 404),
    ] {
        let reply = server.exchange(&request).await;
        let shown = &request[..request.len().min(80)];
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{shown}: {reply}");
    }
    assert!(server.exchange(format!("GET /v2/ HTTP/1.1\r\n{END}")).await.contains(" 200 "));
    server.stop().await;
}

/// A request that a proxy and the registry could parse differently gets status 400. No later
/// request on its connection is answered.
#[tokio::test]
async fn requests_with_ambiguous_framing_are_refused_and_their_connections_closed() {
    let server = start(Registry::builder()).await;
    let put = "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: x\r\n";
    let chunked = format!("{put}Transfer-Encoding: chunked\r\n\r\n");
    let next = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [
        format!("{put}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{put}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("{put}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{put}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        format!("{put}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{put}Content-Length: 4,4\r\n\r\nabcd"),
        format!("{put}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
        format!("{put}Content-Length: +4\r\n\r\nabcd"),
        format!("{put}Content-Length : 4\r\n\r\nabcd"),
        format!("{put}X: 1\r\n folded\r\n\r\n"),
        format!("{put}X: a\0b\r\n\r\n"),
        format!("{put}X: 1\nY: 2\r\n\r\n"),
        "GET /v2/ HTTP/1.1\nHost: x\n\n".to_owned(),
        "GET /v2/ HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
        format!("{chunked}5 \r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}5\nhello\r\n0\r\n\r\n"),
        format!("{chunked}5\r\nhello\n0\r\n\r\n"),
        format!("{chunked}5\r\nhello\r\n0\n\n"),
    ] {
        let reply = server.exchange(format!("{request}{next}")).await;
        assert!(reply.starts_with("HTTP/1.1 400 "), "{request:?}: {reply}");
        assert!(reply.contains("connection: close\r\n"), "{request:?}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{request:?}: {reply}");
    }
    server.stop().await;
}

/// Requests before an ambiguous request on the same connection are answered normally.
#[tokio::test]
async fn requests_before_an_ambiguous_request_are_answered() {
    let server = start(Registry::builder()).await;
    let good = "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let ambiguous = "GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4,4\r\n\r\nabcd";
    let reply = server.exchange(format!("{good}{good}{ambiguous}{good}")).await;
    let statuses = reply.match_indices("HTTP/1.1 ").map(|(at, _)| &reply[at + 9..at + 12]);
    assert_eq!(statuses.collect::<Vec<_>>(), ["200", "200", "400"], "{reply}");
    server.stop().await;
}

/// Valid chunked bodies are accepted across several reads. An error in the framing of a body is
/// found even if it arrives in a later read.
#[tokio::test]
async fn framing_is_checked_across_reads_and_requests() {
    let server = start(Registry::builder()).await;
    let upload =
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let good = format!("{upload}5\r\nhello\r\n0\r\n\r\n");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let pipelined = format!("{good}{good}GET /v2/ HTTP/1.1\r\n{END}");
    for part in pipelined.as_bytes().chunks(7) {
        stream.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert_eq!((reply.matches(" 202 ").count(), reply.matches(" 200 ").count()), (2, 1), "{reply}");

    let put =
        "PUT /v2/a/manifests/v HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab";
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(put.as_bytes()).await.unwrap();
    server.exchange(format!("GET /v2/ HTTP/1.1\r\n{END}")).await;
    stream.write_all(b"\n0\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    server.stop().await;
}

/// A client that is refused early can still read the reason.
#[tokio::test]
async fn an_early_refusal_reaches_a_client_that_is_still_sending() {
    let server = start(Registry::builder()).await;
    let id = "0123456789abcdef0123456789abcdef";
    let size = 8 << 20;
    let head =
        format!("PATCH /v2/a/blobs/uploads/{id} HTTP/1.1\r\nContent-Length: {size}\r\n{END}");
    for _ in 0..5 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![0; size]).await.expect("the server continues to read");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 404 "), "{reply}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_complete_head_times_out() {
    tokio::time::pause();
    let server = start(Registry::builder()).await;
    let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for begun in ["", "G", "GET /v2/ HT", "PRI * HT", http2] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let started = tokio::time::Instant::now();
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).await.ok();
        let waited = started.elapsed();
        assert!(waited <= Duration::from_secs(15), "{begun:?}: {waited:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_is_kept_open_for_a_limited_time() {
    tokio::time::pause();
    let server = start(Registry::builder()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut reply = vec![0; 4096];
        let size = stream.read(&mut reply).await.unwrap();
        assert!(reply[..size].starts_with(b"HTTP/1.1 200 "), "{size} bytes");
        tokio::time::sleep(Duration::from_secs(95)).await;
    }
    let slept = tokio::time::Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty());
    assert!(slept.elapsed() <= Duration::from_secs(15), "{:?}", slept.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn an_open_request_is_completed_before_the_server_ends() {
    let server = start(Registry::builder()).await;
    let digest = Digest::sha256(b"hello");
    let head = format!(
        "POST /v2/a/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe"
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server has answered a later request, so it has also accepted the first connection.
    server.exchange(format!("GET /v2/ HTTP/1.1\r\n{END}")).await;
    let stopping = server.begin_to_stop().await;
    stream.write_all(b"llo").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 201 "), "{reply}");
    stopping.await.unwrap();
}
