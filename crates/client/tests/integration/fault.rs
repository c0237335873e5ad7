//! Copies of images through a network with faults. The result is correct or an error.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use longshore::graph::Successors;
use longshore::{
    BlobBody, Client, Copier, LeftBehindReason, Limits, Memory, Pushed, RemoteRepository,
    Source as _, Tag, TagOrDigest, Target as _, UploadMethod,
};
use longshore_registry::{Registry, TestRegistry};
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::fixture::{Content, Image, Layer};
use longshore_testkit::random;

use crate::embedded::start;
use crate::{blob, impatient, quick};

fn image() -> Content {
    let large = Layer::gzip(&random::bytes(7, LAYER));
    Image::new("linux/amd64".parse().unwrap()).layer(large).build()
}

fn tag() -> Tag {
    Tag::parse("v1").unwrap()
}

struct Setting {
    proxy: FaultProxy,
    content: Content,
    memory: Memory,
    /// The repository, reached without the faulty proxy.
    direct: RemoteRepository,
    _stop: TestRegistry,
}

impl Setting {
    async fn new() -> Self {
        let (address, _stop) = start(Registry::builder().memory()).await;
        let proxy = FaultProxy::start(address).await;
        let direct = quick().build().repository(&format!("{address}/a/b").parse().unwrap());
        Self { proxy, content: image(), memory: Memory::new(), direct, _stop }
    }

    fn through_proxy(&self, client: &Client) -> RemoteRepository {
        client.repository(&format!("{}/a/b", self.proxy.address()).parse().unwrap())
    }

    async fn pull(&self, client: &Client) -> longshore::Result<()> {
        let from = Arc::new(self.through_proxy(client));
        let copier = Copier::new(from, Arc::new(self.memory.clone()));
        copier.copy(&tag().into(), Some(&tag())).await.map(drop)
    }

    async fn push(&self, client: &Client) -> longshore::Result<()> {
        let to = Arc::new(self.through_proxy(client));
        let copier = Copier::new(Arc::new(self.memory.clone()), to);
        copier.copy(&tag().into(), Some(&tag())).await.map(drop)
    }
}

/// Pulls through a fault. All content must arrive with only a few additional requests.
async fn pull_through(path: &str, times: usize, fault: Fault) {
    let setting = Setting::new().await;
    setting.content.push(&setting.direct, Some(&tag())).await;
    let shown = format!("{path} {fault:?}");
    setting.proxy.inject("GET", path, times, fault);
    let pulled = setting.pull(&impatient().build()).await;
    pulled.unwrap_or_else(|e| panic!("{shown}: {e:?}"));
    setting.content.assert_in(&setting.memory, &TagOrDigest::from(tag())).await;
    assert!(setting.proxy.faults_made() > 0, "{shown}");
    assert!(setting.proxy.requests().len() < 30, "{shown}");
}

/// Pushes through a fault. All content must arrive with only a few additional requests.
async fn push_through(method: &'static str, path: &str, times: usize, fault: Fault) {
    let setting = Setting::new().await;
    setting.content.push(&setting.memory, Some(&tag())).await;
    let shown = format!("{method} {path} {fault:?}");
    setting.proxy.inject(method, path, times, fault);
    let pushed = setting.push(&impatient().build()).await;
    pushed.unwrap_or_else(|e| panic!("{shown}: {e:?}"));
    setting.content.assert_in(&setting.direct, &TagOrDigest::from(tag())).await;
    assert!(setting.proxy.faults_made() > 0, "{shown}");
    assert!(setting.proxy.requests().len() < 30, "{shown}");
}

#[tokio::test]
async fn a_copy_survives_a_source_that_refuses_lookups_of_attached_content() {
    for (status, is_refusal) in
        [(400, true), (401, true), (403, true), (405, true), (500, true), (503, false)]
    {
        let setting = Setting::new().await;
        setting.content.push(&setting.direct, Some(&tag())).await;
        for part in ["/referrers/", "/tags/list", "/manifests/sha256-"] {
            setting.proxy.inject("GET", part, 99, Fault::Reply(status, Vec::new()));
        }
        let from = Arc::new(setting.through_proxy(&quick().build()));
        let copier = Copier::new(from, Arc::new(setting.memory.clone()));
        let copied = copier.copy(&tag().into(), Some(&tag())).await;
        assert!(setting.proxy.faults_made() > 1, "{status}");
        match copied {
            Ok(copied) => {
                assert!(is_refusal, "{status}");
                let reasons: Vec<_> = copied.left_behind.iter().map(|left| left.reason).collect();
                assert_eq!(reasons, [LeftBehindReason::NotListed], "{status}");
            }
            Err(e) => assert!(!is_refusal && e.status() == Some(status), "{status}: {e:?}"),
        }
    }
}

