//! The contract for deletes.

use std::sync::Arc;

use crate::{Delete, Digest, Error, ErrorKind, MediaType, TargetExt as _, untag};
use bytes::Bytes;

use super::Image;
use super::tag;

/// Removing one tag keeps the manifest and its other tags. This is also true if the store cannot
/// delete tags, and `untag` uses a placeholder.
pub async fn an_untag_keeps_the_other_tags(store: Arc<dyn Delete>) {
    let image = Image::small(1).build();
    for name in ["v1", "v2", "latest"] {
        image.push(&*store, Some(&tag(name))).await;
    }
    untag(&*store, &tag("v2")).await.unwrap();
    let listed = store.tags(None).all().await.unwrap();
    assert_eq!(listed, [tag("latest"), tag("v1")]);
    let missing = store.resolve(&tag("v2").into()).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    image.assert_in(&*store, &tag("v1").into()).await;
    image.assert_in(&*store, &image.root.digest().clone().into()).await;
}

/// A deleted manifest can no longer be read by its digest or by its tags. Other manifests stay.
pub async fn deleting_a_manifest_deletes_its_tags(store: Arc<dyn Delete>) {
    let (deleted, kept) = (Image::small(1).build(), Image::small(2).build());
    deleted.push(&*store, Some(&tag("v1"))).await;
    deleted.push(&*store, Some(&tag("latest"))).await;
    kept.push(&*store, Some(&tag("v2"))).await;
    store.delete_manifest(deleted.root.digest()).await.unwrap();
    for selector in [deleted.root.digest().clone().into(), tag("v1").into(), tag("latest").into()] {
        let missing = store.manifest(&selector).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound, "{selector}");
    }
    assert_eq!(store.tags(None).all().await.unwrap(), [tag("v2")]);
    kept.assert_in(&*store, &tag("v2").into()).await;
}

/// A deleted referrer is no longer listed, and its subject stays.
pub async fn a_deleted_referrer_is_no_longer_listed(store: Arc<dyn Delete>) {
    let subject = Image::small(1).build();
    subject.push(&*store, Some(&tag("v1"))).await;
    let refer = |seed| Image::small(seed).subject(subject.root.descriptor()).build();
    let (deleted, kept) = (refer(2), refer(3));
    deleted.push(&*store, None).await;
    kept.push(&*store, None).await;
    store.delete_manifest(deleted.root.digest()).await.unwrap();
    let listed = store.referrers(subject.root.digest(), None).all().await;
    let digests: Vec<_> = listed.unwrap().into_iter().map(|d| d.digest).collect();
    assert_eq!(digests, [kept.root.digest().clone()]);
    subject.assert_in(&*store, &tag("v1").into()).await;
}

/// A deleted blob no longer exists if the store removes blobs. Otherwise, the blob stays complete.
pub async fn a_deleted_blob_no_longer_exists(store: Arc<dyn Delete>) {
    let content = Bytes::from_static(b"deleted");
    let pushed = store.push_bytes(MediaType::OCTET_STREAM, content.clone()).await;
    let descriptor = pushed.unwrap();
    if removed(store.delete_blob(&descriptor.digest).await) {
        assert_eq!(store.blob_size(&descriptor.digest).await.unwrap(), None);
        let missing = store.blob(&descriptor).await;
        assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    } else {
        let reader = store.blob(&descriptor).await.unwrap();
        assert_eq!(reader.bytes(content.len()).await.unwrap(), content);
    }
}

/// A delete of missing content fails with `NotFound`. For tags and blobs, `Unsupported` is also
/// allowed.
pub async fn missing_content_cannot_be_deleted(store: Arc<dyn Delete>) {
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
pub async fn deleted_content_can_be_pushed_again(store: Arc<dyn Delete>) {
    let image = Image::small(1).build();
    image.push(&*store, Some(&tag("v1"))).await;
    store.delete_manifest(image.root.digest()).await.unwrap();
    for (descriptor, _) in &image.blobs {
        removed(store.delete_blob(&descriptor.digest).await);
    }
    image.push(&*store, Some(&tag("v1"))).await;
    image.assert_in(&*store, &tag("v1").into()).await;
}

/// Returns true if the store deleted the content, and false if the store does not support this
/// delete.
fn removed(result: Result<(), Error>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::Unsupported => false,
        Err(error) => panic!("{error}"),
    }
}
