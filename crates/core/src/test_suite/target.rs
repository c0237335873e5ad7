//! The contract for writes.

use std::sync::Arc;

use crate::{
    Algorithm, BlobBody, BlobStream, CHUNK_SIZE, Descriptor, Error, ErrorKind, GuardMethod,
    MediaType, Memory, Node, Presence, Pushed, Repository, Source as _, SourceExt as _, Tag,
    TagGuard, Target,
};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream;

use super::random;
use super::tag;
use super::{Content, Image};
use crate::blob_file::Spooled;

/// A store holds the blobs and the manifest of an image only after a push.
pub async fn pushed_content_is_held(store: Arc<dyn Target>) {
    let image = Image::small(1).build();
    let nodes = || {
        let blobs = image.blobs.iter().map(|(d, _)| Node::Blob(d));
        blobs.chain([Node::Manifest(image.root.descriptor())])
    };
    for node in nodes() {
        assert_eq!(store.holds(node).await.unwrap(), Presence::Absent);
    }
    image.push(&*store, None).await;
    for node in nodes() {
        assert_ne!(store.holds(node).await.unwrap(), Presence::Absent);
    }
}

/// Bytes, a file, a blob of another store, a reader and a stream are all accepted.
pub async fn every_kind_of_body_is_accepted(store: Arc<dyn Target>) {
    let elsewhere = Memory::new();
    for (seed, kind) in ["bytes", "file", "source", "reader", "stream"].iter().enumerate() {
        let (descriptor, content) = blob(seed as u64, 2 * CHUNK_SIZE + 5);
        let pushed = elsewhere.push_blob(&descriptor, content.clone().into());
        pushed.await.unwrap();
        let file = Spooled::write(chunks(&content), None).await.unwrap();
        let body = match *kind {
            "bytes" => content.clone().into(),
            "file" => BlobBody::file(file.path()),
            "source" => BlobBody::source(Arc::new(elsewhere.clone())),
            "reader" => elsewhere.blob(&descriptor).await.unwrap().into(),
            _ => BlobBody::stream(chunks(&content)),
        };
        store.push_blob(&descriptor, body).await.unwrap();
        assert_whole(&*store, &descriptor, &content).await;
    }
}

/// Content that does not match its descriptor (shorter, longer or different) is refused and stays
/// invisible.
pub async fn a_push_of_damaged_content_leaves_nothing(store: Arc<dyn Target>) {
    let (descriptor, content) = blob(1, CHUNK_SIZE + 100);
    let mut other = content.to_vec();
    other[CHUNK_SIZE / 2] ^= 1;
    let long = [&content[..], b"x"].concat();
    for (damaged, kind) in [
        (content.slice(..CHUNK_SIZE), ErrorKind::SizeMismatch),
        (Bytes::new(), ErrorKind::SizeMismatch),
        (long.into(), ErrorKind::SizeMismatch),
        (other.into(), ErrorKind::DigestMismatch),
    ] {
        for body in [damaged.clone().into(), BlobBody::stream(chunks(&damaged))] {
            let pushed = store.push_blob(&descriptor, body).await;
            assert_eq!(pushed.unwrap_err().kind(), kind);
            assert_absent(&*store, &descriptor).await;
        }
    }
}

/// A push of damaged content does not change existing content, even if the store does not read the
/// pushed content.
pub async fn a_push_of_damaged_content_does_not_change_existing_content(store: Arc<dyn Target>) {
    let (descriptor, content) = blob(1, CHUNK_SIZE + 100);
    let pushed = store.push_blob(&descriptor, content.clone().into()).await;
    pushed.unwrap();
    let damaged = vec![0; content.len()];
    // The push may succeed or fail, because a store need not read content that it already has.
    drop(store.push_blob(&descriptor, Bytes::from(damaged).into()).await);
    assert_whole(&*store, &descriptor, &content).await;
}

