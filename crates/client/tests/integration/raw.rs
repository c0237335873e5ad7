//! Replies that violate HTTP. Each reply must cause an error within a limited time.

use std::time::Duration;

use longshore::{
    Client, ErrorKind, Limits, Node, Presence, RemoteRepository, Result, Source as _, Target as _,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::{blob, quick};

/// Returns a repository at a server that answers every request with `reply`, endlessly repeated if
/// `endless`. The server runs until the second returned value is dropped.
async fn serve(reply: Vec<u8>, endless: bool) -> (RemoteRepository, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(answer(stream, reply.clone(), endless));
        }
    });
    (client().repository(&format!("{address}/a/b").parse().unwrap()), server)
}

/// Requests the tags from such a server, and returns their number.
async fn request(reply: Vec<u8>, endless: bool) -> Result<usize> {
    let (repository, _server) = serve(reply, endless).await;
    let listing = repository.tags(None).all();
    let result = tokio::time::timeout(Duration::from_secs(30), listing).await;
    result.unwrap().map(|tags| tags.len())
}

fn client() -> Client {
    let mut limits = Limits::default();
    limits.response = Duration::from_secs(1);
    limits.idle = Duration::from_secs(1);
    quick().limits(limits).build()
}

async fn answer(mut stream: TcpStream, reply: Vec<u8>, endless: bool) {
    let _ = stream.read(&mut [0; 4096]).await;
    while stream.write_all(&reply).await.is_ok() && endless {}
    let _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_reply_that_violates_http_is_an_error() {
    let body = "{\"tags\":[\"v1\"]}";
    let length = format!("Content-Length: {}\r\n", body.len());
    let with = |head: &str| format!("{head}\r\n{body}");
    let many = "x: y\r\n".repeat(10_000);
    let long = "x".repeat(1 << 20);
    for (reply, endless) in [
        (with(&format!("HTTP/9.9 200 OK\r\n{length}")), false),
        (with(&format!("200\r\n{length}")), false),
        (with(&format!("HTTP/1.1 99 x\r\n{length}")), false),
        (with(&format!("HTTP/1.1 1000 x\r\n{length}")), false),
        (with(&format!("HTTP/1.1 200 OK\r\nno colon\r\n{length}")), false),
        (with(&format!("HTTP/1.1 200 OK\r\na b: c\r\n{length}")), false),
        (with(&format!("HTTP/1.1 200 OK\r\na: b\0c\r\n{length}")), false),
        (with(&format!("HTTP/1.1 200 OK\r\n{many}{length}")), false),
        (with(&format!("HTTP/1.1 200 OK\r\nx: {long}\r\n{length}")), false),
        (with("HTTP/1.1 200 OK\r\nContent-Length: +15\r\n"), false),
        (with("HTTP/1.1 200 OK\r\nContent-Length: -15\r\n"), false),
        (with("HTTP/1.1 200 OK\r\nContent-Length: 15\r\nContent-Length: 16\r\n"), false),
        (with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"), false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{\"tags\":[\"v1\"]}\r\n"
                .into(),
            false,
        ),
        (format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{long}\r\n"), false),
        ("HTTP/1.1 100 Continue\r\n\r\n".to_owned(), true),
        ("HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".to_owned(), true),
        ("HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n".to_owned(), false),
        (with("HTTP/1.1 204 No Content\r\n"), false),
        (String::new(), false),
    ] {
        let e = request(reply.clone().into_bytes(), endless).await.unwrap_err();
        let shown: String = reply.chars().take(80).collect();
        let kinds = [ErrorKind::Transport, ErrorKind::Protocol, ErrorKind::Timeout];
        assert!(kinds.contains(&e.kind()), "{shown:?}: {e:?}");
        assert!(e.to_string().contains("127.0.0.1"), "{e}");
    }
}

#[tokio::test]
async fn a_blob_of_unknown_size_does_not_count_as_existing() {
    let reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let (repository, _server) = serve(reply.to_vec(), false).await;
    let descriptor = blob(b"x");
    let held = repository.holds(Node::Blob(&descriptor)).await.unwrap();
    assert_eq!(held, Presence::Absent);
    let e = repository.blob_size(&descriptor.digest).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol);
}
