//! The number of requests of a copy between registries.

use std::net::SocketAddr;
use std::sync::Arc;

use longshore::{
    BlobBody, Client, Copier, CopyOptions, CopyStats, Descriptor, ErrorKind, Memory, Pack, Pushed,
    ReferrerSelection, RemoteRepository, Source as _, Tag, Target as _,
};
use longshore_registry::{Registry, TestRegistry};
use longshore_testkit::fault::{FaultProxy, Request};
use longshore_testkit::fixture::{Content, Image, Layer};
use longshore_testkit::peer::DockerRegistry;
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};

use crate::embedded::start;
use crate::{blob, blob_path, elsewhere, login, place, quick, remote};

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

    /// Copies `v1` of a repository to a tag of the same repository, without referrers. Returns the
    /// number of requests to the source and to the target.
    async fn copy(&self, name: &str, to: &str) -> (usize, usize, CopyStats) {
        self.copy_with(ReferrerSelection::None, name, to).await
    }

    async fn copy_with(
        &self,
        referrers: ReferrerSelection,
        name: &str,
        to: &str,
    ) -> (usize, usize, CopyStats) {
        let before = (self.source.requests().len(), self.target.requests().len());
        let mut options = CopyOptions::default();
        options.referrers = referrers;
        let copier = Copier::builder(self.at(&self.source, name), self.at(&self.target, name));
        let copier = copier.options(options).build();
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
async fn a_copy_to_an_empty_repository_takes_two_requests_per_layer() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    for (seed, name) in [(1, "first"), (2, "second")] {
        pair.fill(name, &image(seed, 3)).await;
    }
    let blobs = 4;
    // The first copy also determines once what the registry supports.
    let (source, target, _) = pair.copy("first", "v1").await;
    assert_eq!((source, target), (blobs + 1, 2 * blobs + 2));
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
}

#[tokio::test]
async fn a_new_tag_takes_one_request_per_existing_blob() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    pair.fill("a", &image(1, 3)).await;
    pair.copy("a", "v1").await;
    // The other two requests to the target are for the tag and the manifest.
    let (source, target, stats) = pair.copy("a", "v2").await;
    assert_eq!((source, target), (2, 3 + 3));
    assert_eq!((stats.blobs_sent, stats.blobs_held), (1, 3));
    assert_eq!(stats.bytes_held, 3 * (80 << 10));
}

