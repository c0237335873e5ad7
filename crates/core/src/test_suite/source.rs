//! The contract for reads.

use std::ops::Range;
use std::sync::Arc;

use crate::{CHUNK_SIZE, Descriptor, Digest, ErrorKind, MediaType, Tag, Target, TargetExt as _};
use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::Image;
use super::random;
use super::tag;

/// Blobs of zero, one and many chunks are returned as pushed, with their size.
pub async fn blobs_of_every_size_are_returned_unchanged(store: Arc<dyn Target>) {
    for size in [0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE + 7] {
        let (descriptor, content) = push(&*store, size).await;
        let reader = store.blob(&descriptor).await.unwrap();
        assert_eq!(reader.descriptor().size, size as u64);
        let found = reader.bytes(size).await.unwrap();
        assert!(found == content, "{size} bytes differ");
        let size_found = store.blob_size(&descriptor.digest).await.unwrap();
        assert_eq!(size_found, Some(size as u64));
    }
}

/// Opening a missing blob fails immediately with `NotFound`, and its size is `None`.
pub async fn a_missing_blob_is_not_found_when_opened(store: Arc<dyn Target>) {
    push(&*store, 3).await;
    let missing = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"missing");
    let opened = store.blob(&missing).await;
    assert_eq!(opened.unwrap_err().kind(), ErrorKind::NotFound);
    let part = store.blob_range(&missing, 0..1).await;
    assert_eq!(part.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(store.blob_size(&missing.digest).await.unwrap(), None);
}

/// If the descriptor has a wrong size, opening or reading the blob fails.
pub async fn a_blob_of_another_size_is_never_returned_whole(store: Arc<dyn Target>) {
    let (descriptor, _) = push(&*store, 100).await;
    for size in [99, 101] {
        let mut lying = descriptor.clone();
        lying.size = size;
        if let Ok(reader) = store.blob(&lying).await {
            assert!(reader.bytes(200).await.is_err(), "{size}");
        }
    }
}

/// A range returns the bytes from its start up to its end, which is exclusive.
pub async fn a_range_of_a_blob_returns_exactly_its_bytes(store: Arc<dyn Target>) {
    let size = CHUNK_SIZE + 10;
    let (descriptor, content) = push(&*store, size).await;
    for range in [
        0..0,
        0..1,
        0..size,
        1..size - 1,
        size - 1..size,
        size..size,
        CHUNK_SIZE - 1..CHUNK_SIZE + 1,
    ] {
        let part = wide(&range);
        let stream = store.blob_range(&descriptor, part).await.unwrap();
        let found = stream.bytes(size).await.unwrap();
        assert!(found == content[range.clone()], "{range:?} differs");
    }
}

/// A range beyond the end of the blob is refused, and not truncated.
pub async fn a_range_beyond_the_end_is_invalid(store: Arc<dyn Target>) {
    let (descriptor, _) = push(&*store, 10).await;
    for range in [0..11, 10..11, 11..12] {
        let error = match store.blob_range(&descriptor, range.clone()).await {
            Err(error) => error,
            Ok(stream) => stream.bytes(100).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Invalid, "{range:?}");
    }
}

/// A manifest has exactly the pushed bytes, by tag and by digest, and `resolve` returns its
/// descriptor.
pub async fn a_manifest_keeps_its_exact_bytes(store: Arc<dyn Target>) {
    let image = Image::small(1)
        .field("org.example.unknown", serde_json::json!({"kept": [1, null]}))
        .build();
    image.push(&*store, Some(&tag("v1"))).await;
    for selector in [tag("v1").into(), image.root.digest().clone().into()] {
        let found = store.manifest(&selector).await.unwrap();
        assert_eq!(found.bytes(), image.root.bytes());
        assert_eq!(found.media_type(), &MediaType::OCI_MANIFEST);
        let resolved = store.resolve(&selector).await.unwrap();
        assert_eq!(&resolved, image.root.descriptor());
    }
}

