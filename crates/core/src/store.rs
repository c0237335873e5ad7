//! The traits of all stores of images and artifacts. Every operation is written for these traits.
//!
//! One value is one repository: at a registry, in a layout, in an archive, or in memory. The traits
//! are dyn-compatible. An operation takes an `Arc<dyn Source>` and an `Arc<dyn Target>` and needs
//! nothing else.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;

use crate::blob::{BlobBody, BlobReader, BlobStream};
use crate::blob_file::{self, Spooled};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Repository, Tag, TagOrDigest};

/// A repository that can be read. All manifests and whole blobs it returns are verified.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the name to show to users, such as `ghcr.io/a/b` or `oci:dir`.
    fn name(&self) -> String;

    /// Returns the repository's name, if it is at a registry. Other repositories at the same
    /// registry can then mount its blobs.
    fn origin(&self) -> Option<&Repository> {
        None
    }

    /// Returns the media type, digest and size of a manifest. Does not read its bytes if the store
    /// can avoid it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not exist; the errors of the store.
    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        let manifest = self.manifest(selector).await?;
        Ok(manifest.descriptor().clone())
    }

    /// Returns a manifest. If requested by digest, it has that digest.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not exist;
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the store's copy is damaged; the
    /// errors of the store.
    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest>;

    /// Opens a blob, verified as it streams.
    ///
    /// Only `digest` and `size` of the descriptor matter.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) at once;
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch) or
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) as the reader's last item; the errors
    /// of the store.
    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader>;

    /// Opens a range of a blob. Offsets are in bytes from its start, and the end is exclusive. The
    /// range is not verified, because only a whole blob can be.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) at once; [`Invalid`](crate::ErrorKind::Invalid) if
    /// the range is not within the blob.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream>;

    /// Returns the size of a blob in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    /// The errors of the store, such as [`Io`](ErrorKind::Io) or
    /// [`Transport`](ErrorKind::Transport).
    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Lists the tags after `after`, or all tags. They are ordered by text if the store can choose
    /// the order.
    fn tags(&self, after: Option<&Tag>) -> Pages<Tag>;

    /// Lists the manifests whose `subject` is this digest, each with its artifact type and
    /// annotations.
    ///
    /// If there are none, the list is empty, even if the subject does not exist.
    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor>;
}

/// A repository that can be written. Content appears only when it is complete and verified.
#[async_trait]
pub trait Target: Source {
    /// Checks whether the store holds intact content that need not be sent.
    ///
    /// If content can be damaged without an error (in a folder), the store checks the content and
    /// not just its name.
    ///
    /// # Errors
    /// The errors of the store, such as [`Io`](ErrorKind::Io) or
    /// [`Transport`](ErrorKind::Transport).
    async fn holds(&self, node: Node<'_>) -> Result<Presence>;

    /// Writes a blob. It appears under its digest only when it is complete and verified.
    ///
    /// A target at the registry of the body's [origin](BlobBody::origin) first asks the registry to
    /// mount the blob, and sends the content only if the registry declines and does not have it.
    ///
    /// # Errors
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch) or
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the body does not match the
    /// descriptor, with nothing left behind; the errors of the store.
    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed>;

    /// Writes a blob of unknown size in one pass, and returns its descriptor.
    ///
    /// With a `digest`, the blob must match it. A store that must know the digest or the size
    /// before writing keeps the bytes in a temporary file first.
    ///
    /// # Errors
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the digest differs; the errors of
    /// the stream. In both cases, nothing is left behind.
    async fn push_stream(&self, stream: BlobStream, digest: Option<&Digest>) -> Result<Descriptor> {
        let spooled = Spooled::write(stream, digest).await?;
        self.push_blob(spooled.descriptor(), BlobBody::file(spooled.path())).await?;
        Ok(spooled.descriptor().clone())
    }

    /// Writes a manifest's exact bytes, and points `tag` at it, if given.
    ///
    /// The store must already hold everything that the manifest lists.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) or [`NotFound`](crate::ErrorKind::NotFound) if the
    /// store checks this and content is missing.
    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()>;