/// A stream that fails leaves nothing behind, and the next attempt succeeds.
pub async fn a_broken_stream_leaves_nothing(store: Arc<dyn Target>) {
    let (descriptor, content) = blob(1, 2 * CHUNK_SIZE);
    let broken =
        stream::iter([Ok(content.slice(..CHUNK_SIZE)), Err(Error::new(ErrorKind::Transport))]);
    let body = BlobBody::stream(BlobStream::new(broken));
    assert!(store.push_blob(&descriptor, body).await.is_err());
    assert_absent(&*store, &descriptor).await;
    let pushed = store.push_blob(&descriptor, content.clone().into()).await;
    pushed.unwrap();
    assert_whole(&*store, &descriptor, &content).await;
}

/// Content can be addressed by sha384 and sha512 as well as by sha256.
pub async fn every_supported_digest_algorithm_is_accepted(store: Arc<dyn Target>) {
    let content = random::bytes(1, 1000);
    for algorithm in Algorithm::ALL {
        let digest = algorithm.digest(&content);
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, digest, 1000);
        let pushed = store.push_blob(&descriptor, content.clone().into()).await;
        pushed.unwrap();
        assert_whole(&*store, &descriptor, &content).await;
    }
}

/// A second push of the same content succeeds and changes nothing.
pub async fn two_pushes_have_the_same_effect_as_one(store: Arc<dyn Target>) {
    let index = Image::small_index(1);
    for _ in 0..2 {
        index.push(&*store, Some(&tag("v1"))).await;
    }
    index.assert_in(&*store, &tag("v1").into()).await;
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v1")]);
}

/// Eight parallel pushes of one blob all succeed, and the blob is undamaged.
pub async fn parallel_pushes_of_one_blob_succeed(store: Arc<dyn Target>) {
    let (descriptor, content) = blob(1, CHUNK_SIZE + 1);
    let pushes = (0..8).map(|_| {
        let (store, descriptor, content) =
            (Arc::clone(&store), descriptor.clone(), content.clone());
        tokio::spawn(async move { store.push_blob(&descriptor, content.into()).await })
    });
    for pushed in try_join_all(pushes).await.unwrap() {
        pushed.unwrap();
    }
    assert_whole(&*store, &descriptor, &content).await;
}

/// Sixteen blobs pushed in parallel are all stored.
pub async fn parallel_pushes_of_many_blobs_are_all_stored(store: Arc<dyn Target>) {
    let blobs: Vec<_> = (0..16).map(|n| blob(n, CHUNK_SIZE / 2)).collect();
    let pushes = blobs.iter().cloned().map(|(descriptor, content)| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.push_blob(&descriptor, content.into()).await })
    });
    for pushed in try_join_all(pushes).await.unwrap() {
        pushed.unwrap();
    }
    for (descriptor, content) in &blobs {
        assert_whole(&*store, descriptor, content).await;
    }
}

/// Sixteen manifests that are pushed with tags in parallel keep their tags. No change of the
/// listing overwrites another change.
pub async fn tags_that_are_pushed_in_parallel_are_all_kept(store: Arc<dyn Target>) {
    let images: Vec<Content> = (0..16).map(|n| Image::small(n).build()).collect();
    let name = |n: usize| tag(&format!("v{n:02}"));
    let pushes = images.iter().cloned().enumerate().map(|(n, image)| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { image.push(&*store, Some(&name(n))).await })
    });
    try_join_all(pushes).await.unwrap();
    let listed: Vec<Tag> = store.tags(None).all().await.unwrap();
    assert_eq!(listed, (0..16).map(name).collect::<Vec<_>>());
    let checks = images.iter().enumerate().map(|(n, image)| {
        let selector = name(n).into();
        let store = Arc::clone(&store);
        async move { image.assert_in(&*store, &selector).await }
    });
    join_all(checks).await;
}

