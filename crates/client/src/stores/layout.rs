//! Opens OCI image layouts in folders.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{
    Delete, Descriptor, Layout, Result, Source, Tag, TagOrDigest, Target, listing,
};

use super::{ListedImage, Reader, Writer};
use crate::location::ImageName;

#[async_trait]
impl Reader for Layout {
    fn source(&self, name: Option<&ImageName>) -> Arc<dyn Source> {
        Arc::new(view(self, name, Self::under))
    }

    fn delete(&self, name: Option<&ImageName>) -> Option<Arc<dyn Delete>> {
        Some(Arc::new(view(self, name, Self::under)))
    }

    async fn find(&self, _: Option<&ImageName>) -> Result<Option<TagOrDigest>> {
        self.only_manifest().await.map(Some)
    }

    async fn tags(&self, _: Option<&ImageName>) -> Result<Vec<Tag>> {
        tags(&self.entries().await?)
    }

    async fn names(&self, _: Option<&ImageName>) -> Result<Vec<ListedImage>> {
        Ok(names(&self.entries().await?))
    }
}

impl Writer for Layout {
    fn target(&self, name: Option<&ImageName>) -> Arc<dyn Target> {
        Arc::new(view(self, name, Self::under))
    }
}

/// Returns the store, restricted by `under` to the entry with this name, if there is a name.
pub(super) fn view<S: Clone>(store: &S, name: Option<&ImageName>, under: fn(&S, &str) -> S) -> S {
    name.map_or_else(|| store.clone(), |name| under(store, &name.to_string()))
}

/// Returns the tags of entries. Fails if two entries have the same tag.
pub(super) fn tags(entries: &[Descriptor]) -> Result<Vec<Tag>> {
    let tags = listing::distinct_tags(entries)
        .map_err(|e| e.with_hint("Copy each entry by its full name to a separate tag."))?;
    Ok(tags.into_keys().collect())
}

/// Returns the names of entries, with their digests.
pub(super) fn names(entries: &[Descriptor]) -> Vec<ListedImage> {
    let names = listing::names(entries).into_iter();
    let listed = |(name, entry): (&str, &Descriptor)| ListedImage {
        name: ImageName::entry(name),
        digest: Some(entry.digest.clone()),
    };
    names.map(listed).collect()
}
