//! Custom listeners: connections that are not ready for HTTP when they are accepted.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::uri::Scheme;
use longshore_registry::{Accepted, Listener, Registry, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

/// A listener whose connections come from the test.
struct Queue(Mutex<mpsc::UnboundedReceiver<Accepted<DuplexStream>>>);

impl Listener for Queue {
    type Stream = DuplexStream;

    async fn accept(&self) -> io::Result<Accepted<DuplexStream>> {
        let next = self.0.lock().await.recv().await;
        next.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

fn accepted(
    opening: impl Future<Output = io::Result<DuplexStream>> + Send + 'static,
) -> Accepted<DuplexStream> {
    let peer = "192.0.2.1:1".parse().unwrap();
    Accepted { peer, scheme: Scheme::HTTPS, opening: opening.boxed() }
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_handshake_does_not_delay_the_shutdown() {
    let (hand_in, queue) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let registry = Registry::builder().build().unwrap();
    let shutdown = async { drop(stopped.await) };
    let server = tokio::spawn(serve(Queue(Mutex::new(queue)), registry, shutdown));
    let (begin, begun) = oneshot::channel();
    let unfinished = accepted(async {
        begin.send(()).unwrap();
        std::future::pending().await
    });
    hand_in.send(unfinished).unwrap();
    begun.await.unwrap();
    let started = Instant::now();
    drop(stop);
    server.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_handshake_does_not_block_other_connections_and_times_out() {
    let (hand_in, queue) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let registry = Registry::builder().build().unwrap();
    let shutdown = async { drop(stopped.await) };
    let server = tokio::spawn(serve(Queue(Mutex::new(queue)), registry, shutdown));

    let (guard, dropped) = oneshot::channel::<()>();
    let unfinished = accepted(async {
        let _held = guard;
        std::future::pending().await
    });
    hand_in.send(unfinished).unwrap();
    let broken = accepted(async { Err(io::ErrorKind::InvalidData.into()) });
    hand_in.send(broken).unwrap();
    let (near, mut far) = tokio::io::duplex(1 << 10);
    hand_in.send(accepted(async { Ok(near) })).unwrap();

    let started = Instant::now();
    far.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    far.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    dropped.await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 10);
    drop(stop);
    server.await.unwrap().unwrap();
}