    /// Publishes the written content in a store that appears only as a whole: an archive writes its
    /// file.
    ///
    /// All other stores publish content immediately, and do nothing here. Call it once, after the
    /// last write.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another writer changed the file in the meantime;
    /// [`Io`](ErrorKind::Io). In both cases, the previous file stays.
    async fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// A repository from which content can be deleted.
#[async_trait]
pub trait Delete: Target {
    /// Deletes a blob.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it does not exist;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not delete; the errors of
    /// the store.
    async fn delete_blob(&self, digest: &Digest) -> Result<()>;

    /// Deletes a manifest, and every tag that points at it.
    ///
    /// # Errors
    /// Same as [`delete_blob`](Self::delete_blob).
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;

    /// Deletes one tag. The manifest and its other tags stay.
    ///
    /// # Errors
    /// Same as [`delete_blob`](Self::delete_blob).
    async fn delete_tag(&self, tag: &Tag) -> Result<()>;
}

/// Operations on every readable store, built from its methods.
pub trait SourceExt: Source {
    /// Finds the size of a blob, and returns a descriptor to open it with.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it does not exist; the errors of
    /// [`blob_size`](Source::blob_size).
    fn describe_blob(&self, digest: &Digest) -> impl Future<Output = Result<Descriptor>> + Send {
        async move {
            match self.blob_size(digest).await? {
                Some(size) => Ok(Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), size)),
                None => {
                    Err(Error::new(ErrorKind::NotFound).at(format!("{}@{digest}", self.name())))
                }
            }
        }
    }
}

impl<S: Source + ?Sized> SourceExt for S {}

/// Operations on every writable store, built from its methods.
pub trait TargetExt: Target {
    /// Writes a blob unless the store holds it.
    ///
    /// # Errors
    /// The errors of [`holds`](Target::holds) and [`push_blob`](Target::push_blob).
    fn ensure_blob(
        &self,
        descriptor: &Descriptor,
        body: BlobBody,
    ) -> impl Future<Output = Result<Pushed>> + Send {
        async move {
            match self.holds(Node::Blob(descriptor)).await? {
                Presence::Absent => self.push_blob(descriptor, body).await,
                Presence::Partial | Presence::Complete => Ok(Pushed::Existing),
            }
        }
    }

    /// Writes bytes as a blob, and returns its descriptor.
    ///
    /// # Errors
    /// The errors of [`push_blob`](Target::push_blob).
    fn push_bytes(
        &self,
        media_type: MediaType,
        content: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Descriptor>> + Send {
        let content = content.into();
        async move {
            let descriptor = Descriptor::from_bytes(media_type, &content);
            self.push_blob(&descriptor, content.into()).await?;
            Ok(descriptor)
        }
    }

    /// Writes a file as a blob, and returns its descriptor. It is read once for its digest, and
    /// once to be sent.
    ///
    /// # Errors
    /// The errors of [`push_blob`](Target::push_blob); [`Io`](ErrorKind::Io) if it cannot be read.
    fn push_file(
        &self,
        media_type: MediaType,
        path: &Path,
    ) -> impl Future<Output = Result<Descriptor>> + Send {
        async move {
            let descriptor = blob_file::describe(path, media_type, None).await?;
            self.push_blob(&descriptor, BlobBody::file(path)).await?;
            Ok(descriptor)
        }
    }
}

impl<S: Target + ?Sized> TargetExt for S {}

/// A node of a content graph, classified by the field in which its parent lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A config, a layer, or another blob.
    Blob(&'a Descriptor),
    /// A manifest or index.
    Manifest(&'a Descriptor),
}

/// The state of a node at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is missing or damaged.
    Absent,
    /// The target holds it; its children may be missing.
    Partial,
    /// The target holds it and everything below it.
    Complete,
}

/// The way a target got a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// The content was sent.
    Sent,
    /// The registry mounted the blob from another repository.
    Mounted,
    /// The target already had the blob.
    Existing,
}
