//! The contract of deletion.

use std::sync::Arc;

use crate::{Delete, Descriptor, Digest, Error, ErrorKind, MediaType, untag};
use bytes::Bytes;

use super::Image;
use super::tag;

/// Removing one tag keeps the manifest and its other tags, even if the store deletes no tags, so
/// that `untag` uses a placeholder.
pub async fn an_untag_leaves_the_siblings(store: Arc<dyn Delete>) {
    let image = Image::small(1).build();
    for name in ["v1", "v2", "latest"] {
        image.push(&*store, Some(&tag(name))).await;
    }
    untag(&*store, &tag("v2")).await.unwrap();
    let listed = store.tags(None).all().await.unwrap();
    assert_eq!(listed, [tag("latest"), tag("v1")]);
    let gone = store.resolve(&tag("v2").into()).await;
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    image.assert_in(&*store, &tag("v1").into()).await;
    image.assert_in(&*store, &image.root.digest().clone().into()).await;
}

/// A deleted manifest is gone by digest and by each of its tags; others stay.
pub async fn a_deleted_manifest_takes_its_tags(store: Arc<dyn Delete>) {
    let (doomed, kept) = (Image::small(1).build(), Image::small(2).build());
    doomed.push(&*store, Some(&tag("v1"))).await;
    doomed.push(&*store, Some(&tag("latest"))).await;
    kept.push(&*store, Some(&tag("v2"))).await;
    store.delete_manifest(doomed.root.digest()).await.unwrap();
    for selector in [doomed.root.digest().clone().into(), tag("v1").into(), tag("latest").into()] {
        let gone = store.manifest(&selector).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound, "{selector}");
    }
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v2")]);
    kept.assert_in(&*store, &tag("v2").into()).await;
}

/// A deleted signature is no longer listed; the subject stays.
pub async fn a_deleted_referrer_is_listed_no_more(store: Arc<dyn Delete>) {
    let subject = Image::small(1).build();
    subject.push(&*store, Some(&tag("v1"))).await;
    let refer = |seed| Image::small(seed).subject(subject.root.descriptor()).build();
    let (doomed, kept) = (refer(2), refer(3));
    doomed.push(&*store, None).await;
    kept.push(&*store, None).await;
    store.delete_manifest(doomed.root.digest()).await.unwrap();
    let listed = store.referrers(subject.root.digest(), None).all().await;
    let digests: Vec<_> = listed.unwrap().into_iter().map(|d| d.digest).collect();
    assert_eq!(digests, [kept.root.digest().clone()]);
    subject.assert_in(&*store, &tag("v1").into()).await;
}

/// A deleted blob is gone, if the store removes blobs; otherwise it stays complete.
pub async fn a_deleted_blob_is_gone(store: Arc<dyn Delete>) {
    let content = Bytes::from_static(b"doomed");
    let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, &content);
    let pushed = store.push_blob(&descriptor, content.clone().into()).await;
    pushed.unwrap();
    if removed(store.delete_blob(&descriptor.digest).await) {
        assert_eq!(store.blob_size(&descriptor.digest).await.unwrap(), None);
        let gone = store.blob(&descriptor).await;
        assert_eq!(gone.unwrap_err().kind(), ErrorKind::NotFound);
    } else {
        let reader = store.blob(&descriptor).await.unwrap();
        assert_eq!(reader.bytes(content.len()).await.unwrap(), content);
    }
}

/// Removing missing content is an error that says so.
pub async fn what_is_not_there_cannot_be_deleted(store: Arc<dyn Delete>) {
    Image::small(1).build().push(&*store, Some(&tag("v1"))).await;
    let missing = Digest::sha256(b"missing");
    let deleted = store.delete_manifest(&missing).await;
    assert_eq!(deleted.unwrap_err().kind(), ErrorKind::NotFound);
    for error in [
        store.delete_tag(&tag("v2")).await.unwrap_err(),
        store.delete_blob(&missing).await.unwrap_err(),
    ] {
        let kind = error.kind();
        assert!(matches!(kind, ErrorKind::NotFound | ErrorKind::Unsupported), "{error}");
    }
}

/// Deleted content can be pushed again.
pub async fn what_was_deleted_can_come_back(store: Arc<dyn Delete>) {
    let image = Image::small(1).build();
    image.push(&*store, Some(&tag("v1"))).await;
    store.delete_manifest(image.root.digest()).await.unwrap();
    for (descriptor, _) in &image.blobs {
        removed(store.delete_blob(&descriptor.digest).await);
    }
    image.push(&*store, Some(&tag("v1"))).await;
    image.assert_in(&*store, &tag("v1").into()).await;
}

/// Returns true if a store deleted it, and false if the store does not support that.
fn removed(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::Unsupported => false,
        Err(error) => panic!("{error}"),
    }
}