#[tokio::test]
async fn a_tag_that_moves_to_an_existing_image_takes_three_requests() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    pair.fill("a", &image(1, 1)).await;
    pair.copy("a", "v1").await;
    pair.fill("a", &image(2, 1)).await;
    pair.copy("a", "v2").await;
    // The requests are for the old manifest of the tag, the new manifest, and the tag.
    let (source, target, stats) = pair.copy("a", "v1").await;
    assert_eq!((source, target, stats.manifests_held), (1, 3, 1));
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
async fn referrers_take_one_listing_of_tags_and_one_request_per_manifest() {
    let (target, _stop) = start(Registry::builder().memory()).await;
    let pair = Pair::with_target(target).await;
    let all = ReferrerSelection::All;
    pair.fill("plain", &image(1, 3)).await;
    let blobs = 4;
    let (source, _, _) = pair.copy_with(all.clone(), "plain", "v1").await;
    assert_eq!(source, blobs + 1 + 2);
    // The requests to the source are for the manifest, the tags and the referrers.
    let (source, target, stats) = pair.copy_with(all.clone(), "plain", "v1").await;
    assert_eq!((source, target, stats.blobs_sent), (3, 1, 0));

    pair.fill("index", &Image::small_index(1)).await;
    pair.copy_with(all.clone(), "index", "v1").await;
    let (source, target, _) = pair.copy_with(all.clone(), "index", "v1").await;
    // An index and two images.
    assert_eq!((source, target), (2 + 3, 1));

    pair.fill("signed", &image(2, 1)).await;
    let signed = pair.at(&pair.source, "signed");
    let image = signed.resolve(&tag("v1").into()).await.unwrap();
    let sbom = || Pack::artifact("application/spdx+json".parse().unwrap()).file("sbom", "{}");
    sbom().subject(image.clone()).push(&*signed, None).await.unwrap();
    let signature = Tag::for_referrers(&image.digest).unwrap();
    let signature = tag(&format!("{signature}.sig"));
    sbom().push(&*signed, Some(&signature)).await.unwrap();
    pair.copy_with(all.clone(), "signed", "v1").await;
    let (source, target, stats) = pair.copy_with(all, "signed", "v1").await;
    // The source is asked for the manifest, the tags, the manifest of the digest tag, and the
    // referrers of three manifests. The target is asked for the tag, the referrer, the list of
    // referrers, and the digest tag.
    assert_eq!((source, target), (3 + 3, 4));
    assert_eq!((stats.manifests_sent, stats.manifests_held), (0, 3));
    let copy = pair.at(&pair.target, "signed");
    copy.resolve(&signature.into()).await.unwrap();
    assert_eq!(copy.referrers(&image.digest, None).all().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_registry_is_asked_once_for_tags_and_referrers_however_many_tags_are_copied() {
    let registry = DockerRegistry::start();
    let (target, _stop) = start(Registry::builder().memory()).await;
    let mut pair = Pair::with_target(target).await;
    pair.source = FaultProxy::start(registry.address().parse().unwrap()).await;
    let source = pair.at(&pair.source, "a");
    let mut tags = Vec::new();
    for n in 0..12 {
        let name = tag(&format!("v{n}"));
        image(n, 1).push(&*source, Some(&name)).await;
        tags.push(name);
    }
    let image = source.resolve(&tags[7].clone().into()).await.unwrap();
    let sbom = Pack::artifact("application/spdx+json".parse().unwrap()).file("sbom", "{}");
    let sbom = sbom.subject(image.clone()).push(&*source, None).await.unwrap();
    let target = pair.at(&pair.target, "a");
    let mut counts = Vec::new();
    for _ in 0..2 {
        let before = pair.source.requests().len();
        let client = quick().build();
        let repository = format!("{}/a", pair.source.address()).parse().unwrap();
        let source = Arc::new(client.repository(&repository));
        let copier = Copier::new(source, Arc::<RemoteRepository>::clone(&target));
        for outcome in copier.copy_tags(tags.clone()).await {
            outcome.result.unwrap();
        }
        counts.push(pair.source.requests().split_off(before));
    }
    let of = |requests: &[Request], part: &str| {
        requests.iter().filter(|request| request.path.contains(part)).count()
    };
    for requests in &counts {
        assert_eq!(of(requests, "/referrers/"), 1, "{requests:?}");
        assert_eq!(of(requests, "/tags/list"), 1, "{requests:?}");
        // The index of the referrers is requested only for the manifest that has one.
        assert_eq!(of(requests, "/manifests/sha256-"), 1, "{requests:?}");
    }
    // The second copy requests one manifest per tag, the tags, the referrers, and their index.
    assert_eq!(counts[1].len(), 12 + 3, "{:?}", counts[1]);
    let copied = target.referrers(&image.digest, None).all().await.unwrap();
    assert_eq!(copied.iter().map(|d| &d.digest).collect::<Vec<_>>(), [&sbom.digest]);
}

#[tokio::test]
async fn a_registry_that_ignores_mounts_is_queried_for_each_blob() {
    let server = Script::start().await;
    let repository = remote(&server);
    let content = [random::bytes(1, 80 << 10), random::bytes(2, 80 << 10)];
    let [one, two] = [blob(&content[0]), blob(&content[1])];
    server.expect(Exchange::new("HEAD", blob_path(&one)).answer(404));
    server.expect(begin(1));
    server.expect(finish(&one, 1, &content[0]));
    // The registry begins an upload for a blob that it has, so later mounts would show nothing.
    let ignored = Exchange::new("POST", mount_of(&one)).answer(202);
    server.expect(ignored.header("location", "/v2/u/2"));
    server.expect(Exchange::new("DELETE", "/v2/u/2").answer(204));
    let pushed = repository.ensure_blob(&one, content[0].clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.expect(Exchange::new("HEAD", blob_path(&two)).answer(404));
    server.expect(begin(3));
    server.expect(finish(&two, 3, &content[1]));
    let pushed = repository.ensure_blob(&two, content[1].clone().into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.finish();
}

#[tokio::test]
async fn a_later_client_uses_what_an_earlier_client_determined() {
    let server = Script::start().await;
    let folder = tempfile::tempdir().unwrap();
    let content = random::bytes(1, 80 << 10);
    let large = blob(&content);
    let ensure = async || {
        let (builder, repository) = elsewhere(&server);
        let repository = builder.cache_folder(folder.path()).build().repository(&repository);
        repository.ensure_blob(&large, content.clone().into()).await.unwrap()
    };
    server.expect(Exchange::new("HEAD", blob_path(&large)).answer(404));
    server.expect(begin(1));
    server.expect(finish(&large, 1, &content));
    server.expect(Exchange::new("POST", mount_of(&large)).answer(201));
    assert_eq!(ensure().await, Pushed::Sent);
    server.expect(Exchange::new("POST", mount_of(&large)).answer(201));
    assert_eq!(ensure().await, Pushed::Existing);
    // A refusal that depends on the repository or the user changes nothing.
    server.expect(Exchange::new("POST", mount_of(&large)).answer(404));
    server.expect(Exchange::new("HEAD", blob_path(&large)).body(content.clone()));
    assert_eq!(ensure().await, Pushed::Existing);
    // A refusal of all such requests replaces what the earlier client determined.
    server.expect(Exchange::new("POST", mount_of(&large)).answer(405));
    for _ in 0..2 {
        server.expect(Exchange::new("HEAD", blob_path(&large)).body(content.clone()));
        assert_eq!(ensure().await, Pushed::Existing);
    }
    server.finish();
}

#[tokio::test]
async fn a_failed_probe_is_not_stored() {
    let server = Script::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (builder, repository) = elsewhere(&server);
    let repository = builder.cache_folder(folder.path()).build().repository(&repository);
    let content = random::bytes(1, 80 << 10);
    let large = blob(&content);
    server.expect(Exchange::new("HEAD", blob_path(&large)).answer(404));
    server.expect(begin(1));
    server.expect(finish(&large, 1, &content));
    server.expect(Exchange::new("POST", mount_of(&large)).answer(507));
    let pushed = repository.ensure_blob(&large, content.into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.finish();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_small_blob_is_pushed_as_any_other_if_its_single_post_fails() {
    // The last status does not show that the registry lacks single requests.
    for (status, requests) in [(400, 1), (405, 1), (404, 2)] {
        let server = Script::start().await;
        let content = b"small";
        let small = blob(content);
        let repository = remote(&server);
        for n in 0..2 {
            if n < requests {
                let single = format!("/v2/a/b/blobs/uploads/?digest={}", small.digest);
                server.expect(Exchange::new("POST", single).sending(content).answer(status));
            }
            server.expect(Exchange::new("HEAD", blob_path(&small)).body(*content));
            let body = bytes::Bytes::from_static(content).into();
            let pushed = repository.ensure_blob(&small, body).await;
            assert_eq!(pushed.unwrap(), Pushed::Existing, "{status}");
        }
        server.finish();
    }
}

#[tokio::test]
async fn a_small_blob_is_not_pushed_in_another_form_if_its_single_post_fails_for_another_reason() {
    let denied = r#"{"errors":[{"code":"DENIED","message":"no"}]}"#;
    for (status, body, kind) in [
        (400, denied, ErrorKind::Invalid),
        (403, "", ErrorKind::Denied),
        (413, "", ErrorKind::TooLarge),
        (507, "", ErrorKind::Transport),
    ] {
        let server = Script::start().await;
        let small = blob(b"small");
        let single = format!("/v2/a/b/blobs/uploads/?digest={}", small.digest);
        server.expect(Exchange::new("POST", single).sending(b"small").answer(status).body(body));
        let body = bytes::Bytes::from_static(b"small").into();
        let error = remote(&server).ensure_blob(&small, body).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        server.finish();
    }
}

#[tokio::test]
async fn a_small_blob_that_only_the_target_has_is_not_an_error() {
    let server = Script::start().await;
    let small = blob(b"small");
    server.expect(Exchange::new("HEAD", blob_path(&small)).body(*b"small"));
    let body = BlobBody::source(Arc::new(Memory::new()));
    let pushed = remote(&server).ensure_blob(&small, body).await;
    assert_eq!(pushed.unwrap(), Pushed::Existing);
    server.finish();
}

#[tokio::test]
async fn a_single_post_is_sent_again_with_credentials_after_a_challenge() {
    let server = Script::start().await;
    let content = b"small";
    let small = blob(content);
    let registry = place(&server).registry().clone();
    let client = quick().credentials(login(registry, "user", "s3cret")).build();
    let single = || {
        let target = format!("/v2/a/b/blobs/uploads/?digest={}", small.digest);
        Exchange::new("POST", target).sending(content)
    };
    server.expect(single().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(single().with("authorization", "Basic dXNlcjpzM2NyZXQ=").answer(201));
    server.expect(Exchange::new("POST", mount_of(&small)).answer(201));
    let repository = client.repository(&place(&server));
    let pushed = repository.ensure_blob(&small, bytes::Bytes::from_static(content).into()).await;
    assert_eq!(pushed.unwrap(), Pushed::Sent);
    server.finish();
}

fn begin(at: u8) -> Exchange {
    let begun = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
    begun.header("location", format!("/v2/u/{at}"))
}

fn finish(of: &Descriptor, at: u8, sent: &[u8]) -> Exchange {
    let target = format!("/v2/u/{at}?digest={}", of.digest);
    Exchange::new("PUT", target).sending(sent).answer(201)
}

/// Returns the path that requests a mount from the repository itself.
pub(crate) fn mount_of(descriptor: &Descriptor) -> String {
    let digest = descriptor.digest.as_str().replace(':', "%3A");
    format!("/v2/a/b/blobs/uploads/?mount={digest}&from=a%2Fb")
}
