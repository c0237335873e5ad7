//! Pushes of files whose digest is not known.
#![cfg(unix)]

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use longshore::{
    Client, Descriptor, Digest, ErrorKind, FileBody, MediaType, Pushed, RemoteRepository, Result,
    Source as _, Target as _,
};
use longshore_registry::{Registry, TestRegistry};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::random;

use crate::embedded::start;
use crate::{blob, quick};

/// A registry behind a proxy, and a file.
struct Setting {
    proxy: FaultProxy,
    _stop: TestRegistry,
    folder: tempfile::TempDir,
    content: Bytes,
    client: Client,
}

impl Setting {
    async fn new() -> Self {
        let (address, _stop) = start(Registry::builder().memory()).await;
        let content = random::bytes(8, SIZE);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), &content).unwrap();
        let client = quick().state_folder(folder.path().join("uploads")).build();
        Self { proxy: FaultProxy::start(address).await, _stop, folder, content, client }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn repository(&self) -> RemoteRepository {
        self.client.repository(&format!("{}/a/b", self.proxy.address()).parse().unwrap())
    }

    async fn push(&self) -> Result<(Descriptor, Pushed)> {
        self.repository().push_file(&FileBody::new(self.path(), MediaType::OCTET_STREAM)).await
    }

    /// Returns the requests from number `n` on, sorted, because some of them are concurrent. A session
    /// that is still in use is canceled with several requests, which count once.
    fn requests(&self, n: usize) -> Vec<String> {
        let short = |path: &str| match path.contains("/uploads/") {
            true if path.ends_with("/uploads/") => "uploads",
            true => "session",
            false => "blob",
        };
        let requests = self.proxy.requests().into_iter().skip(n);
        let mut requests: Vec<String> =
            requests.map(|r| format!("{} {}", r.method, short(&r.path))).collect();
        requests.sort();
        requests.dedup_by(|a, b| a == b && a.starts_with("DELETE"));
        requests
    }

    async fn check(&self) {
        let reader = self.repository().blob(&blob(&self.content)).await.unwrap();
        assert_eq!(reader.bytes(SIZE).await.unwrap(), self.content);
    }
}

#[tokio::test]
async fn a_large_file_is_sent_while_its_digest_is_computed() {
    let setting = Setting::new().await;
    assert_eq!(setting.push().await.unwrap(), (blob(&setting.content), Pushed::Sent));
    let expected = ["HEAD blob", "PATCH session", "POST uploads", "PUT session"];
    assert_eq!(setting.requests(0), expected);
    let last = setting.proxy.requests().pop().unwrap();
    assert_eq!((&*last.method, last.header("content-length")), ("PUT", Some("0")));
    setting.check().await;
    // The second push stops when the digest is known.
    let before = setting.proxy.requests().len();
    assert_eq!(setting.push().await.unwrap(), (blob(&setting.content), Pushed::Existing));
    let expected = ["DELETE session", "HEAD blob", "PATCH session", "POST uploads"];
    assert_eq!(setting.requests(before), expected);
}

#[tokio::test]
async fn a_file_may_be_named_by_a_symbolic_link() {
    let setting = Setting::new().await;
    let link = setting.folder.path().join("link");
    std::os::unix::fs::symlink(setting.path(), &link).unwrap();
    let file = FileBody::new(link, MediaType::OCTET_STREAM);
    let pushed = setting.repository().push_file(&file).await.unwrap();
    assert_eq!(pushed, (blob(&setting.content), Pushed::Sent));
    setting.check().await;
}

#[tokio::test]
async fn a_small_file_that_exists_takes_one_request() {
    let setting = Setting::new().await;
    std::fs::write(setting.path(), "small").unwrap();
    assert_eq!(setting.push().await.unwrap(), (blob(b"small"), Pushed::Sent));
    let before = setting.proxy.requests().len();
    assert_eq!(setting.push().await.unwrap().1, Pushed::Existing);
    assert_eq!(setting.requests(before), ["HEAD blob"]);
}

