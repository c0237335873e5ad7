//! Where a registry keeps its bytes: objects under keys.
//!
//! Owns the traits that a storage implements, and the layout of the keys. It knows no repositories:
//! `repositories` makes tags, referrers, sessions and mounts of objects, in the same way for every
//! storage.

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

/// Objects under keys, as disks and object stores keep them.
///
/// A read sees every write that ended before it began. An object appears whole, and stays whole while
/// somebody reads it. What a storage that outlives the process has written is durable when the call
/// returns. One process at a time writes to a storage: what a precondition cannot protect,
/// [`Repositories`](crate::Repositories) protects by locks.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Size and version of each of these objects, or `None` if there is none.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), here and below, if the storage fails.
    async fn head(&self, keys: &[Key]) -> Result<Vec<Option<Meta>>>;

    /// A small object whole: at most [`OBJECT_LIMIT`] bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limit.
    async fn get(&self, key: &Key) -> Result<Option<Object>>;

    /// Opens a part of an object, in bytes from its start, the end not included.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the range is not within the object.
    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Part>>;

    /// Writes a small object, in place of the one that is there.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), nothing written, if the condition is not met.
    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Version>;

    /// The names directly below a key, of objects and of what has objects below it, in any order.
    ///
    /// It may list names below which there is nothing any more.
    async fn list(&self, folder: &Key) -> Result<Vec<String>>;

    /// Removes an object, if there is one.
    async fn delete(&self, key: &Key) -> Result<()>;

    /// Opens an upload where it was at a checkpoint. Bytes that were written after it are gone.
    ///
    /// A new upload begins at the default checkpoint, and takes nothing before its first byte.
    async fn upload(&self, id: &UploadId, from: &Checkpoint) -> Result<Box<dyn Upload>>;

    /// A URL that clients can fetch an object from for some minutes without credentials, if the
    /// storage has one. Blobs are answered by a redirect to it.
    async fn url(&self, _key: &Key) -> Result<Option<String>> {
        Ok(None)
    }

    /// The bytes of all objects and uploads, or `None` if the storage cannot tell. May block: it is
    /// asked once, at the start, if the total is limited.
    ///
    /// Uploads count by their content, and objects under `uploads/` do not count.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails.
    fn stored(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Whether objects can be damaged unseen, as files can. Blobs are then checked against their
    /// digest before a process serves them for the first time.
    fn decays(&self) -> bool {
        false
    }
}

/// Content of any size on its way into a storage.
///
/// Dropped, it leaves what it wrote behind: the upload can be opened again at its last checkpoint.
#[async_trait]
pub trait Upload: Send {
    /// Adds bytes at the end.
    async fn write(&mut self, pieces: Vec<Bytes>) -> Result<()>;

    /// Makes what was written so far last as long as other objects do. Returns all that
    /// [`Storage::upload`] has to know to go on from here, besides the size.
    async fn checkpoint(&mut self) -> Result<String>;

    /// Reads what was written so far.
    async fn content(&mut self) -> Result<BlobStream>;

    /// Makes the content the object of this key, and writes an empty object `link` with it. The upload
    /// is gone then.
    ///
    /// Both in one call, because a disk makes both names last at the price of one.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the object does not meet the condition: the upload is as it
    /// was, and nothing is written.
    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version>;

    /// Removes what was written.
    async fn abort(&mut self) -> Result<()>;
}

/// Where an upload is, for [`Storage::upload`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The bytes that count.
    pub size: u64,
    /// What [`Upload::checkpoint`] returned, empty before the first.
    pub state: String,
}

/// What tells two contents of an object apart: an entity tag, a number, a date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// Size and version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// In bytes.
    pub size: u64,
    /// Of this content.
    pub version: Version,
}

/// A small object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The whole content.
    pub content: Bytes,
    /// Of this content.
    pub version: Version,
}

/// A part of an object.
#[derive(Debug)]
pub struct Part {
    /// Of the whole object.
    pub meta: Meta,
    /// The bytes of the part.
    pub stream: BlobStream,
}

/// When to write an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Always,
    /// Only if there is none.
    Absent,
    /// Only if it is still the one of this version.
    Unchanged(Version),
}

impl Condition {
    /// Compares what is there with what should be.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if the condition is not met.
    pub fn check(&self, key: &Key, there: Option<&Version>) -> Result<()> {
        match (self, there) {
            (Self::Always, _) | (Self::Absent, None) => Ok(()),
            (Self::Unchanged(version), Some(there)) if version == there => Ok(()),
            _ => Err(conflict(key)),
        }
    }
}

/// The error of a condition that is not met.
fn conflict(key: &Key) -> Error {
    Error::new(ErrorKind::Conflict).at(key).detail("someone else has written it")
}

/// The error of a range that is not within an object.
fn outside(key: &Key, range: &Range<u64>, size: u64) -> Error {
    let detail = format!("bytes {}..{} of an object of {size} bytes", range.start, range.end);
    Error::new(ErrorKind::Invalid).at(key).detail(detail)
}

/// 4 MiB and 4 KiB: the largest manifest, with a line before it.
pub const OBJECT_LIMIT: usize = longshore_core::MANIFEST_LIMIT + (4 << 10);

#[cfg(test)]
mod tests;
