//! Where a registry keeps its repositories.
//!
//! Owns the traits that the handlers are written over, and upload sessions, which all backends
//! share. The concrete backends lie below; only `registry` names them.

mod disk;
mod memory;
mod session;
mod space;
mod upload_id;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_core::{Algorithm, BlobStream, Delete, Digest, Pages, RepositoryName, Result, Tag};

pub use disk::Disk;
pub use memory::MemoryBackend;
pub use upload_id::UploadId;

/// All repositories of a registry.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// A handle on a repository, whether or not it exists: one comes to be with its first content.
    fn repository(&self, name: &RepositoryName) -> Arc<dyn RepositoryStore>;

    /// The repositories that have, or had, content, ordered by name; only those after `after`.
    fn repositories(&self, after: Option<&RepositoryName>) -> Pages<RepositoryName>;

    /// Drops the uploads that nothing was written to for as long as `idle`; says how many.
    ///
    /// # Errors
    /// [`Io`](longshore_core::ErrorKind::Io) if what they left behind cannot be removed.
    async fn expire_uploads(&self, idle: Duration) -> Result<usize>;

    /// How much there is just now; what it cannot tell is not there.
    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// How much a backend has just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Uploads that were begun and have not ended.
    pub uploads: Option<usize>,
    /// Bytes of blobs (each once, however many repositories have it), manifests and uploads.
    pub stored: Option<u64>,
}

/// Bytes on their way to an upload.
#[derive(Debug)]
pub struct Chunk {
    /// Where the client believes the upload to be, in bytes; `None` for wherever it is.
    pub offset: Option<u64>,
    /// How many bytes will come, where the client said so.
    pub size: Option<u64>,
    /// The bytes.
    pub bytes: BlobStream,
}

/// A repository as a registry needs it: a store that also takes blobs in parts.
///
/// An upload belongs to the repository that it was begun in, and is unknown in every other one.
/// Nothing of it shows before [`commit`](Self::commit), which shows nothing that is not verified
/// and, on backends that outlive the process, durable.
#[async_trait]
pub trait RepositoryStore: Delete {
    /// Whether anything was ever stored in it.
    ///
    /// # Errors
    /// Whatever keeps the store from telling.
    async fn exists(&self) -> Result<bool>;

    /// Begins an upload of content whose digest will be of this algorithm.
    ///
    /// # Errors
    /// [`RateLimited`](longshore_core::ErrorKind::RateLimited) if too many are open.
    async fn begin_upload(&self, algorithm: Algorithm) -> Result<UploadId>;

    /// Adds bytes to an upload; says how many it has now.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such upload here;
    /// [`Conflict`](longshore_core::ErrorKind::Conflict), nothing written, if it is elsewhere or
    /// busy; [`TooLarge`](longshore_core::ErrorKind::TooLarge), with the code `DENIED`, if the
    /// backend is full; the stream's error. Where a connection broke or stalled, the bytes that came are kept
    /// and the upload can go on; after any other error it is as before.
    async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64>;

    /// How many bytes an upload has.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such upload here.
    async fn upload_size(&self, id: &UploadId) -> Result<u64>;

    /// Adds the last bytes, which may be none, and makes the upload a blob.
    ///
    /// A blob that is there already is kept if it is right, and replaced if it is damaged.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`DigestMismatch`](longshore_core::ErrorKind::DigestMismatch)
    /// if the content is other than `digest` says: the upload is gone then.
    async fn commit(&self, id: &UploadId, digest: &Digest, last: Chunk) -> Result<()>;

    /// Gives an upload up.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if there is no such upload here.
    async fn cancel(&self, id: &UploadId) -> Result<()>;

    /// Takes a blob over from another repository, or from any that has it (`None`). Returns whether one
    /// had it.
    ///
    /// # Errors
    /// [`Io`](longshore_core::ErrorKind::Io) if the storage fails.
    async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<bool>;

    /// Points tags at a manifest that is there.
    ///
    /// # Errors
    /// [`NotFound`](longshore_core::ErrorKind::NotFound) if the manifest is not.
    async fn tag(&self, digest: &Digest, tags: &[Tag]) -> Result<()>;
}
