//! The layout's own operations, waited for.

use std::path::PathBuf;

use longshore_core::{Descriptor, Layout, Result, TagOrDigest};

use super::runtime::wait;
use super::store::Store;

impl Store<Layout> {
    /// Opens a layout that exists.
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        wait(Layout::open(root)).map(Self::new)
    }

    /// Opens a layout, making the folder and the files that a layout has where they are missing.
    ///
    /// # Errors
    /// As [`Layout::create`].
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        wait(Layout::create(root)).map(Self::new)
    }

    /// Checks that [`create`](Self::create) would find a layout or an empty place; makes nothing.
    ///
    /// # Errors
    /// As [`Layout::can_create`].
    pub fn can_create(root: impl Into<PathBuf>) -> Result<()> {
        wait(Layout::can_create(root))
    }

    /// The same layout for one entry: see [`Layout::under`].
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        Self::new(self.inner().under(name))
    }

    /// The entries of `index.json`: every manifest that is listed, named or not.
    ///
    /// # Errors
    /// As [`Layout::entries`].
    pub fn entries(&self) -> Result<Vec<Descriptor>> {
        wait(self.inner().entries())
    }

    /// The only manifest of the layout, if there is but one.
    ///
    /// # Errors
    /// As [`Layout::only_manifest`].
    pub fn only_manifest(&self) -> Result<TagOrDigest> {
        wait(self.inner().only_manifest())
    }
}
