//! What only a repository at a registry can do, waited for.

use longshore_core::{Descriptor, MediaType, RawManifest, Result, Tag, TagOrDigest};

use super::listing::Listing;
use super::runtime::wait;
use super::store::Store;
use crate::listing::ListOptions;
use crate::repository::RemoteRepository;

impl Store<RemoteRepository> {
    /// Lists the tags from a start of the caller's, in pages of its size.
    pub fn tags_with(&self, options: ListOptions<Tag>) -> Listing<Tag> {
        self.shared().tags_with(options).into()
    }

    /// Gets a manifest in one of these forms, and in no other.
    ///
    /// # Errors
    /// As [`RemoteRepository::manifest_as`].
    pub fn manifest_as(&self, selector: &TagOrDigest, accept: &[MediaType]) -> Result<RawManifest> {
        wait(self.shared().manifest_as(selector, accept))
    }

    /// Describes a manifest in one of these forms, and in no other.
    ///
    /// # Errors
    /// As [`RemoteRepository::resolve_as`].
    pub fn resolve_as(&self, selector: &TagOrDigest, accept: &[MediaType]) -> Result<Descriptor> {
        wait(self.shared().resolve_as(selector, accept))
    }
}
