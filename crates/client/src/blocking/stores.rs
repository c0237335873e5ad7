//! Blocking stores opened by their locations, and copies between stores.

use longshore_core::{
    Copier as AsyncCopier, CopyObserver, CopyPlan, CopyStats, CopySummary, Delete, Descriptor,
    Reference, Result, Source, Tag, TagGuard, TagOrDigest, TagOutcome, Target,
};

use super::Store;
use super::client::Client;
use super::forward::forward;
use super::runtime::wait;
use crate::location::{ImageName, Location};
use crate::stores::{ListedImage, Located, NamedManifest, Stores as AsyncStores};
use crate::transfer::{Transfer, TransferPlan, TransferReport};

/// Opens the stores at locations; see [`Stores`](AsyncStores).
///
/// ```no_run
/// use longshore::blocking;
///
/// let stores = blocking::Client::new().stores();
/// for tag in stores.open(&"nginx".parse()?)?.tags(None) {
///     println!("{}", tag?);
/// }
/// # Ok::<(), longshore::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stores {
    inner: AsyncStores,
}

impl Stores {
    forward! { AsyncStores:
        /// Opens a location for reading.
        pub fn open(&self, location: &Location) -> Result<Store<dyn Source>>;
        /// Opens a location for reading, and determines its manifest.
        pub fn locate(&self, location: &Location) -> Result<Located>;
        /// Lists the names of all images at a location.
        pub fn names(&self, location: &Location) -> Result<Vec<ListedImage>>;
        /// Lists the tags of all images at a location.
        pub fn tags(&self, location: &Location) -> Result<Vec<Tag>>;
        /// Lists the full names of all images in a docker-archive.
        pub fn references(&self, location: &Location) -> Result<Vec<Reference>>;
        /// Opens a location for writing, and creates the layout or archive if it does not exist.
        pub fn create(&self, location: &Location) -> Result<Store<dyn Target>>;
        /// Checks that the layout of a target can be created. Creates nothing.
        pub fn check_target(&self, location: &Location) -> Result<()>;
        /// Opens a location to remove content from it.
        pub fn open_to_delete(&self, location: &Location) -> Result<Store<dyn Delete>>;
        /// Adds names to an image at its location.
        pub fn put_names(
            &self,
            location: &Location,
            names: &[ImageName],
            guard: Option<&TagGuard>,
        ) -> Result<NamedManifest>;
        /// Runs transfers one after another.
        pub fn transfer(&self, transfers: &[Transfer], observer: CopyObserver) -> Result<TransferReport>;
        /// Determines what transfers would do. Writes nothing.
        pub fn plan(&self, transfers: &[Transfer]) -> Result<TransferPlan>;
        /// Carries out the copies of a plan, unless a source or target changed.
        pub fn apply(&self, plan: &TransferPlan, observer: CopyObserver) -> Result<TransferReport>;
    }
}

impl Client {
    /// Returns a [`Stores`] that uses this client. Create a new `Stores` for each task.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores { inner: self.shared().stores() }
    }
}

impl From<AsyncStores> for Stores {
    fn from(inner: AsyncStores) -> Self {
        Self { inner }
    }
}

/// A copier from one repository to another, which handles each manifest and blob only once.
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

    /// Copies these tags, each to the same tag, several at a time. Returns one outcome per tag,
    /// like [`Copier::copy_tags`](AsyncCopier::copy_tags).
    ///
    /// # Errors
    /// Only the errors of [`wait`](fn@super::wait) itself. A failed tag is part of the result.
    pub fn copy_tags(&self, tags: Vec<Tag>) -> Result<Vec<TagOutcome>> {
        wait(async { Ok(self.inner.copy_tags(tags).await) })
    }
}

impl From<AsyncCopier> for Copier {
    fn from(inner: AsyncCopier) -> Self {
        Self { inner }
    }
}
