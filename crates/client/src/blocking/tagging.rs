//! Several tags at once, waited for.

use longshore_core::{
    Delete, Deleted, Descriptor, Digest, Result, Source, Tag, TagOrDigest, Target,
    delete_with_tags, put_tags, tags_of,
};

use super::runtime::wait;
use super::store::Store;

impl<S: Source + ?Sized> Store<S> {
    /// The tags that point at a manifest.
    ///
    /// # Errors
    /// As [`tags_of`].
    pub fn tags_of(&self, digest: &Digest) -> Result<Vec<Tag>> {
        wait(tags_of(self.inner(), digest))
    }
}

impl<S: Target + ?Sized> Store<S> {
    /// Gives a manifest that is there more tags.
    ///
    /// # Errors
    /// As [`put_tags`].
    pub fn put_tags(&self, selector: &TagOrDigest, tags: &[Tag]) -> Result<Descriptor> {
        wait(put_tags(self.inner(), selector, tags))
    }
}

impl<S: Delete + ?Sized> Store<S> {
    /// Deletes the manifest that a tag or digest stands for, with every tag that points at it.
    ///
    /// # Errors
    /// As [`delete_with_tags`].
    pub fn delete_with_tags(&self, selector: &TagOrDigest) -> Result<Deleted> {
        wait(delete_with_tags(self.inner(), selector))
    }
}