/// A guarded push sets the tag only if the tag meets the guard. Otherwise, nothing is written.
pub async fn a_guarded_push_sets_the_tag_only_if_it_meets_the_guard(store: Arc<dyn Target>) {
    let [one, two, three] = [1, 2, 3].map(|seed| Image::small(seed).build());
    let v1 = tag("v1");
    for image in [&one, &two, &three] {
        for (descriptor, content) in &image.blobs {
            store.push_blob(descriptor, content.clone().into()).await.unwrap();
        }
    }
    let at = |image: &Content| TagGuard::PointsAt(image.root.digest().clone());
    for (image, guard, is_met) in [
        (&one, at(&two), false),
        (&one, TagGuard::Absent, true),
        (&two, TagGuard::Absent, false),
        (&two, at(&three), false),
        (&two, at(&one), true),
        (&three, at(&one), false),
    ] {
        let before = store.tagged(&v1).await.unwrap();
        let pushed = store.push_guarded(&image.root, &v1, &guard).await;
        let expected = if is_met { Some(image.root.digest().clone()) } else { before };
        assert_eq!(pushed.map_err(|e| e.kind()).err(), (!is_met).then_some(ErrorKind::Conflict));
        assert_eq!(store.tagged(&v1).await.unwrap(), expected);
    }
    let refused = Node::Manifest(three.root.descriptor());
    assert_eq!(store.holds(refused).await.unwrap(), Presence::Absent);
}

/// Of eight parallel pushes to a tag that must not exist, one succeeds, if the store checks the
/// guard and sets the tag in one step. Every other store reports that it did not.
pub async fn parallel_guarded_pushes_are_atomic_or_reported(store: Arc<dyn Target>) {
    let images: Vec<Content> = (0..8).map(|n| Image::small(n).build()).collect();
    let pushes = images.iter().cloned().map(|image| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            image.push(&*store, None).await;
            store.push_guarded(&image.root, &tag("v1"), &TagGuard::Absent).await
        })
    });
    let results = try_join_all(pushes).await.unwrap();
    let found = store.tagged(&tag("v1")).await.unwrap();
    let mut winners = Vec::new();
    for (image, result) in images.iter().zip(results) {
        match result {
            Ok(method) => winners.push((image.root.digest(), method)),
            Err(e) => assert_eq!(e.kind(), ErrorKind::Conflict, "{e}"),
        }
    }
    if winners.iter().any(|(_, method)| *method == GuardMethod::Atomic) {
        assert_eq!(winners.len(), 1);
    }
    assert!(winners.iter().any(|(digest, _)| Some(*digest) == found.as_ref()));
}

/// A tag that is pushed again points at the new manifest. The old manifest can still be read by its
/// digest.
pub async fn a_tag_moves_and_the_old_manifest_stays(store: Arc<dyn Target>) {
    let (old, new) = (Image::small(1).build(), Image::small(2).build());
    old.push(&*store, Some(&tag("v1"))).await;
    new.push(&*store, Some(&tag("v1"))).await;
    new.assert_in(&*store, &tag("v1").into()).await;
    old.assert_in(&*store, &old.root.digest().clone().into()).await;
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v1")]);
}

/// A manifest that is pushed without a tag can be read only by its digest.
pub async fn a_push_without_a_tag_sets_no_tag(store: Arc<dyn Target>) {
    let (named, nameless) = (Image::small(1).build(), Image::small(2).build());
    named.push(&*store, Some(&tag("v1"))).await;
    nameless.push(&*store, None).await;
    let selector = nameless.root.digest().clone().into();
    nameless.assert_in(&*store, &selector).await;
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v1")]);
}

/// An index is stored with its images. Each image can be read by its digest and has no tag.
pub async fn an_index_is_stored_with_its_children(store: Arc<dyn Target>) {
    let index = Image::small_index(1);
    index.push(&*store, Some(&tag("v1"))).await;
    index.assert_in(&*store, &tag("v1").into()).await;
    let resolved = store.resolve(&tag("v1").into()).await.unwrap();
    assert_eq!(resolved.media_type, MediaType::OCI_INDEX);
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v1")]);
}

