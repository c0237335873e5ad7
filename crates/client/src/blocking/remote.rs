//! Operations that only a repository at a registry supports, such as upload sessions.

use std::io::Read;

use longshore_core::{
    Descriptor, Digest, MediaType, RawManifest, Repository, Result, Tag, TagOrDigest,
};

use super::blob::stream;
use super::forward::forward;
use super::listing::{CachedListing, Listing};
use super::runtime::wait;
use super::store::Store;
use crate::config::Limits;
use crate::listing::ListOptions;
use crate::repository::{RemoteRepository, Upload as AsyncUpload};

impl Store<RemoteRepository> {
    /// Returns the repository with other limits; see
    /// [`with_limits`](RemoteRepository::with_limits).
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self::new(self.inner.with_limits(limits))
    }

    forward! { RemoteRepository:
        /// Returns the name of the repository and its registry.
        #[must_use]
        pub fn repository(&self) -> &Repository;
        /// Gets a manifest in one of these media types.
        pub fn manifest_as(
            &self,
            selector: &TagOrDigest,
            accept: &[MediaType],
        ) -> Result<RawManifest>;
        /// Returns the descriptor of a manifest in one of these media types.
        pub fn resolve_as(
            &self,
            selector: &TagOrDigest,
            accept: &[MediaType],
        ) -> Result<Descriptor>;
        /// Begins an upload.
        pub fn begin_upload(&self) -> Result<Upload>;
        /// Resumes an upload that was begun in this process or another.
        pub fn resume_upload(&self, location: &str) -> Result<Upload>;
        /// Lists the tags, after a given start and in pages of a given size.
        pub fn tags_with(&self, options: ListOptions<Tag>) -> Listing<Tag>;
        /// Returns a listing of the tags that is cached until it is refreshed.
        #[must_use]
        pub fn cached_tags(&self) -> CachedListing<Tag>;
    }

    /// Sends a blob in one request. Returns an upload session if the registry requires a session.
    ///
    /// # Errors
    /// Same as [`post_blob`](RemoteRepository::post_blob).
    pub fn post_blob(
        &self,
        descriptor: &Descriptor,
        content: impl Read + Send + 'static,
    ) -> Result<Option<Upload>> {
        Ok(wait(self.inner.post_blob(descriptor, stream(content)))?.map(Upload::from))
    }
}

/// An upload session: a blob that is being sent, chunk by chunk, and is not yet visible.
///
/// Content comes from readers, which are read on a separate thread. Dropping the upload leaves the
/// session to the registry, which eventually removes it.
///
/// ```no_run
/// # fn example(repository: &longshore::blocking::RemoteRepository) -> longshore::Result<()> {
/// let content = b"0123456789";
/// let mut upload = repository.begin_upload()?;
/// upload.append(&content[..4], 4)?;
/// upload.append_reader(&content[4..])?;
/// upload.finish(&longshore::Digest::sha256(content))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Upload {
    inner: AsyncUpload,
}

impl Upload {
    forward! { AsyncUpload:
        /// Returns the number of bytes that the registry has.
        #[must_use]
        pub fn offset(&self) -> u64;
        /// Returns the session's URL; see [`Upload::location`](AsyncUpload::location).
        #[must_use]
        pub fn location(&self) -> String;
        /// Returns the registry's minimum chunk size in bytes, if stated; the last chunk may be
        /// smaller.
        #[must_use]
        pub fn min_chunk_size(&self) -> Option<u64>;
        /// Sends the next `size` bytes, which must be all bytes of the reader.
        pub fn append(&mut self, chunk: impl Read + Send + 'static, size: u64) -> Result<()>
            = append(stream(chunk), size);
        /// Sends all bytes of a reader; returns their number.
        pub fn append_reader(&mut self, content: impl Read + Send + 'static) -> Result<u64>
            = append_stream(stream(content));
        /// Returns the number of bytes that the registry has, or `None` if its reply does not state
        /// it.
        pub fn status(&mut self) -> Result<Option<u64>>;
        /// Completes the blob without sending more content.
        pub fn finish(&mut self, digest: &Digest) -> Result<()>;
        /// Completes the blob with its last `size` bytes, which may be the whole blob.
        pub fn finish_with(
            &mut self,
            digest: &Digest,
            rest: impl Read + Send + 'static,
            size: u64,
        ) -> Result<()> = finish_with(digest, stream(rest), size);
        /// Completes the blob with its remaining bytes, whose number need not be known.
        pub fn finish_with_reader(
            &mut self,
            digest: &Digest,
            rest: impl Read + Send + 'static,
        ) -> Result<()> = finish_with_stream(digest, stream(rest));
    }

    /// Cancels the session.
    ///
    /// # Errors
    /// Same as [`Upload::cancel`](AsyncUpload::cancel).
    pub fn cancel(self) -> Result<()> {
        wait(self.inner.cancel())
    }
}

impl From<AsyncUpload> for Upload {
    fn from(inner: AsyncUpload) -> Self {
        Self { inner }
    }
}