#[tokio::test]
async fn a_pull_succeeds_despite_transient_faults() {
    let half = LAYER as u64 / 2;
    for (path, times, fault) in [
        ("/blobs/", 1, Fault::Cut(half)),
        ("/blobs/", 1, Fault::Reset(half)),
        ("/blobs/", 3, Fault::Reset(half / 2)),
        ("/blobs/", 1, Fault::Stall(half)),
        ("/blobs/", 1, Fault::Reset(0)),
        ("/blobs/", 1, Fault::Reply(503, vec![])),
        ("/blobs/", 1, Fault::Reply(429, vec![("retry-after", "0")])),
        ("/manifests/", 1, Fault::Reply(503, vec![])),
        ("/manifests/", 1, Fault::Reset(10)),
        ("/manifests/", 1, Fault::LoseReply),
    ] {
        pull_through(path, times, fault).await;
    }
}

#[tokio::test]
async fn a_tag_is_resolved_without_head() {
    let setting = Setting::new().await;
    setting.content.push(&setting.direct, Some(&tag())).await;
    setting.proxy.inject("HEAD", "/manifests/", 9, Fault::Reply(405, vec![]));
    let resolved = setting.through_proxy(&impatient().build()).resolve(&tag().into()).await;
    assert_eq!(&resolved.unwrap(), setting.content.root.descriptor());
    assert_eq!(setting.proxy.faults_made(), 1);
}

#[tokio::test]
async fn a_push_succeeds_despite_transient_faults() {
    let half = LAYER as u64 / 2;
    for (method, path, times, fault) in [
        ("POST", "/uploads/", 1, Fault::Reply(503, vec![])),
        ("POST", "/uploads/", 1, Fault::LoseReply),
        ("PUT", "/uploads/", 1, Fault::Reply(503, vec![])),
        ("PUT", "/uploads/", 1, Fault::Reply(401, vec![])),
        ("PUT", "/uploads/", 1, Fault::Reply(404, vec![])),
        ("PUT", "/uploads/", 1, Fault::Reply(413, vec![])),
        ("PUT", "/uploads/", 1, Fault::Reply(405, vec![])),
        ("PUT", "/uploads/", 1, Fault::ResetRequest(half)),
        ("PUT", "/uploads/", 2, Fault::ResetRequest(half / 2)),
        ("PUT", "/uploads/", 1, Fault::LoseReply),
        ("PUT", "/manifests/", 1, Fault::Reply(503, vec![])),
        ("PUT", "/manifests/", 1, Fault::LoseReply),
        ("POST", "?mount=", 1, Fault::Reply(502, vec![])),
    ] {
        push_through(method, path, times, fault).await;
    }
}

#[tokio::test]
async fn all_tags_arrive_at_a_registry_that_limits_the_rate() {
    let setting = Setting::new().await;
    setting.content.push(&setting.memory, Some(&tag())).await;
    let tags: Vec<Tag> = (0..40).map(|n| Tag::parse(&format!("v{n}")).unwrap()).collect();
    let selector = TagOrDigest::from(tag());
    longshore::add_tags(&setting.memory, &selector, &tags).await.unwrap();
    // The first tag is copied alone.
    for method in ["HEAD", "PUT"] {
        let busy = Fault::Reply(429, vec![("Retry-After", "0")]);
        setting.proxy.inject_after(method, "/manifests/", 4, 12, busy);
    }
    let target = setting.through_proxy(&impatient().build());
    let copier = Copier::new(Arc::new(setting.memory.clone()), Arc::new(target));
    for outcome in copier.copy_tags(tags).await {
        outcome.result.unwrap();
    }
    assert_eq!(setting.proxy.faults_made(), 24);
}

