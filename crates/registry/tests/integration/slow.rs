//! Slow clients over TCP.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use longshore_core::Digest;
use longshore_registry::{Registry, RegistryLimits};
use longshore_testkit::frames::{CANCEL, Connection, REFUSED_STREAM};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, Manifest};
use crate::wire::{END, Server, start};

/// Counts the open blob files of this process below a folder.
#[cfg(target_os = "linux")]
fn open_files(root: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(root.join("blobs"))).count()
}

/// Returns limits that require a client to read a body at 20,000 bytes per second or faster.
fn hasty() -> RegistryLimits {
    let mut limits = RegistryLimits::default();
    (limits.body_window, limits.body_rate) = (Duration::from_secs(1), 20_000);
    limits
}

/// Starts a server on a folder with a blob. Returns the server and the path of the blob.
async fn with_blob(folder: &TempDir, limits: RegistryLimits, blob: &[u8]) -> (Server, String) {
    let server = start(Registry::builder().disk(folder.path()).limits(limits)).await;
    let digest = Client { registry: server.registry().clone() }.push_blob("a", blob).await;
    (server, format!("/v2/a/blobs/{digest}"))
}

fn noise(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// Simulates an attack: many streams whose flow-control window stays closed.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn streams_with_a_closed_window_hold_no_open_files_and_are_reset() {
    let folder = TempDir::new().unwrap();
    let (server, path) = with_blob(&folder, hasty(), &noise(1 << 20)).await;
    let mut connections = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(server.address, 0).await;
        for i in 0..40 {
            connection.get(2 * i + 1, &path).await;
        }
        connections.push(connection);
    }
    for connection in &mut connections {
        connection
            .read_until(|received| received.answered.len() == 32 && received.reset.len() >= 8)
            .await;
        let refused =
            connection.received.reset.values().filter(|reason| **reason == REFUSED_STREAM);
        assert_eq!(refused.count(), 8);
        assert!(connection.received.data.is_empty());
    }
    assert_eq!(open_files(folder.path()), 0);
    for connection in &mut connections {
        connection.read_until(|received| received.reset.len() == 40).await;
        assert_eq!(
            connection.received.reset.values().filter(|reason| **reason == CANCEL).count(),
            32
        );
        // The connection still works.
        connection.get(81, &path).await;
        connection.increase_window(81, 1 << 20).await;
        connection.increase_window(0, 1 << 20).await;
        connection.read_until(|received| received.ended.contains(&81)).await;
        assert_eq!(connection.received.data[&81], noise(1 << 20));
    }
    drop(connections);
    server.stop().await;
}

/// A waiting stream closes its file, and later continues at the same offset.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stream_that_waits_for_its_window_holds_no_open_file() {
    let folder = TempDir::new().unwrap();
    let mut limits = RegistryLimits::default();
    limits.open_files = NonZeroUsize::MIN;
    let blob = noise(1 << 20);
    let (server, path) = with_blob(&folder, limits, &blob).await;
    let mut connection = Connection::open(server.address, 1_000).await;
    connection.get(1, &path).await;
    connection
        .read_until(|received| received.data.get(&1).is_some_and(|data| data.len() == 1_000))
        .await;
    // The limit is one open file, so this request succeeds only if the waiting stream has closed
    // its file.
    let whole = server.exchange(format!("GET {path} HTTP/1.1\r\n{END}")).await;
    assert!(whole.starts_with("HTTP/1.1 200 "), "{}", &whole[..100]);
    assert_eq!(open_files(folder.path()), 0);
    connection.increase_window(0, 1 << 20).await;
    connection.increase_window(1, 1 << 20).await;
    connection.read_until(|received| received.ended.contains(&1)).await;
    assert!(connection.received.data[&1] == blob);
    drop(connection);
    server.stop().await;
}

