//! Blocking stores opened by their locations, and copies between them.

use longshore_core::{CopyObserver, Delete, Descriptor, Reference, Result, Source, Tag, Target};

use super::Store;
use super::client::Client;
use super::forward::forward;
use crate::location::{ImageName, Location};
use crate::stores::{Located, Named, Stores as AsyncStores};
use crate::transfer::{Transfer, TransferReport};

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
        /// Opens a location for reading, and determines which of its manifests is meant.
        pub fn locate(&self, location: &Location) -> Result<Located>;
        /// Lists the names of all images at a location.
        pub fn names(&self, location: &Location) -> Result<Vec<Named>>;
        /// Lists the tags of all images at a location.
        pub fn tags(&self, location: &Location) -> Result<Vec<Tag>>;
        /// Lists the full names of all images in a docker-archive.
        pub fn references(&self, location: &Location) -> Result<Vec<Reference>>;
        /// Opens a location for writing, and creates a layout or archive that does not exist.
        pub fn create(&self, location: &Location) -> Result<Store<dyn Target>>;
        /// Checks that a target could be created, and creates nothing.
        pub fn check_target(&self, location: &Location) -> Result<()>;
        /// Opens a location to remove content from it.
        pub fn open_to_delete(&self, location: &Location) -> Result<Store<dyn Delete>>;
        /// Adds names to an image at its location.
        pub fn put_names(&self, location: &Location, names: &[ImageName]) -> Result<Descriptor>;
        /// Carries out transfers, one after another.
        pub fn transfer(&self, transfers: &[Transfer], observer: CopyObserver) -> Result<TransferReport>;
    }
}

impl Client {
    /// Opens the stores at locations with this client, for one task.
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
