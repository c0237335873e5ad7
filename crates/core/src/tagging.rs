//! What is done with several tags at once.

use futures_util::TryStreamExt as _;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result};
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Delete, Source, Target};

/// Gives a manifest that is there more tags: its very bytes are pushed under each, so its digest
/// stays what it is. A tag that points elsewhere is moved.
///
/// Returns what the tags point at now.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there is no such manifest; the store's error, after which the
/// tags before it are there.
pub async fn put_tags(
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

/// The tags that point at a manifest, in order. No store tells, so every tag is looked at.
///
/// # Errors
/// Whatever keeps the store from telling.
pub async fn tags_of(store: &(impl Source + ?Sized), digest: &Digest) -> Result<Vec<Tag>> {
    let mut tags: Vec<Tag> = store
        .tags(None)
        .items()
        .map_ok(|tag| async {
            match store.resolve(&tag.clone().into()).await {
                Ok(there) if there.digest == *digest => Ok(Some(tag)),
                Ok(_) => Ok(None),
                // Gone since it was listed.
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        })
        .try_buffer_unordered(LOOKS)
        .try_filter_map(|found| async move { Ok(found) })
        .try_collect()
        .await?;
    tags.sort();
    Ok(tags)
}

/// A manifest that was deleted, and the tags that went with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The manifest's digest.
    pub digest: Digest,
    /// The tags that pointed at it.
    pub tags: Vec<Tag>,
}

/// Deletes the manifest that a tag or digest stands for, by its digest, and with it every tag that
/// points at it. To remove one tag alone, use [`untag`](crate::untag).
///
/// What an index lists stays.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if there is none;
/// [`Unsupported`](ErrorKind::Unsupported) if the store deletes nothing.
pub async fn delete_with_tags(
    store: &(impl Delete + ?Sized),
    selector: &TagOrDigest,
) -> Result<Deleted> {
    let digest = store.resolve(selector).await?.digest;
    let tags = tags_of(store, &digest).await?;
    store.delete_manifest(&digest).await?;
    Ok(Deleted { digest, tags })
}

/// Sixteen tags are looked at at once.
const LOOKS: usize = 16;

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
    async fn tags_are_added_and_the_digest_stays() {
        let (store, one) = store().await;
        let more = [tag("latest"), tag("other")];
        let tagged = put_tags(&store, &tag("v1").into(), &more).await.unwrap();
        assert_eq!(tagged.digest, one.digest);
        let found = tags_of(&store, &one.digest).await.unwrap();
        assert_eq!(found, [tag("latest"), tag("other"), tag("v1")]);
        let missing = put_tags(&store, &tag("v9").into(), &more).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_delete_names_the_tags_that_go_and_leaves_the_others() {
        let (store, one) = store().await;
        put_tags(&store, &tag("v1").into(), &[tag("latest")]).await.unwrap();
        let deleted = delete_with_tags(&store, &tag("latest").into()).await.unwrap();
        assert_eq!(deleted.digest, one.digest);
        assert_eq!(deleted.tags, [tag("latest"), tag("v1")]);
        assert_eq!(store.tags(None).all().await.unwrap(), [tag("other")]);
        let again = delete_with_tags(&store, &tag("latest").into()).await.unwrap_err();
        assert_eq!(again.kind(), ErrorKind::NotFound);
    }
}