/// All requests of an operation together are allowed five attempts, even if different requests
/// fail. After that, a request of another kind is still sent, but only once.
#[tokio::test]
async fn alternating_faults_share_one_count() {
    let busy = || Fault::Reply(503, vec![]);
    let mut made = Vec::new();
    for (operation, faults) in [
        ("manifest", [("GET", "/manifests/", 3, busy()), ("GET", "/manifests/", 1, Fault::Cut(9))]),
        ("resolve", [("HEAD", "/manifests/", 4, busy()), ("GET", "/manifests/", 4, busy())]),
        ("tags", [("GET", "/tags/", 3, busy()), ("GET", "/tags/", 1, Fault::Cut(9))]),
        ("blob", [("GET", "/blobs/", 3, busy()), ("GET", "/blobs/", 1, Fault::Cut(9))]),
        ("upload", [("PUT", "/uploads/", 4, busy()), ("GET", "/uploads/", 4, busy())]),
        ("chunks", [("PUT", "/uploads/", 4, busy()), ("GET", "/uploads/", 4, busy())]),
    ] {
        let setting = Setting::new().await;
        setting.content.push(&setting.direct, Some(&tag())).await;
        for (method, path, times, fault) in std::iter::repeat_n(faults, 9).flatten() {
            setting.proxy.inject(method, path, times, fault);
        }
        let form = match operation {
            "chunks" => UploadMethod::Chunked(NonZeroU64::MAX),
            _ => UploadMethod::PostThenPut,
        };
        let repository = setting.through_proxy(&impatient().upload_method(form).build());
        let listed = || Successors::of(&setting.content.root).unwrap().blobs.remove(0);
        let result = match operation {
            "manifest" => repository.manifest(&tag().into()).await.map(drop),
            "resolve" => repository.resolve(&tag().into()).await.map(drop),
            "tags" => repository.tags(None).all().await.map(drop),
            "blob" => repository.blob(&listed()).await.unwrap().bytes(LAYER).await.map(drop),
            _ => repository
                .push_blob(&blob(b"new"), bytes::Bytes::from("new").into())
                .await
                .map(drop),
        };
        result.unwrap_err();
        made.push((operation, setting.proxy.faults_made()));
    }
    assert_eq!(
        made,
        [("manifest", 5), ("resolve", 6), ("tags", 5), ("blob", 5), ("upload", 6), ("chunks", 5),]
    );
}

/// A timeout is retried once for each request, even after other failures of the operation.
#[tokio::test]
async fn a_timeout_after_another_failure_is_retried_once() {
    let setting = Setting::new().await;
    setting.content.push(&setting.direct, Some(&tag())).await;
    setting.proxy.inject("GET", "/blobs/", 1, Fault::Cut(9));
    setting.proxy.inject("GET", "/blobs/", 1, Fault::StallRequest(0));
    let mut limits = Limits::default();
    limits.response = Duration::from_millis(500);
    let repository = setting.through_proxy(&quick().limits(limits).build());
    let listed = Successors::of(&setting.content.root).unwrap().blobs.remove(0);
    repository.blob(&listed).await.unwrap().bytes(LAYER).await.unwrap();
    assert_eq!(setting.proxy.faults_made(), 2);
}

/// All mounts fail. The first check for the blob, and the first requests for a session, also fail.
#[tokio::test]
async fn a_failed_mount_does_not_use_up_the_attempts_of_the_upload() {
    let setting = Setting::new().await;
    setting.proxy.inject("POST", "mount=", 100, Fault::Reply(503, vec![]));
    setting.proxy.inject("HEAD", "/blobs/", 1, Fault::Reply(503, vec![]));
    setting.proxy.inject("POST", "/uploads/", 3, Fault::Reply(503, vec![]));
    let client = quick().build();
    let elsewhere = format!("{}/c", setting.proxy.address()).parse().unwrap();
    let body = BlobBody::from(bytes::Bytes::from("new")).with_origin(elsewhere);
    let pushed = setting.through_proxy(&client).push_blob(&blob(b"new"), body).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
}

#[tokio::test]
async fn permanent_faults_are_errors_and_no_manifest_is_stored() {
    for (times, fault) in
        [(100, Fault::Reply(500, vec![])), (100, Fault::Reset(100_000)), (100, Fault::Flip(1000))]
    {
        let setting = Setting::new().await;
        setting.content.push(&setting.direct, Some(&tag())).await;
        setting.proxy.inject("GET", "/blobs/", times, fault);
        setting.pull(&impatient().build()).await.unwrap_err();
        assert_eq!(setting.memory.manifest_count(), 0);
        assert!(setting.proxy.faults_made() > 0);
        assert!(setting.proxy.requests().len() < 40);
    }
}

/// 3 MiB of incompressible content.
const LAYER: usize = 3 << 20;
