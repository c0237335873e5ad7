//! Over TCP: clients that take their time over what they asked for.

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

/// How many files below a folder this process has open.
#[cfg(target_os = "linux")]
fn open_files(root: &Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
    targets.filter(|target| target.starts_with(root.join("blobs"))).count()
}

/// A body is to take at least 20,000 bytes in each second.
fn hasty() -> RegistryLimits {
    let mut limits = RegistryLimits::default();
    (limits.body_window, limits.body_rate) = (Duration::from_secs(1), 20_000);
    limits
}

/// A server on a folder, with a blob; and where the blob is.
async fn with_blob(folder: &TempDir, limits: RegistryLimits, blob: &[u8]) -> (Server, String) {
    let server = start(Registry::builder().disk(folder.path()).limits(limits)).await;
    let digest = Client { registry: server.registry().clone() }.push_blob("a", blob).await;
    (server, format!("/v2/a/blobs/{digest}"))
}

fn noise(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

/// The attack: many streams, and no room on any of them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn streams_without_room_hold_nothing_and_end() {
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
        connection.read_until(|came| came.answered.len() == 32 && came.reset.len() >= 8).await;
        let refused = connection.came.reset.values().filter(|reason| **reason == REFUSED_STREAM);
        assert_eq!(refused.count(), 8);
        assert!(connection.came.data.is_empty());
    }
    assert_eq!(open_files(folder.path()), 0);
    for connection in &mut connections {
        connection.read_until(|came| came.reset.len() == 40).await;
        assert_eq!(connection.came.reset.values().filter(|reason| **reason == CANCEL).count(), 32);
        // The connection is as good as before.
        connection.get(81, &path).await;
        connection.make_room(81, 1 << 20).await;
        connection.make_room(0, 1 << 20).await;
        connection.read_until(|came| came.ended.contains(&81)).await;
        assert_eq!(connection.came.data[&81], noise(1 << 20));
    }
    drop(connections);
    server.stop().await;
}

/// A stream that waits gives its file back, and goes on where it was.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stream_that_waits_for_room_keeps_no_file_open() {
    let folder = TempDir::new().unwrap();
    let mut limits = RegistryLimits::default();
    limits.open_files = NonZeroUsize::MIN;
    let blob = noise(1 << 20);
    let (server, path) = with_blob(&folder, limits, &blob).await;
    let mut connection = Connection::open(server.address, 1_000).await;
    connection.get(1, &path).await;
    connection.read_until(|came| came.data.get(&1).is_some_and(|data| data.len() == 1_000)).await;
    // There is one file for all, so this has to wait for it.
    let whole = server.exchange(format!("GET {path} HTTP/1.1\r\n{END}")).await;
    assert!(whole.starts_with("HTTP/1.1 200 "), "{}", &whole[..100]);
    assert_eq!(open_files(folder.path()), 0);
    connection.make_room(0, 1 << 20).await;
    connection.make_room(1, 1 << 20).await;
    connection.read_until(|came| came.ended.contains(&1)).await;
    assert!(connection.came.data[&1] == blob);
    drop(connection);
    server.stop().await;
}

/// What is sent before a request's turn comes is in memory until then.
#[tokio::test]
async fn a_connection_may_send_little_ahead() {
    let server = start(Registry::builder()).await;
    let mut connection = Connection::open(server.address, 1 << 16).await;
    connection.get(1, "/v2/").await;
    connection.read_until(|came| came.answered.contains(&1)).await;
    assert!(connection.came.stream_window.is_some_and(|window| window <= 1 << 20));
    assert!(65_535 + connection.came.connection_room <= 2 << 20, "{:?}", connection.came);
    drop(connection);
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_taken_too_slowly_ends_and_a_slow_one_does_not() {
    let folder = TempDir::new().unwrap();
    let blob = noise(150_000);
    let (server, path) = with_blob(&folder, hasty(), &blob).await;
    let mut connection = Connection::open(server.address, 0).await;
    for stream in [1, 3] {
        connection.get(stream, &path).await;
    }
    connection.make_room(0, 1 << 20).await;
    // 2,000 and 100,000 bytes in each second.
    while !connection.came.ended.contains(&3) || connection.came.reset.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.make_room(1, 200).await;
        connection.make_room(3, 10_000).await;
        // An answer to a request marks that all before it is there.
        let next = 5 + 2 * u32::try_from(connection.came.answered.len()).unwrap();
        connection.get(next, "/v2/").await;
        connection.make_room(next, 100).await;
        connection.read_until(|came| came.ended.contains(&next)).await;
        assert!(next < 1_000, "{:?}", connection.came.reset);
    }
    assert_eq!(connection.came.reset.get(&1), Some(&CANCEL));
    assert!(connection.came.data[&3] == blob);
    drop(connection);
    server.stop().await;
}

