//! The storage of a registry: objects under keys.
//!
//! Owns the traits that a storage implements, and the layout of the keys. `repositories` builds
//! tags, referrers, sessions and mounts from objects, in the same way for every storage.

mod disk;
mod key;
mod memory;
#[cfg(feature = "object-store")]
mod object;
mod upload_id;

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

pub use disk::DiskStorage;
pub use key::Key;
pub(crate) use key::{LINKS, MANIFESTS, SESSION_SUFFIX};
pub use memory::MemoryStorage;
#[cfg(feature = "object-store")]
pub use object::ObjectStorage;
pub use upload_id::UploadId;

/// A storage of objects under keys, such as a disk or an object store.
///
/// A read sees every write that ended before the read began. An object becomes visible only when it
/// is complete, and a reader that has opened it reads its whole content. If a storage outlives the
/// process, a write outside `uploads/` is durable when the call returns. Only one process at a time
/// writes to a storage. [`Repositories`](crate::Repositories) uses locks where a precondition does
/// not suffice.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Returns the size and version of each of these objects, or `None` for each object that does
    /// not exist.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails. This applies to all methods.
    async fn head(&self, keys: &[Key]) -> Result<Vec<Option<Meta>>>;

    /// Reads a small object as a whole: at most [`OBJECT_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if the object is larger.
    async fn get(&self, key: &Key) -> Result<Option<Object>>;

    /// Opens a range of an object. Offsets are in bytes from the start. The end is exclusive.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the range is not within the object.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Part>>;

    /// Writes a small object, and replaces an existing one.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with nothing written, if the condition is not met.
    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Version>;

    /// Lists the names directly below a key: objects, and names that have objects below them. The
    /// order is arbitrary.
    ///
    /// The list may include names that no longer have objects below them.
    async fn list(&self, folder: &Key) -> Result<Vec<String>>;

    /// Removes an object if it exists.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// Opens an upload at a checkpoint. Discards the bytes that were written after the checkpoint.
    ///
    /// A new upload starts at the default checkpoint, and uses no space before its first byte.
    async fn upload(&self, id: &UploadId, from: &Checkpoint) -> Result<Box<dyn Upload>>;

    /// Returns a URL from which clients can fetch an object without credentials for some minutes,
    /// if the storage offers one. The registry redirects downloads of blobs to this URL.
    async fn url(&self, _key: &Key) -> Result<Option<String>> {
        Ok(None)
    }

    /// Returns the total size of all objects and uploads in bytes, or `None` if the storage cannot
    /// determine it. The method may block: the registry calls it only once, at the start, if the
    /// total size is limited.
    ///
    /// The content of uploads counts, but objects under `uploads/` do not.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails.
    fn stored(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Returns true if stored objects can be damaged without an error, as files can. The registry
    /// then verifies each blob when it serves the whole blob for the first time.
    fn decays(&self) -> bool {
        false
    }
}

/// An upload in progress: content of any size that is being written to a storage.
///
/// Dropping this value removes no bytes: the upload can be opened again at its last checkpoint.
#[async_trait]
pub trait Upload: Send {
    /// Appends bytes.
    async fn write(&mut self, chunks: Vec<Bytes>) -> Result<()>;

    /// Makes the bytes written up to this point as durable as other objects. Returns the state that
    /// [`Storage::upload`] needs, in addition to the size, to continue at this point.
    async fn checkpoint(&mut self) -> Result<String>;

    /// Reads all bytes of the upload.
    async fn content(&mut self) -> Result<BlobStream>;

    /// Turns the content into the object `key`, writes an empty object `link`, and ends the upload.
    ///
    /// One call writes both objects, because a disk can make two names durable for the cost of one.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with nothing written and the upload unchanged, if the
    /// object `key` does not meet the condition.
    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version>;

    /// Removes all bytes of the upload.
    async fn abort(&mut self) -> Result<()>;
}

/// A point at which [`Storage::upload`] can continue an upload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of bytes up to this point.
    pub size: u64,
    /// The state that [`Upload::checkpoint`] returned, or an empty text for a new upload.
    pub state: String,
}

/// An identifier of one content of an object, such as an entity tag, a number or a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// The size and version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The size in bytes.
    pub size: u64,
    /// The version of this content.
    pub version: Version,
}

/// A small object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The whole content.
    pub content: Bytes,
    /// The version of this content.
    pub version: Version,
}

/// A range of an object.
#[derive(Debug)]
pub struct Part {
    /// The size and version of the whole object.
    pub meta: Meta,
    /// The bytes of the range.
    pub stream: BlobStream,
}

/// The condition for writing an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Always write.
    Always,
    /// Write only if the object does not exist.
    Absent,
    /// Write only if the object still has this version.
    Unchanged(Version),
}

impl Condition {
    /// Checks the condition against the version of the existing object.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the condition is not met.
    pub fn check(&self, key: &Key, existing: Option<&Version>) -> Result<()> {
        match (self, existing) {
            (Self::Always, _) | (Self::Absent, None) => Ok(()),
            (Self::Unchanged(version), Some(existing)) if version == existing => Ok(()),
            _ => Err(conflict(key)),
        }
    }
}

/// Returns the error for a condition that is not met.
fn conflict(key: &Key) -> Error {
    Error::new(ErrorKind::Conflict).at(key).detail("the object was changed by another writer")
}

/// 8 MiB for the largest manifest, and 4 KiB for the line with its media type.
pub const OBJECT_LIMIT: usize = longshore_core::MANIFEST_LIMIT + (4 << 10);

#[cfg(test)]
mod tests;
