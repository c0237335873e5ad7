//! Pushes that continue the upload of an earlier client.
#![cfg(unix)]

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use longshore::{BlobBody, Client, Descriptor, ErrorKind, Pushed, RemoteRepository, Result};
use longshore::{Source as _, Target as _};
use longshore_registry::{Registry, TestRegistry};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};

use crate::embedded::start;
use crate::{blob, blob_path, quick, remote};

/// A registry behind a proxy, and the folder of the records.
struct Setting {
    proxy: FaultProxy,
    _stop: TestRegistry,
    folder: tempfile::TempDir,
    content: Bytes,
    descriptor: Descriptor,
}

impl Setting {
    async fn new() -> Self {
        let (address, _stop) = start(Registry::builder().memory()).await;
        let content = random::bytes(7, SIZE);
        let descriptor = blob(&content);
        let folder = tempfile::tempdir().unwrap();
        Self { proxy: FaultProxy::start(address).await, _stop, folder, content, descriptor }
    }

    /// Returns the repository of a new client.
    fn repository(&self) -> RemoteRepository {
        let client: Client = quick().state_folder(self.folder.path()).build();
        client.repository(&format!("{}/a/b", self.proxy.address()).parse().unwrap())
    }

    async fn push(&self) -> Result<Pushed> {
        self.repository().ensure_blob(&self.descriptor, self.content.clone().into()).await
    }