/// The windows limit the bytes that a client can send before its request is served. These bytes are
/// held in memory.
#[tokio::test]
async fn the_receive_windows_are_at_most_two_mebibytes() {
    let server = start(Registry::builder()).await;
    let mut connection = Connection::open(server.address, 1 << 16).await;
    connection.get(1, "/v2/").await;
    connection.read_until(|received| received.answered.contains(&1)).await;
    assert!(connection.received.stream_window.is_some_and(|window| window <= 1 << 20));
    assert!(65_535 + connection.received.connection_window <= 2 << 20, "{:?}", connection.received);
    drop(connection);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_reset_only_if_it_is_read_below_the_required_rate() {
    let folder = TempDir::new().unwrap();
    let blob = noise(150_000);
    let (server, path) = with_blob(&folder, hasty(), &blob).await;
    let mut connection = Connection::open(server.address, 0).await;
    for stream in [1, 3] {
        connection.get(stream, &path).await;
    }
    connection.increase_window(0, 1 << 20).await;
    // Stream 1 is read at 2,000 bytes per second, and stream 3 at 100,000.
    while !connection.received.ended.contains(&3) || connection.received.reset.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.increase_window(1, 200).await;
        connection.increase_window(3, 10_000).await;
        // A response to this request shows that all earlier frames have arrived.
        let next = 5 + 2 * u32::try_from(connection.received.answered.len()).unwrap();
        connection.get(next, "/v2/").await;
        connection.increase_window(next, 100).await;
        connection.read_until(|received| received.ended.contains(&next)).await;
        assert!(next < 1_000, "{:?}", connection.received.reset);
    }
    assert_eq!(connection.received.reset.get(&1), Some(&CANCEL));
    assert!(connection.received.data[&3] == blob);
    drop(connection);
    server.stop().await;
}

/// Reads `size` bytes of a response every 20 ms for 3 s, and then the rest without pauses. Returns
/// the number of received bytes.
async fn take(server: &Server, path: &str, size: usize) -> usize {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{END}").as_bytes()).await.unwrap();
    let (mut buffer, mut taken) = (vec![0; size], 0);
    for turn in 0.. {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return taken,
            Ok(n) => taken += n,
        }
        match turn {
            0..150 => tokio::time::sleep(Duration::from_millis(20)).await,
            // Read the rest without pauses.
            _ => buffer.resize(1 << 20, 0),
        }
    }
    taken
}

#[tokio::test]
async fn a_response_is_aborted_only_if_it_is_read_below_the_required_rate() {
    let folder = TempDir::new().unwrap();
    let size = 24 << 20;
    let mut limits = hasty();
    // The operating system buffers some megabytes for the client, in chunks of 64 KiB.
    limits.body_rate = 500_000;
    let (server, path) = with_blob(&folder, limits, &noise(size)).await;
    let (very_slow, slow) = tokio::join!(take(&server, &path, 500), take(&server, &path, 200_000));
    assert!(very_slow < size, "{very_slow}");
    assert!(slow > size, "{slow}");
    server.stop().await;
}

