//! What can hold images and artifacts: the traits that every operation is written over.
//!
//! One value is one repository: at a registry, in a layout, in an archive, in memory. The traits are
//! dyn-safe; an operation takes `Arc<dyn Source>` and `Arc<dyn Target>` and knows nothing else.

use std::fmt;
use std::ops::Range;

use async_trait::async_trait;

use crate::blob::{BlobBody, BlobReader, BlobStream};
use crate::blob_file::Spooled;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Repository, Tag, TagOrDigest};

/// A repository that can be read. What leaves it has been verified.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// What to call it to a person: `ghcr.io/a/b`, `oci:dir`.
    fn name(&self) -> String;

    /// Where the repository is at a registry, if that is where it is: blobs can be mounted from
    /// there.
    fn origin(&self) -> Option<&Repository> {
        None
    }

    /// Media type, digest and size of a manifest, without its bytes if the store can.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none of that name.
    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        let manifest = self.manifest(selector).await?;
        Ok(manifest.descriptor().clone())
    }

    /// A manifest. One asked for by digest has that digest.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none of that name;
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the store's copy is damaged.
    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest>;

    /// Opens a blob, verified as it streams.
    ///
    /// Only `digest` and `size` of the descriptor matter.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) at once; what is wrong with the content, as the
    /// reader's last item.
    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader>;

    /// Opens a part of a blob, in bytes from its start, the end not included. Not verified: a part
    /// cannot be.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) at once;
    /// [`Invalid`](crate::ErrorKind::Invalid) if the range is not within the blob.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream>;

    /// The size in bytes of a blob, or `None` if it is not there.
    ///
    /// # Errors
    /// Whatever keeps the store from telling.
    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// The tags, ordered by text where the store has a say; only those after `after`, if given.
    fn tags(&self, after: Option<&Tag>) -> Pages<Tag>;

    /// The manifests whose `subject` is this digest, each with its artifact type and annotations.
    ///
    /// Empty, not an error, if there are none, whether or not the subject is there.
    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor>;
}

/// A repository that can be written. Nothing shows before it is complete and verified.
#[async_trait]
pub trait Target: Source {
    /// Whether the content is there and right, so that it need not be sent.
    ///
    /// A store that can be damaged unseen (a folder) checks the content, not just its name.
    ///
    /// # Errors
    /// Whatever keeps the store from telling.
    async fn holds(&self, node: Node<'_>) -> Result<Holding>;

    /// Writes a blob. It appears under its digest only when it is complete and verified.
    ///
    /// A target at the registry of the body's [origin](BlobBody::origin) first asks the registry to
    /// mount the blob, and sends the content only if the registry declines and does not have it.
    ///
    /// # Errors
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch) or
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the body is not what the descriptor
    /// says; nothing is left behind then.
    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed>;

    /// Writes a blob of which neither size nor, perhaps, digest is known, in one pass over it, and
    /// tells what it is called.
    ///
    /// With a `digest`, the blob must have it. A store that has to know more before it writes keeps
    /// the bytes in a temporary file first.
    ///
    /// # Errors
    /// The stream's; [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if it is another blob;
    /// nothing is left behind then.
    async fn push_stream(&self, stream: BlobStream, digest: Option<&Digest>) -> Result<Descriptor> {
        let spooled = Spooled::write(stream, digest).await?;
        self.push_blob(spooled.descriptor(), BlobBody::file(spooled.path())).await?;
        Ok(spooled.descriptor().clone())
    }

    /// Writes a manifest's exact bytes, and points `tag` at it, if given.
    ///
    /// Everything the manifest needs must be there already.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) or [`NotFound`](crate::ErrorKind::NotFound) if the
    /// store checks and misses something.
    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()>;

    /// Publishes what was written, in a store that appears as a whole: an archive writes its file.
    ///
    /// Every other store publishes content as it comes, and this does nothing. Call it once, after the
    /// last write.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if someone else wrote the file meanwhile;
    /// [`Io`](ErrorKind::Io). What was there before stays.
    async fn finish(&self) -> Result<()> {
        Ok(())
    }
}

/// A repository that things can be removed from.
#[async_trait]
pub trait Delete: Target {
    /// Removes a blob.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound), or
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the store never removes.
    async fn delete_blob(&self, digest: &Digest) -> Result<()>;

    /// Removes a manifest, and with it every tag that points at it.
    ///
    /// # Errors
    /// As [`delete_blob`](Self::delete_blob).
    async fn delete_manifest(&self, digest: &Digest) -> Result<()>;

    /// Removes one tag. The manifest and its other tags stay.
    ///
    /// # Errors
    /// As [`delete_blob`](Self::delete_blob).
    async fn delete_tag(&self, tag: &Tag) -> Result<()>;
}

/// What every store that can be read can do, made of its methods.
pub trait SourceExt: Source {
    /// Finds the size of a blob, and returns a descriptor to open it by.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not there; as [`blob_size`](Source::blob_size).
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

/// What every store that can be written can do, made of its methods.
pub trait TargetExt: Target {
    /// Writes a blob unless the store holds it.
    ///
    /// # Errors
    /// Those of [`holds`](Target::holds) and [`push_blob`](Target::push_blob).
    fn ensure_blob(
        &self,
        descriptor: &Descriptor,
        body: BlobBody,
    ) -> impl Future<Output = Result<Pushed>> + Send {
        async move {
            match self.holds(Node::Blob(descriptor)).await? {
                Holding::Absent => self.push_blob(descriptor, body).await,
                Holding::Alone | Holding::Complete => Ok(Pushed::Existing),
            }
        }
    }
}

impl<S: Target + ?Sized> TargetExt for S {}

/// A piece of content within a graph: what it is follows from where its parent lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// A config, a layer, or another blob.
    Blob(&'a Descriptor),
    /// A manifest or index.
    Manifest(&'a Descriptor),
}

/// What a target has of a piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is not there, or damaged.
    Absent,
    /// It is there; what hangs below it may not be.
    Alone,
    /// It is there, and the store vouches for all that hangs below it.
    Complete,
}

/// How a target got a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// The content was sent.
    Sent,
    /// Its registry mounted the blob from another repository.
    Mounted,
    /// The target had the blob already.
    Existing,
}
