//! Operations on several tags of a manifest.

use futures_util::TryStreamExt as _;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Delete, Source, Target};

/// Adds tags to an existing manifest. Pushes the exact bytes of the manifest under each tag, so
/// that its digest does not change. A tag that points at another manifest is moved.
///
/// Returns the descriptor of the manifest.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the manifest does not exist; the errors of the store. After
/// an error, the tags before the failed tag are already set.
pub async fn add_tags(
    store: &(impl Target + ?Sized),
    selector: &TagOrDigest,
    tags: &[Tag],
) -> Result<Descriptor> {
    let manifest = store.manifest(selector).await?;
    for tag in tags {
        store.push_manifest(&manifest, Some(tag)).await?;
    }
    Ok(manifest.descriptor().clone())
}

/// Returns the tags that point at a manifest, in order. Resolves every tag, because stores do not
/// support this query.
///
/// # Errors
/// The errors of the store.
pub async fn tags_for_digest(store: &(impl Source + ?Sized), digest: &Digest) -> Result<Vec<Tag>> {
    let mut tags: Vec<Tag> = store
        .tags(None)
        .items()
        .map_ok(|tag| async {
            match store.resolve(&tag.clone().into()).await {
                Ok(found) if found.digest == *digest => Ok(Some(tag)),
                Ok(_) => Ok(None),
                // The tag was deleted after it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        })
        .try_buffer_unordered(PARALLEL)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    tags.sort();
    Ok(tags)
}

/// A manifest that was deleted, and the tags that were deleted with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteResult {
    /// The digest of the manifest.
    pub digest: Digest,
    /// The tags that pointed at the manifest.
    pub tags: Vec<Tag>,
}

/// Deletes the manifest that a tag or digest names, and every tag that points at it. The manifest
/// is deleted by its digest. To remove a single tag, use [`untag`](crate::untag).
///
/// The children of an index stay.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the manifest does not exist;
/// [`Unsupported`](ErrorKind::Unsupported) if the store does not support deletes.
pub async fn delete_with_tags(
    store: &(impl Delete + ?Sized),
    selector: &TagOrDigest,
) -> Result<DeleteResult> {
    let digest = store.resolve(selector).await?.digest;
    let tags = tags_for_digest(store, &digest).await?;
    store.delete_manifest(&digest).await.map_err(|e| match e.kind() {
        ErrorKind::Unsupported => {
            e.with_hint("The registry does not delete manifests. Its owner can allow deletes.")
        }
        _ => e,
    })?;
    Ok(DeleteResult { digest, tags })
}

/// The number of tags that are resolved in parallel.
const PARALLEL: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Pack};

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap()
    }

    async fn store() -> (Memory, Descriptor) {
        let store = Memory::new();
        let pack = |content: &'static str| {
            Pack::artifact("text/plain".parse().unwrap()).file("file", content)
        };
        let one = pack("one").push(&store, Some(&tag("v1"))).await.unwrap();
        pack("two").push(&store, Some(&tag("other"))).await.unwrap();
        (store, one)
    }

    #[tokio::test]
    async fn adding_tags_keeps_the_digest() {
        let (store, one) = store().await;
        let more = [tag("latest"), tag("other")];
        let tagged = add_tags(&store, &tag("v1").into(), &more).await.unwrap();
        assert_eq!(tagged.digest, one.digest);
        let found = tags_for_digest(&store, &one.digest).await.unwrap();
        assert_eq!(found, [tag("latest"), tag("other"), tag("v1")]);
        let missing = add_tags(&store, &tag("v9").into(), &more).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_delete_returns_the_deleted_tags_and_keeps_the_others() {
        let (store, one) = store().await;
        add_tags(&store, &tag("v1").into(), &[tag("latest")]).await.unwrap();
        let deleted = delete_with_tags(&store, &tag("latest").into()).await.unwrap();
        assert_eq!(deleted.digest, one.digest);
        assert_eq!(deleted.tags, [tag("latest"), tag("v1")]);
        assert_eq!(store.tags(None).all().await.unwrap(), [tag("other")]);
        let again = delete_with_tags(&store, &tag("latest").into()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
}