/// Large documents are generated again after each wait. Small documents stay in memory.
#[tokio::test]
async fn documents_are_complete_even_for_slow_clients() {
    let folder = TempDir::new().unwrap();
    let server = start(Registry::builder().disk(folder.path())).await;
    let client = Client { registry: server.registry().clone() };
    client.push_blob("a", b"{}").await;
    let padding = format!(r#","annotations":{{"x":"{}"}}"#, "y".repeat(300_000));
    let large = Manifest::image_with(&[], &padding);
    client.put_manifest("a", "large", &large).await.expect(201);
    let subject = Digest::sha256(b"subject");
    for i in 0..40 {
        let more = format!(
            r#","subject":{{"mediaType":"{}","digest":"{subject}","size":7}},"annotations":{{"{i}":"{}"}}"#,
            large.media_type,
            "z".repeat(3_000)
        );
        let referrer = Manifest::image_with(&[], &more);
        let at = referrer.digest().to_string();
        client.put_manifest("a", &at, &referrer).await.expect(201);
    }
    let referrers = client.get(&format!("/v2/a/referrers/{subject}")).await.expect(200).body;
    assert!(referrers.len() > 100_000, "{}", referrers.len());

    let mut connection = Connection::open(server.address, 70_000).await;
    connection.increase_window(0, 1 << 30).await;
    connection.get(1, "/v2/a/manifests/large").await;
    connection.get(3, &format!("/v2/a/referrers/{subject}")).await;
    connection.get(5, "/v2/a/tags/list").await;
    let has_first = |data: Option<&Vec<u8>>| data.is_some_and(|data| data.len() == 70_000);
    connection
        .read_until(|received| [1, 3].iter().all(|stream| has_first(received.data.get(stream))))
        .await;
    // Wait longer than a stream holds a document that can be generated again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    connection.increase_window(1, 1 << 20).await;
    connection.increase_window(3, 1 << 20).await;
    connection.read_until(|received| received.ended.len() == 3).await;
    let data = &connection.received.data;
    assert!(data[&1] == large.json.as_bytes());
    assert!(data[&3] == referrers);
    assert_eq!(data[&5], br#"{"name":"a","tags":["large"]}"#);
    drop(connection);
    server.stop().await;
}

/// A client that cancels its requests immediately loses at most its connection. Other clients are
/// served.
#[tokio::test]
async fn streams_that_are_reset_immediately_do_not_affect_other_clients() {
    let folder = TempDir::new().unwrap();
    let (server, path) = with_blob(&folder, RegistryLimits::default(), &noise(1 << 20)).await;
    let address = server.address;
    let flood = tokio::spawn(async move {
        let mut connection = Connection::open(address, 65_535).await;
        for i in 0..3_000 {
            connection.get(2 * i + 1, &path).await;
            connection.reset(2 * i + 1).await;
        }
    });
    let answer = server.exchange(format!("GET /v2/ HTTP/1.1\r\n{END}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // The server may have closed the connection.
    flood.await.ok();
    server.stop().await;
}

#[tokio::test]
async fn a_connection_beyond_the_limit_waits_for_another_to_close() {
    let mut limits = RegistryLimits::default();
    limits.connections = NonZeroUsize::MIN;
    let server = start(Registry::builder().limits(limits)).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first.write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(first.read(&mut [0; 1_000]).await.unwrap() > 0);
    let request = format!("GET /v2/ HTTP/1.1\r\n{END}");
    let mut second = Box::pin(server.exchange(request));
    tokio::time::timeout(Duration::from_millis(200), &mut second).await.unwrap_err();
    drop(first);
    assert!((&mut second).await.starts_with("HTTP/1.1 200 "));
    drop(second);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_kept_open_for_a_limited_time() {
    tokio::time::pause();
    let server = start(Registry::builder()).await;
    let mut connection = Connection::open(server.address, 65_535).await;
    for stream in [1, 3, 5] {
        connection.get(stream, "/v2/").await;
        connection.read_until(|received| received.ended.contains(&stream)).await;
        tokio::time::sleep(Duration::from_secs(95)).await;
    }
    let slept = tokio::time::Instant::now();
    connection.read_to_end().await;
    assert!(slept.elapsed() <= Duration::from_secs(15), "{:?}", slept.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn an_open_stream_is_completed_before_the_server_ends() {
    let folder = TempDir::new().unwrap();
    let blob = noise(100_000);
    let (server, path) = with_blob(&folder, RegistryLimits::default(), &blob).await;
    let mut connection = Connection::open(server.address, 1_000).await;
    connection.get(1, &path).await;
    connection.read_until(|received| received.data.contains_key(&1)).await;
    let stopping = server.begin_to_stop().await;
    connection.increase_window(0, 1 << 20).await;
    connection.increase_window(1, 1 << 20).await;
    connection.read_to_end().await;
    assert_eq!(connection.received.ended, [1]);
    assert!(connection.received.data[&1] == blob);
    stopping.await.unwrap();
}