/// Unknown tags and digests are not found, in an empty store and in a store with content.
pub async fn unknown_manifests_are_not_found(store: Arc<dyn Target>) {
    for pushed in [false, true] {
        if pushed {
            Image::small(1).build().push(&*store, Some(&tag("v1"))).await;
        }
        for selector in [tag("v2").into(), Digest::sha256(b"missing").into()] {
            let resolved = store.resolve(&selector).await;
            assert_eq!(resolved.unwrap_err().kind(), ErrorKind::NotFound);
            let found = store.manifest(&selector).await;
            assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
}

/// Tags are ordered by text. `after` excludes the given tag and all tags before it, even if the
/// given tag does not exist.
pub async fn tags_are_ordered_and_start_after_the_given_tag(store: Arc<dyn Target>) {
    let image = Image::small(1).build();
    for name in ["b", "V1", "a.1", "_x", "a", "10", "9"] {
        image.push(&*store, Some(&tag(name))).await;
    }
    let ordered = ["10", "9", "V1", "_x", "a", "a.1", "b"].map(tag);
    assert_eq!(store.tags(None).all().await.unwrap(), ordered);
    for (after, rest) in [("a", &ordered[5..]), ("W", &ordered[3..]), ("b", &[])] {
        let found = store.tags(Some(&tag(after))).all().await.unwrap();
        assert_eq!(found, rest, "after {after}");
        let found = store.next_tags(&tag(after)).all().await.unwrap();
        assert_eq!(found, rest, "next after {after}");
    }
}

/// A listing of several pages contains every tag once.
pub async fn each_of_many_tags_is_listed_once(store: Arc<dyn Target>) {
    let image = Image::small(1).build();
    image.push(&*store, None).await;
    let names: Vec<Tag> = (0..130).map(|n| tag(&format!("v{n:03}"))).collect();
    for name in &names {
        store.push_manifest(&image.root, Some(name)).await.unwrap();
    }
    let mut listed = Vec::new();
    let mut pages = store.tags(None);
    while let Some(page) = pages.try_next().await.unwrap() {
        listed.extend(page.items);
    }
    assert_eq!(listed, names);
}

/// Referrers are listed with their artifact type and annotations, and the filter selects one
/// artifact type.
pub async fn referrers_are_listed_and_filtered(store: Arc<dyn Target>) {
    let subject = Image::small(1).build();
    subject.push(&*store, Some(&tag("v1"))).await;
    let refer = |seed, kind: &str| {
        Image::small(seed)
            .subject(subject.root.descriptor())
            .artifact_type(kind)
            .field("annotations", serde_json::json!({"org.example.kind": kind}))
            .build()
    };
    let (signature, bill) = (refer(2, "a/signature"), refer(3, "a/bill"));
    signature.push(&*store, None).await;
    bill.push(&*store, None).await;

    let all = store.referrers(subject.root.digest(), None).all().await;
    let mut found: Vec<Digest> = all.unwrap().into_iter().map(|d| d.digest).collect();
    let mut wanted = [signature.root.digest().clone(), bill.root.digest().clone()];
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    if let Some(own) = store.listed_referrers(subject.root.digest()).await.unwrap() {
        let own = own.all().await.unwrap();
        let mut own: Vec<Digest> = own.into_iter().map(|d| d.digest).collect();
        own.sort();
        assert_eq!(own, wanted);
    }

    let kind = MediaType::parse("a/bill").unwrap();
    let some = store.referrers(subject.root.digest(), Some(&kind)).all().await;
    let [listed] = &some.unwrap()[..] else {
        panic!("expected only the artifact of this type");
    };
    assert_eq!(listed.digest, *bill.root.digest());
    assert_eq!(listed.size, bill.root.descriptor().size);
    assert_eq!(listed.media_type, MediaType::OCI_MANIFEST);
    assert_eq!(listed.artifact_type.as_ref(), Some(&kind));
    assert_eq!(listed.annotations.get("org.example.kind"), Some("a/bill"));
}

/// The listing is empty for content without referrers, even if the content is missing.
pub async fn content_without_referrers_has_an_empty_list_of_referrers(store: Arc<dyn Target>) {
    let image = Image::small(1).build();
    image.push(&*store, Some(&tag("v1"))).await;
    for subject in [image.root.digest().clone(), Digest::sha256(b"missing")] {
        let found = store.referrers(&subject, None).all().await.unwrap();
        assert_eq!(found, []);
    }
}

async fn push(store: &dyn Target, size: usize) -> (Descriptor, Bytes) {
    let content = random::bytes(size as u64, size);
    let pushed = store.push_bytes(MediaType::OCTET_STREAM, content.clone()).await;
    (pushed.unwrap(), content)
}

fn wide(range: &Range<usize>) -> Range<u64> {
    range.start as u64..range.end as u64
}