/// How many bytes of an answer come to a client that takes `size` bytes every 20 ms, for 3 s.
async fn take(server: &Server, path: &str, size: usize) -> usize {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{END}").as_bytes()).await.unwrap();
    let (mut piece, mut taken) = (vec![0; size], 0);
    for turn in 0.. {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return taken,
            Ok(n) => taken += n,
        }
        match turn {
            0..150 => tokio::time::sleep(Duration::from_millis(20)).await,
            // What came until then.
            _ => piece.resize(1 << 20, 0),
        }
    }
    taken
}

#[tokio::test]
async fn an_answer_that_is_taken_too_slowly_ends_and_a_slow_one_does_not() {
    let folder = TempDir::new().unwrap();
    let size = 24 << 20;
    let mut limits = hasty();
    // The system takes some megabytes for the client, in pieces of 64 KiB.
    limits.body_rate = 500_000;
    let (server, path) = with_blob(&folder, limits, &noise(size)).await;
    let (dawdling, slow) = tokio::join!(take(&server, &path, 500), take(&server, &path, 200_000));
    assert!(dawdling < size, "{dawdling}");
    assert!(slow > size, "{slow}");
    server.stop().await;
}

/// Large documents are made again for each part of the wait; small ones are kept.
#[tokio::test]
async fn documents_come_whole_however_they_are_taken() {
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
    connection.make_room(0, 1 << 30).await;
    connection.get(1, "/v2/a/manifests/large").await;
    connection.get(3, &format!("/v2/a/referrers/{subject}")).await;
    connection.get(5, "/v2/a/tags/list").await;
    let has_first = |data: Option<&Vec<u8>>| data.is_some_and(|data| data.len() == 70_000);
    connection
        .read_until(|came| [1, 3].iter().all(|stream| has_first(came.data.get(stream))))
        .await;
    // Longer than a stream keeps what it can make again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    connection.make_room(1, 1 << 20).await;
    connection.make_room(3, 1 << 20).await;
    connection.read_until(|came| came.ended.len() == 3).await;
    let data = &connection.came.data;
    assert!(data[&1] == large.json.as_bytes());
    assert!(data[&3] == referrers);
    assert_eq!(data[&5], br#"{"name":"a","tags":["large"]}"#);
    drop(connection);
    server.stop().await;
}

/// Requests that are taken back at once cost their sender the connection, or nothing.
#[tokio::test]
async fn streams_that_are_reset_at_once_do_no_harm() {
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
    // Refused is as good as taken.
    flood.await.ok();
    server.stop().await;
}

#[tokio::test]
async fn a_connection_waits_until_there_is_room_for_it() {
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
async fn a_connection_of_http2_is_kept_for_later_but_not_for_ever() {
    tokio::time::pause();
    let server = start(Registry::builder()).await;
    let mut connection = Connection::open(server.address, 65_535).await;
    for stream in [1, 3, 5] {
        connection.get(stream, "/v2/").await;
        connection.read_until(|came| came.ended.contains(&stream)).await;
        tokio::time::sleep(Duration::from_secs(95)).await;
    }
    let slept = tokio::time::Instant::now();
    connection.read_to_end().await;
    assert!(slept.elapsed() <= Duration::from_secs(15), "{:?}", slept.elapsed());
    server.stop().await;
}

/// What is under way on a stream is finished before the server ends.
#[tokio::test]
async fn a_stream_under_way_is_finished_before_the_server_ends() {
    let folder = TempDir::new().unwrap();
    let blob = noise(100_000);
    let (server, path) = with_blob(&folder, RegistryLimits::default(), &blob).await;
    let mut connection = Connection::open(server.address, 1_000).await;
    connection.get(1, &path).await;
    connection.read_until(|came| came.data.contains_key(&1)).await;
    let stopping = server.begin_to_stop().await;
    connection.make_room(0, 1 << 20).await;
    connection.make_room(1, 1 << 20).await;
    connection.read_to_end().await;
    assert_eq!(connection.came.ended, [1]);
    assert!(connection.came.data[&1] == blob);
    stopping.await.unwrap();
}
