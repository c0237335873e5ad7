//! Blocking copies.

use longshore_core::{
    Copier as AsyncCopier, CopyPlan, CopyStats, CopySummary, Descriptor, Result, Tag, TagOrDigest,
    TagOutcome,
};

use super::forward::forward;
use super::runtime::wait;

/// Copies from one repository to another, and remembers the content that it has handled.
///
/// Configure an async copier and convert it:
///
/// ```
/// use std::sync::Arc;
/// use longshore::{Copier, Memory, blocking};
///
/// # let (source, target) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// let copier = Copier::builder(source, target).on_event(|event| eprintln!("{event:?}")).build();
/// let copier = blocking::Copier::from(copier);
/// ```
#[derive(Debug)]
pub struct Copier {
    inner: AsyncCopier,
}

impl Copier {
    forward! { AsyncCopier:
        /// Copies the manifest of `selector`, and points `tag` at it, if given.
        pub fn copy(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopySummary>;
        /// Plans the steps of [`copy`](Self::copy), and writes nothing.
        pub fn plan(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopyPlan>;
        /// Copies one blob.
        pub fn copy_blob(&self, blob: &Descriptor) -> Result<CopyStats>;
    }

    /// Copies these tags, each to the same tag; several at once. Returns one outcome per tag, as
    /// [`Copier::copy_tags`](AsyncCopier::copy_tags).
    ///
    /// # Errors
    /// Fails if called within another blocking call; never because of a tag.
    pub fn copy_tags(&self, tags: Vec<Tag>) -> Result<Vec<TagOutcome>> {
        wait(async { Ok(self.inner.copy_tags(tags).await) })
    }
}

impl From<AsyncCopier> for Copier {
    fn from(inner: AsyncCopier) -> Self {
        Self { inner }
    }
}
