//! What a repository at a registry can do beyond other stores: uploads, request by request, too.

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
    /// Where it is.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        self.inner.repository()
    }

    /// The same with other limits; see [`with_limits`](RemoteRepository::with_limits).
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Self::new(self.inner.with_limits(limits))
    }

    forward! { RemoteRepository:
        /// Gets a manifest in one of these forms, and in no other.
        pub fn manifest_as(
            &self,
            selector: &TagOrDigest,
            accept: &[MediaType],
        ) -> Result<RawManifest>;
        /// Describes a manifest in one of these forms.
        pub fn resolve_as(
            &self,
            selector: &TagOrDigest,
            accept: &[MediaType],
        ) -> Result<Descriptor>;
        /// Begins an upload.
        pub fn begin_upload(&self) -> Result<Upload>;
        /// Goes on with an upload that was begun before, by this process or another.
        pub fn resume_upload(&self, location: &str) -> Result<Upload>;
    }

    /// The tags, from a start and in pages of a size.
    pub fn tags_with(&self, options: ListOptions<Tag>) -> Listing<Tag> {
        self.inner.tags_with(options).into()
    }

    /// The tags, kept until they are refreshed.
    #[must_use]
    pub fn cached_tags(&self) -> CachedListing<Tag> {
        self.inner.cached_tags().into()
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
        Ok(wait(self.inner.post_blob(descriptor, stream(content)))?.map(Upload::from))
    }
}

/// An upload session: a blob that is being sent, piece by piece, and not yet visible.
///
/// Content comes from readers, which are read off the thread that sends. Dropping it leaves the session
/// to the registry, which forgets it in time.
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
    /// How many bytes the registry has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.inner.offset()
    }

    /// The session's URL; see [`Upload::location`](AsyncUpload::location).
    #[must_use]
    pub fn location(&self) -> String {
        self.inner.location()
    }

    /// The smallest chunk in bytes that the registry accepts, the last one excepted, if it says so.
    #[must_use]
    pub fn min_chunk_size(&self) -> Option<u64> {
        self.inner.min_chunk_size()
    }

    forward! { AsyncUpload:
        /// Sends the next `size` bytes, which is all that the reader has.
        pub fn append(&mut self, chunk: impl Read + Send + 'static, size: u64) -> Result<()>
            = append(stream(chunk), size);
        /// Sends what a reader yields, however much that is; says how much it was, in bytes.
        pub fn append_reader(&mut self, content: impl Read + Send + 'static) -> Result<u64>
            = append_stream(stream(content));
        /// Asks how many bytes the registry has; `None` where its answer leaves that open.
        pub fn status(&mut self) -> Result<Option<u64>>;
        /// Completes the blob with nothing more to send.
        pub fn finish(&mut self, digest: &Digest) -> Result<()>;
        /// Completes the blob with its last, or all, `size` bytes.
        pub fn finish_with(
            &mut self,
            digest: &Digest,
            rest: impl Read + Send + 'static,
            size: u64,
        ) -> Result<()> = finish_with(digest, stream(rest), size);
        /// Completes the blob with its last, or all, bytes, however many there are.
        pub fn finish_with_reader(
            &mut self,
            digest: &Digest,
            rest: impl Read + Send + 'static,
        ) -> Result<()> = finish_with_stream(digest, stream(rest));
    }

    /// Gives the session up.
    ///
    /// # Errors
    /// As [`Upload::cancel`](AsyncUpload::cancel).
    pub fn cancel(self) -> Result<()> {
        wait(self.inner.cancel())
    }
}

impl From<AsyncUpload> for Upload {
    fn from(inner: AsyncUpload) -> Self {
        Self { inner }
    }
}