#[tokio::test]
async fn a_broken_request_is_continued_at_the_offset_of_the_session() {
    let setting = Setting::new().await;
    setting.proxy.inject("PATCH", "/uploads/", 1, Fault::ResetRequest(HALF));
    assert_eq!(setting.push().await.unwrap().1, Pushed::Sent);
    let last = setting.proxy.requests().pop().unwrap();
    let range = last.header("content-range").unwrap();
    assert!(range.ends_with(&format!("-{}", SIZE - 1)) && !range.starts_with("0-"), "{range}");
    setting.check().await;
}

#[tokio::test]
async fn a_registry_that_refuses_streams_gets_files_in_another_way() {
    for status in [404, 405, 411, 413, 416, 501] {
        let setting = Setting::new().await;
        setting.proxy.inject("PATCH", "/uploads/", usize::MAX, Fault::Reply(status, Vec::new()));
        assert_eq!(setting.push().await.unwrap().1, Pushed::Sent, "{status}");
        setting.check().await;
        // The client remembers this.
        let before = setting.proxy.requests().len();
        std::fs::write(setting.path(), random::bytes(9, SIZE)).unwrap();
        assert_eq!(setting.push().await.unwrap().1, Pushed::Sent, "{status}");
        let expected = ["HEAD blob", "POST uploads", "PUT session"];
        assert_eq!(setting.requests(before), expected, "{status}");
    }
}

#[tokio::test]
async fn overloaded_and_broken_registries_are_tried_again() {
    for fault in [
        Fault::Reply(503, Vec::new()),
        Fault::Reply(429, vec![("Retry-After", "0")]),
        Fault::Reply(500, Vec::new()),
        Fault::LoseReply,
        Fault::FlipRequest(HALF),
    ] {
        let setting = Setting::new().await;
        let name = format!("{fault:?}");
        setting.proxy.inject("PATCH", "/uploads/", 1, fault);
        assert_eq!(setting.push().await.unwrap().1, Pushed::Sent, "{name}");
        setting.check().await;
    }
}

#[tokio::test]
async fn a_file_with_another_digest_than_expected_is_not_stored() {
    let setting = Setting::new().await;
    let file = FileBody::new(setting.path(), MediaType::OCTET_STREAM);
    let file = file.expected_digest(Some(Digest::sha256(b"other")));
    let error = setting.repository().push_file(&file).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DigestMismatch, "{error}");
    assert!(!setting.requests(0).contains(&"PUT session".to_owned()));
    let missing = FileBody::new(setting.folder.path().join("none"), MediaType::OCTET_STREAM);
    let error = setting.repository().push_file(&missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
}

#[tokio::test]
async fn an_interrupted_push_of_a_file_is_continued_by_the_next() {
    let setting = Setting::new().await;
    // The second push is stopped too, when it finds the session of the first.
    setting.proxy.inject("PATCH", "/uploads/", 2, Fault::StallRequest(HALF));
    let push = tokio::time::timeout(Duration::from_secs(1), setting.push());
    assert!(push.await.is_err(), "the push stalls");
    setting.proxy.close_stalled();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let records = || std::fs::read_dir(setting.folder.path().join("uploads")).unwrap().count();
    assert_eq!(records(), 1);
    assert_eq!(setting.push().await.unwrap().1, Pushed::Sent);
    let last = setting.proxy.requests().pop().unwrap();
    let range = last.header("content-range").unwrap();
    assert!(range.ends_with(&format!("-{}", SIZE - 1)) && !range.starts_with("0-"), "{range}");
    assert_eq!(records(), 0);
    setting.check().await;
}

/// 8 MiB: twice the size from which a file is sent while its digest is computed.
const SIZE: usize = 8 << 20;
const HALF: u64 = 4 << 20;