    /// Drops a push after `sent` bytes.
    async fn interrupt(&self, sent: u64) {
        self.proxy.inject("PUT", "/uploads/", 1, Fault::StallRequest(sent));
        let push = tokio::time::timeout(Duration::from_millis(500), self.push());
        assert!(push.await.is_err(), "the push stalls");
        self.proxy.close_stalled();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    /// Returns the methods of the requests from number `n` on, each with the part of its path that
    /// tells sessions and blobs apart.
    fn requests(&self, n: usize) -> Vec<String> {
        let short = |path: &str| match path.contains("/uploads/?mount") {
            true => "mount",
            false if path.ends_with("/uploads/") => "uploads",
            false if path.contains("/uploads/") => "session",
            false => "blob",
        };
        let requests = self.proxy.requests().into_iter().skip(n);
        requests.map(|r| format!("{} {}", r.method, short(&r.path))).collect()
    }

    fn records(&self) -> usize {
        records(self.folder.path())
    }

    async fn check(&self) {
        let reader = self.repository().blob(&self.descriptor).await.unwrap();
        assert_eq!(reader.bytes(SIZE).await.unwrap(), self.content);
    }
}

fn records(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_push_continues_the_session_of_an_interrupted_client() {
    let setting = Setting::new().await;
    setting.interrupt(HALF).await;
    assert_eq!(setting.records(), 1);
    let before = setting.proxy.requests().len();
    assert_eq!(setting.push().await.unwrap(), Pushed::Sent);
    assert_eq!(setting.requests(before), ["GET session", "HEAD blob", "PUT session"]);
    let last = setting.proxy.requests().pop().unwrap();
    let range = last.header("content-range").unwrap();
    assert!(range.ends_with(&format!("-{}", SIZE - 1)) && !range.starts_with("0-"), "{range}");
    assert_eq!(setting.records(), 0);
    setting.check().await;
}

#[tokio::test]
async fn a_session_that_no_longer_exists_is_replaced() {
    let setting = Setting::new().await;
    setting.interrupt(HALF).await;
    setting.proxy.inject("GET", "/uploads/", 1, Fault::Reply(404, Vec::new()));
    let before = setting.proxy.requests().len();
    setting.push().await.unwrap();
    let expected = ["GET session", "HEAD blob", "POST uploads", "PUT session"];
    assert_eq!(setting.requests(before)[..4], expected);
    assert_eq!(setting.records(), 0);
    setting.check().await;
}

#[tokio::test]
async fn a_blob_is_sent_again_if_the_continued_session_has_wrong_content() {
    let setting = Setting::new().await;
    setting.interrupt(HALF).await;
    setting.proxy.inject("PUT", "/uploads/", 1, Fault::Reply(400, Vec::new()));
    let before = setting.proxy.requests().len();
    setting.push().await.unwrap();
    let continued = ["GET session", "HEAD blob", "PUT session", "DELETE session"];
    let again = ["HEAD blob", "POST uploads", "PUT session"];
    assert_eq!(setting.requests(before)[..7], [&continued[..], &again[..]].concat());
    assert_eq!(setting.records(), 0);
    setting.check().await;
}

#[tokio::test]
async fn a_blob_that_exists_by_now_is_not_sent() {
    let setting = Setting::new().await;
    setting.interrupt(HALF).await;
    let address = setting.proxy.address();
    let other = quick().build().repository(&format!("{address}/a/b").parse().unwrap());
    other.push_blob(&setting.descriptor, setting.content.clone().into()).await.unwrap();
    let before = setting.proxy.requests().len();
    assert_eq!(setting.push().await.unwrap(), Pushed::Existing);
    assert_eq!(setting.requests(before), ["GET session", "HEAD blob", "DELETE session"]);
    assert_eq!(setting.records(), 0);
}

#[tokio::test]
async fn a_session_is_kept_if_the_registry_cannot_be_reached_anymore() {
    let setting = Setting::new().await;
    setting.proxy.inject("PUT", "/uploads/", 1, Fault::ResetRequest(HALF));
    setting.proxy.inject("GET", "/uploads/", 99, Fault::Reply(503, Vec::new()));
    setting.proxy.inject("HEAD", "/blobs/", 99, Fault::Reply(503, Vec::new()));
    let repository = setting.repository();
    let push = repository.push_blob(&setting.descriptor, setting.content.clone().into());
    assert_eq!(push.await.unwrap_err().status(), Some(503));
    assert_eq!(setting.records(), 1);
    assert!(!setting.requests(0).contains(&"DELETE session".to_owned()));
}

#[tokio::test]
async fn a_session_is_kept_if_the_registry_fails_and_canceled_if_it_refuses() {
    let setting = Setting::new().await;
    setting.proxy.inject("PUT", "/uploads/", 99, Fault::Reply(503, Vec::new()));
    let e = setting.push().await.unwrap_err();
    assert_eq!(e.status(), Some(503));
    assert_eq!(setting.records(), 1);
    assert_eq!(setting.requests(0).last().unwrap(), "PUT session");

    let setting = Setting::new().await;
    setting.proxy.inject("PUT", "/uploads/", 1, Fault::Reply(403, Vec::new()));
    let e = setting.push().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    assert_eq!(setting.records(), 0);
    assert_eq!(setting.requests(0).last().unwrap(), "DELETE session");
}

#[tokio::test]
async fn two_clients_push_the_same_blob_without_sharing_a_session() {
    let setting = Setting::new().await;
    let (one, other) = tokio::join!(setting.push(), setting.push());
    assert_eq!((one.unwrap(), other.unwrap()), (Pushed::Sent, Pushed::Sent));
    let begun = setting.requests(0).iter().filter(|r| *r == "POST uploads").count();
    assert_eq!(begun, 2);
    assert_eq!(setting.records(), 0);
    setting.check().await;
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_again_is_not_recorded() {
    let setting = Setting::new().await;
    setting.proxy.inject("PUT", "/uploads/", 1, Fault::StallRequest(HALF));
    let body = BlobBody::stream(setting.content.clone().into());
    let repository = setting.repository();
    let push = repository.push_blob(&setting.descriptor, body);
    assert!(tokio::time::timeout(Duration::from_millis(500), push).await.is_err());
    assert_eq!(setting.records(), 0);
}

#[tokio::test]
async fn a_registry_that_accepts_a_large_blob_and_does_not_have_it_is_an_error() {
    let content = random::bytes(7, SIZE);
    let large = blob(&content);
    for (stored, clause) in [(None, "does not have it"), (Some(SIZE - 1), "states a size of")] {
        let server = Script::start().await;
        let begun = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
        server.expect(begun.header("location", "/v2/u/1"));
        let last = format!("/v2/u/1?digest={}", large.digest);
        server.expect(Exchange::new("PUT", last).sending(&content[..]).answer(201));
        let head = Exchange::new("HEAD", blob_path(&large));
        server.expect(match stored {
            None => head.answer(404),
            Some(size) => head.body(content.slice(..size)),
        });
        let repository = remote(&server);
        let e = repository.push_blob(&large, content.clone().into()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol);
        assert!(e.to_string().contains(clause), "{e}");
        server.finish();
    }
}

/// 2 MiB: more than the size from which an upload is recorded.
const SIZE: usize = 2 << 20;
const HALF: u64 = SIZE as u64 / 2;
