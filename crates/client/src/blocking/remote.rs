//! What a repository at a registry can do beyond other stores.

use std::io::Read;

use longshore_core::{Descriptor, MediaType, RawManifest, Repository, Result, Tag, TagOrDigest};

use super::blob::stream;
use super::cached::Cached;
use super::listing::Listing;
use super::runtime::wait;
use super::store::Store;
use super::upload::Upload;
use crate::config::Limits;
use crate::listing::ListOptions;
use crate::repository::RemoteRepository;

impl Store<RemoteRepository> {
    /// Where it is.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        self.inner().repository()
    }

    /// The same with other limits; see [`with_limits`](RemoteRepository::with_limits).
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self::new(self.inner().with_limits(limits))
    }

    /// Gets a manifest in one of these forms, and in no other.
    ///
    /// # Errors
    /// As [`manifest_as`](RemoteRepository::manifest_as).
    pub fn manifest_as(&self, selector: &TagOrDigest, accept: &[MediaType]) -> Result<RawManifest> {
        wait(self.inner().manifest_as(selector, accept))
    }

    /// Describes a manifest in one of these forms.
    ///
    /// # Errors
    /// As [`resolve_as`](RemoteRepository::resolve_as).
    pub fn resolve_as(&self, selector: &TagOrDigest, accept: &[MediaType]) -> Result<Descriptor> {
        wait(self.inner().resolve_as(selector, accept))
    }

    /// The tags, from a start and in pages of a size.
    pub fn tags_with(&self, options: ListOptions<Tag>) -> Listing<Tag> {
        self.inner().tags_with(options).into()
    }

    /// The tags, kept until they are refreshed.
    #[must_use]
    pub fn cached_tags(&self) -> Cached<Tag> {
        self.inner().cached_tags().into()
    }

    /// Begins an upload.
    ///
    /// # Errors
    /// As [`begin_upload`](RemoteRepository::begin_upload).
    pub fn begin_upload(&self) -> Result<Upload> {
        wait(self.inner().begin_upload()).map(Upload::from)
    }

    /// Goes on with an upload that was begun before, by this process or another.
    ///
    /// # Errors
    /// As [`resume_upload`](RemoteRepository::resume_upload).
    pub fn resume_upload(&self, location: &str) -> Result<Upload> {
        wait(self.inner().resume_upload(location)).map(Upload::from)
    }

    /// Sends a blob in one request; gives the session that a registry would rather have.
    ///
    /// # Errors
    /// As [`post_blob`](RemoteRepository::post_blob).
    pub fn post_blob(
        &self,
        descriptor: &Descriptor,
        content: impl Read + Send + 'static,
    ) -> Result<Option<Upload>> {
        Ok(wait(self.inner().post_blob(descriptor, stream(content)))?.map(Upload::from))
    }
}
