//! The number of requests of a copy between registries.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore::{
    Client, Copier, CopyStats, Descriptor, Pushed, RemoteRepository, Tag, Target as _,
};
use longshore_registry::{Registry, TestRegistry};
use longshore_testkit::fault::FaultProxy;
use longshore_testkit::fixture::{Content, Image, Layer};
use longshore_testkit::peer::DockerRegistry;
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};

use crate::embedded::start;
use crate::{blob, blob_path, elsewhere, quick, remote};

/// Two registries behind proxies that record requests, and a client.
struct Pair {
    client: Client,
    source: FaultProxy,
    target: FaultProxy,
    _source: TestRegistry,
}

impl Pair {
    async fn with_target(target: SocketAddr) -> Self {
        let (source, _source) = start(Registry::builder().memory()).await;
        Self {
            client: quick().build(),
            source: FaultProxy::start(source).await,
            target: FaultProxy::start(target).await,
            _source,
        }
    }

    fn at(&self, proxy: &FaultProxy, name: &str) -> Arc<RemoteRepository> {
        let repository = format!("{}/{name}", proxy.address()).parse().unwrap();
        Arc::new(self.client.repository(&repository))
    }

    /// Pushes an image to a repository of the source.
    async fn fill(&self, name: &str, content: &Content) {
        let plain = quick().build();
        let repository = format!("{}/{name}", self.source.address()).parse().unwrap();
        content.push(&plain.repository(&repository), Some(&tag("v1"))).await;
    }

    /// Copies `v1` of a repository to a tag of the same repository. Returns the number of requests
    /// to the source and to the target.
    async fn copy(&self, name: &str, to: &str) -> (usize, usize, CopyStats) {
        let before = (self.source.requests().len(), self.target.requests().len());
        let copier = Copier::new(self.at(&self.source, name), self.at(&self.target, name));
        let copied = copier.copy(&tag("v1").into(), Some(&tag(to))).await.unwrap();
        let (source, target) = (self.source.requests(), self.target.requests());
        (source.len() - before.0, target.len() - before.1, copied.stats)
    }
}

/// Returns an image with large layers, so that its config is the only small blob.
fn image(seed: u64, layers: u64) -> Content {
    let image = Image::new("linux/amd64".parse().unwrap());
    let layer = |n| Layer::plain(&random::bytes(100 * seed + n, 80 << 10));
    (0..layers).fold(image, |image, n| image.layer(layer(n))).build()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

#[tokio::test]
async fn a_copy_to_an_empty_repository_takes_two_requests_per_blob() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    for (seed, name) in [(1, "first"), (2, "second")] {
        pair.fill(name, &image(seed, 3)).await;
    }
    let blobs = 4;
    // The first copy also checks each layer, and determines once what the registry supports.
    let (source, target, _) = pair.copy("first", "v1").await;
    assert_eq!(source, blobs + 1);
    assert!(target <= 3 * blobs + 3, "{target}");
    // The config takes a single request. The other two are for the tag and the manifest.
    let (source, target, stats) = pair.copy("second", "v1").await;
    assert_eq!((source, target), (blobs + 1, 2 * blobs - 1 + 2));
    assert_eq!(stats.blobs_sent, 4);
}

