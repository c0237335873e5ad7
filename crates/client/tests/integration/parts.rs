//! Downloads of large blobs in parts over several connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longshore::{Descriptor, ErrorKind, RemoteRepository, Source as _, Target as _};
use longshore_registry::Registry;
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::random;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::embedded::start;
use crate::{blob, quick};

/// A registry behind a proxy that records requests, and a proxy that limits each connection.
struct Setting {
    proxy: FaultProxy,
    most: Arc<AtomicUsize>,
    repository: RemoteRepository,
    content: Bytes,
    descriptor: Descriptor,
    _stop: longshore_registry::TestRegistry,
}

impl Setting {
    async fn new() -> Self {
        let (address, _stop) = start(Registry::builder().memory()).await;
        let content = random::bytes(7, SIZE);
        let descriptor = blob(&content);
        let direct = quick().build().repository(&format!("{address}/a/b").parse().unwrap());
        direct.push_blob(&descriptor, content.clone().into()).await.unwrap();
        let proxy = FaultProxy::start(address).await;
        let most = Arc::new(AtomicUsize::new(0));
        let slow = throttle(proxy.address(), Arc::clone(&most)).await;
        let repository = quick().build().repository(&format!("{slow}/a/b").parse().unwrap());
        Self { proxy, most, repository, content, descriptor, _stop }
    }

    async fn pull(&self) -> longshore::Result<()> {
        let reader = self.repository.blob(&self.descriptor).await?;
        assert_eq!(reader.bytes(SIZE).await?, self.content);
        Ok(())
    }

    /// Returns the ranges of the requests for the blob.
    fn ranges(&self) -> Vec<Option<String>> {
        let requests = self.proxy.requests().into_iter();
        let of_blob = requests.filter(|r| r.method == "GET" && r.path.contains("/blobs/"));
        of_blob.map(|r| r.header("range").map(str::to_owned)).collect()
    }
}

/// Starts a proxy that passes on the replies of each connection at a limited rate, and counts the
/// connections that are open at a time.
async fn throttle(server: SocketAddr, most: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (open, most) = (Arc::clone(&open), Arc::clone(&most));
            tokio::spawn(async move {
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                pass_on(client, server).await.ok();
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    address
}

async fn pass_on(mut client: TcpStream, server: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let replies = async {
        let mut buffer = vec![0; RATE / 100];
        loop {
            let n = from_server.read(&mut buffer).await?;
            if n == 0 {
                return to_client.shutdown().await;
            }
            to_client.write_all(&buffer[..n]).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let requests = async { tokio::io::copy(&mut from_client, &mut to_server).await.map(drop) };
    tokio::try_join!(replies, requests).map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_blob_is_downloaded_in_parts_if_each_connection_is_slow() {
    let setting = Setting::new().await;
    setting.pull().await.unwrap();
    let ranges = setting.ranges();
    assert_eq!(ranges[0], None, "the download begins with one request for the whole blob");
    assert!(ranges.len() > 4 && ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    let most = setting.most.load(Ordering::SeqCst);
    assert!((3..=9).contains(&most), "{most} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_is_downloaded_over_one_connection_if_a_part_fails() {
    for fault in [Fault::Reply(416, Vec::new()), Fault::Reply(403, Vec::new()), Fault::Reset(9)] {
        let setting = Setting::new().await;
        setting.proxy.inject_after("GET", "/blobs/", 2, 1, fault);
        setting.pull().await.unwrap();
        assert_eq!(setting.proxy.faults_made(), 1);
        let ranges = setting.ranges();
        let last = ranges.last().unwrap().as_deref().unwrap();
        assert!(last.ends_with(&format!("-{}", SIZE - 1)), "{ranges:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_byte_in_a_part_is_found() {
    let setting = Setting::new().await;
    setting.proxy.inject_after("GET", "/blobs/", 2, 1, Fault::Flip(1000));
    let e = setting.pull().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    assert_eq!(setting.proxy.faults_made(), 1);
}

/// 80 MiB: after half a second at the limited rate, the rest is large enough for parts.
const SIZE: usize = 80 << 20;
/// 16 MiB per second and connection: so slow that the network is the bottleneck on a busy machine,
/// too.
const RATE: usize = 16 << 20;