/// A store may refuse a manifest with missing children. In that case, the manifest and its tag stay
/// invisible.
pub async fn a_manifest_with_missing_children_is_accepted_or_stays_invisible(
    store: Arc<dyn Target>,
) {
    let image = Image::small(1).build();
    let selector = tag("v1").into();
    match store.push_manifest(&image.root, Some(&tag("v1"))).await {
        Ok(()) => {
            let found = store.manifest(&selector).await.unwrap();
            assert_eq!(found.bytes(), image.root.bytes());
        }
        Err(error) => {
            let kind = error.kind();
            assert!(matches!(kind, ErrorKind::Invalid | ErrorKind::NotFound), "{error}");
            for selector in [selector, image.root.digest().clone().into()] {
                let found = store.resolve(&selector).await;
                assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
            }
        }
    }
}

/// A signature may be pushed before its subject, and is listed before and after the push of the
/// subject.
pub async fn a_referrer_may_be_pushed_before_its_subject(store: Arc<dyn Target>) {
    let subject = Image::small(1).build();
    let signature = Image::small(2).subject(subject.root.descriptor()).build();
    signature.push(&*store, None).await;
    for _ in 0..2 {
        let found = store.referrers(subject.root.digest(), None).all().await;
        let digests: Vec<_> = found.unwrap().into_iter().map(|d| d.digest).collect();
        assert_eq!(digests, [signature.root.digest().clone()]);
        subject.push(&*store, Some(&tag("v1"))).await;
    }
}

/// A blob that the other repository does not have cannot be mounted, and does not appear.
pub async fn a_mount_from_a_missing_repository_fails(store: Arc<dyn Target>) {
    let (descriptor, _) = blob(1, 10);
    let mount = BlobBody::mount(missing_repository(&*store));
    let failed = store.push_blob(&descriptor, mount).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Unsupported);
    assert_absent(&*store, &descriptor).await;
}

/// If the origin does not have a blob, the content is sent.
pub async fn content_that_cannot_be_mounted_is_sent(store: Arc<dyn Target>) {
    let (descriptor, content) = blob(1, 10);
    let body = BlobBody::from(content).with_origin(missing_repository(&*store));
    assert_eq!(store.push_blob(&descriptor, body).await.unwrap(), Pushed::Sent);
    let mount = BlobBody::mount(missing_repository(&*store));
    assert_eq!(store.ensure_blob(&descriptor, mount).await.unwrap(), Pushed::Existing);
}

/// Returns a repository that does not exist. It is at the registry of the store, or at
/// `localhost:1` if the store is not at a registry.
fn missing_repository(store: &dyn Target) -> Repository {
    let registry = store.origin().map_or("localhost:1", |origin| origin.registry().as_str());
    format!("{registry}/no/such").parse().unwrap()
}

fn blob(seed: u64, size: usize) -> (Descriptor, Bytes) {
    let content = random::bytes(seed, size);
    (Descriptor::from_bytes(MediaType::OCTET_STREAM, &content), content)
}

/// Returns the content as a stream of several chunks.
fn chunks(content: &Bytes) -> BlobStream {
    let chunks: Vec<_> =
        content.chunks(CHUNK_SIZE / 3 + 1).map(|chunk| Ok(content.slice_ref(chunk))).collect();
    BlobStream::new(stream::iter(chunks))
}

async fn assert_whole(store: &dyn Target, descriptor: &Descriptor, content: &Bytes) {
    let reader = store.blob(descriptor).await.unwrap();
    let found = reader.bytes(content.len()).await.unwrap();
    assert!(found == *content, "{} differs", descriptor.digest);
}

async fn assert_absent(store: &dyn Target, descriptor: &Descriptor) {
    assert_eq!(store.blob_size(&descriptor.digest).await.unwrap(), None);
    let held = store.holds(Node::Blob(descriptor)).await.unwrap();
    assert_eq!(held, Presence::Absent);
    let opened = store.blob(descriptor).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
}