#[tokio::test]
async fn a_copy_of_existing_content_takes_one_request_to_each_registry() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    pair.fill("a", &image(1, 3)).await;
    pair.copy("a", "v1").await;
    let (source, target, stats) = pair.copy("a", "v1").await;
    assert_eq!((source, target, stats.blobs_sent), (1, 1, 0));
    // A new tag: the tag, a mount of each layer, the config, and the manifest.
    let (source, target, stats) = pair.copy("a", "v2").await;
    assert_eq!((source, target), (2, 3 + 3));
    assert_eq!((stats.blobs_sent, stats.blobs_held), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_takes_two_requests_per_blob() {
    let registry = DockerRegistry::start();
    let pair = Pair::with_target(registry.address().parse().unwrap()).await;
    for (seed, name) in [(1, "first"), (2, "second")] {
        pair.fill(name, &image(seed, 3)).await;
    }
    let blobs = 4;
    let (_, target, _) = pair.copy("first", "v1").await;
    assert!(target <= 3 * blobs + 3, "{target}");
    let (source, target, stats) = pair.copy("second", "v1").await;
    assert_eq!((source, target, stats.blobs_sent), (blobs + 1, 2 * blobs + 2, 4));
    let (source, target, stats) = pair.copy("second", "v1").await;
    assert_eq!((source, target, stats.blobs_sent), (1, 1, 0));
    let (_, target, stats) = pair.copy("second", "v2").await;
    assert_eq!((target, stats.blobs_held), (blobs + 2, 4));
}

#[tokio::test]
async fn a_registry_that_ignores_mounts_is_queried_for_each_blob() {
    let server = Script::start().await;
    let repository = remote(&server);
    let content = [random::bytes(1, 80 << 10), random::bytes(2, 80 << 10)];
    let [one, two] = [blob(&content[0]), blob(&content[1])];
    let begin = |target: String, at| {
        Exchange::new("POST", target).answer(202).header("location", format!("/v2/u/{at}"))
    };
    let finish = |of: &Descriptor, at: u8, sent: &[u8]| {
        let target = format!("/v2/u/{at}?digest={}", of.digest);
        Exchange::new("PUT", target).sending(sent).answer(201)
    };
    server.expect(Exchange::new("HEAD", blob_path(&one)).answer(404));
    server.expect(begin("/v2/a/b/blobs/uploads/".to_owned(), 1));
    server.expect(finish(&one, 1, &content[0]));
    // The registry begins an upload for a blob that it has, so later mounts would show nothing.
    server.expect(begin(mount_of(&one), 2));
    server.expect(Exchange::new("DELETE", "/v2/u/2").answer(204));
    let pushed = repository.ensure_blob(&one, content[0].clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.expect(Exchange::new("HEAD", blob_path(&two)).answer(404));
    server.expect(begin("/v2/a/b/blobs/uploads/".to_owned(), 3));
    server.expect(finish(&two, 3, &content[1]));
    let pushed = repository.ensure_blob(&two, content[1].clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.finish();
}

#[tokio::test]
async fn a_later_client_uses_what_an_earlier_client_determined() {
    let server = Script::start().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = || {
        let (builder, repository) = elsewhere(&server);
        builder.cache_folder(folder.path()).build().repository(&repository)
    };
    let content = random::bytes(1, 80 << 10);
    let large = blob(&content);
    server.expect(Exchange::new("HEAD", blob_path(&large)).body(content.clone()));
    server.expect(Exchange::new("POST", mount_of(&large)).answer(201));
    let pushed = repository().ensure_blob(&large, content.clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Existing);
    server.expect(Exchange::new("POST", mount_of(&large)).answer(201));
    let pushed = repository().ensure_blob(&large, content.clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Existing);
    // A refusal replaces what the earlier client determined.
    server.expect(Exchange::new("POST", mount_of(&large)).answer(400));
    for _ in 0..2 {
        server.expect(Exchange::new("HEAD", blob_path(&large)).body(content.clone()));
        let pushed = repository().ensure_blob(&large, content.clone().into()).await;
        assert_eq!(pushed.unwrap(), Pushed::Existing);
    }
    server.finish();
}

#[tokio::test]
async fn a_small_blob_is_sent_in_a_session_if_the_registry_refuses_a_single_post() {
    for refusal in [400, 405, 415] {
        let server = Script::start().await;
        let content = b"small";
        let small = blob(content);
        let at = format!("digest={}", small.digest);
        let single = format!("/v2/a/b/blobs/uploads/?{at}");
        server.expect(Exchange::new("POST", single).sending(content).answer(refusal));
        let begin = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
        server.expect(begin.header("location", "/v2/u/1"));
        server.expect(Exchange::new("PUT", format!("/v2/u/1?{at}")).sending(content).answer(201));
        server.expect(Exchange::new("POST", mount_of(&small)).answer(201));
        let repository = remote(&server);
        let pushed =
            repository.ensure_blob(&small, bytes::Bytes::from_static(content).into()).await;
        assert_eq!(pushed.unwrap(), Pushed::Sent);
        server.finish();
    }
}

/// Returns the path that requests a mount from the repository itself.
pub(crate) fn mount_of(descriptor: &Descriptor) -> String {
    let digest = descriptor.digest.as_str().replace(':', "%3A");
    format!("/v2/a/b/blobs/uploads/?mount={digest}&from=a%2Fb")
}
