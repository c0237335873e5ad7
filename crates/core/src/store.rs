//! The traits of all stores of images and artifacts. All operations use these traits.
//!
//! A store is one repository: at a registry, in a layout, in an archive, or in memory. The traits
//! are dyn-compatible, so operations can take an `Arc<dyn Source>` and an `Arc<dyn Target>`.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::blob::{BlobBody, BlobReader, BlobStream, FileBody};
use crate::blob_file::Spooled;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Repository, Tag, TagOrDigest};
use crate::tag_guard::{GuardMethod, TagGuard};

/// A repository that can be read. All manifests and whole blobs that it returns are verified.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Returns the name to show to users, such as `ghcr.io/a/b` or `oci:dir`.
    fn name(&self) -> String;

    /// Returns the name of a tag to show to users, such as `ghcr.io/a/b:v1`.
    fn tag_name(&self, tag: &Tag) -> String {
        format!("{}:{tag}", self.name())
    }

    /// Returns the name of the repository, if the repository is at a registry. Other repositories
    /// at the same registry can then mount its blobs.
    fn origin(&self) -> Option<&Repository> {
        None
    }

    /// Returns the media type, digest and size of a manifest. Does not read its bytes if the store
    /// can avoid it.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the manifest does not exist; the errors of the
    /// store.
    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        let manifest = self.manifest(selector).await?;
        Ok(manifest.descriptor().clone())
    }

    /// Returns a manifest. A manifest that is requested by digest has exactly this digest.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the manifest does not exist;
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the store's copy is damaged; the
    /// errors of the store.
    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest>;

    /// Opens a blob, verified as it streams.
    ///
    /// Only `digest` and `size` of the descriptor are used.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) immediately;
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch) or
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) as the reader's last item; the errors
    /// of the store.
    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader>;

    /// Opens a range of a blob. Offsets are in bytes from the start of the blob, and the end is
    /// exclusive. The range is not verified, because only a whole blob can be verified.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) immediately; [`Invalid`](crate::ErrorKind::Invalid)
    /// if the range is not within the blob.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream>;

    /// Returns the size of a blob in bytes, or `None` if it does not exist.
    ///
    /// # Errors
    /// The errors of the store, such as [`Io`](ErrorKind::Io) or
    /// [`Transport`](ErrorKind::Transport).
    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>>;

    /// Lists the tags after `after`, or all tags if `after` is `None`. The tags are ordered by text
    /// if the store can choose the order.
    fn tags(&self, after: Option<&Tag>) -> Pages<Tag>;

    /// Lists the tags after `after`, for a caller that may not need all of them. Otherwise same as
    /// [`tags`](Self::tags). A registry is asked for pages of a limited size.
    fn next_tags(&self, after: &Tag) -> Pages<Tag> {
        self.tags(Some(after))
    }

    /// Lists the referrers of a manifest as [`referrers`](Self::referrers) does, but without the
    /// index under its [fallback tag](Tag::for_referrers). Returns `None` if the store has no other
    /// listing.
    ///
    /// # Errors
    /// The errors of the store.
    async fn listed_referrers(&self, subject: &Digest) -> Result<Option<Pages<Descriptor>>> {
        Ok(Some(self.referrers(subject, None)))
    }

    /// Lists the manifests whose `subject` is this digest, each with its artifact type and
    /// annotations. If `artifact_type` is given, lists only manifests of this type.
    ///
    /// If there are no referrers, the list is empty, even if the subject does not exist.
    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor>;
}

/// A repository that can be written. Content appears only when it is complete and verified.
#[async_trait]
pub trait Target: Source {
    /// Returns true if the store can hold artifacts, such as signatures, and not only images.
    fn takes_artifacts(&self) -> bool {
        true
    }

    /// Checks whether the store holds intact content that need not be sent.
    ///
    /// A store whose content can be damaged without an error, such as a folder, checks the content
    /// and not only its name.
    ///
    /// # Errors
    /// The errors of the store, such as [`Io`](ErrorKind::Io) or
    /// [`Transport`](ErrorKind::Transport).
    async fn holds(&self, node: Node<'_>) -> Result<Presence>;

    /// Writes a blob. The blob appears under its digest only when it is complete and verified.
    ///
    /// A target at the registry of the body's [origin](BlobBody::origin) first requests a mount
    /// from the registry. The target sends the content only if the registry declines the mount and
    /// does not hold the blob.
    ///
    /// # Errors
    /// [`SizeMismatch`](crate::ErrorKind::SizeMismatch) or
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the body does not match the
    /// descriptor, with nothing left behind; the errors of the store. After any other failure, or if
    /// the future is dropped, a store may keep the first bytes, which are not visible. The next call
    /// then continues there.
    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed>;

    /// Ensures that the store holds a blob: writes the blob if it is missing.
    ///
    /// A registry may also send a small blob that exists, because a check would take as many
    /// requests. The result is then [`Sent`](Pushed::Sent).
    ///
    /// # Errors
    /// The errors of [`holds`](Self::holds) and [`push_blob`](Self::push_blob).
    async fn ensure_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        self.check_then_push(descriptor, body).await
    }

    /// Checks whether a tag points at a manifest, and whether the store holds the manifest.
    ///
    /// A store may report a manifest as absent without looking for it if the tag does not exist.
    ///
    /// # Errors
    /// The errors of [`resolve`](Source::resolve) and [`holds`](Self::holds).
    async fn tag_state(&self, tag: &Tag, manifest: &Descriptor) -> Result<TagState> {
        let held = self.holds(Node::Manifest(manifest)).await?;
        // A manifest that is not complete is sent again with its tag, whatever the tag points at.
        let is_current = held == Presence::Complete
            && match self.resolve(&tag.clone().into()).await {
                Ok(found) => found.digest == manifest.digest,
                Err(e) if e.kind() == ErrorKind::NotFound => false,
                Err(e) => return Err(e),
            };
        Ok(TagState { is_current, manifest: held })
    }

    /// Writes a blob of unknown size in one pass, and returns its descriptor.
    ///
    /// If `digest` is given, the blob must match it. A store that requires the digest or the size
    /// before the write first stores the bytes in a temporary file.
    ///
    /// # Errors
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the digest differs; the errors of
    /// the stream. In both cases, nothing is left behind.
    async fn push_stream(&self, stream: BlobStream, digest: Option<&Digest>) -> Result<Descriptor> {
        let spooled = Spooled::write(stream, digest).await?;
        self.push_blob(spooled.descriptor(), BlobBody::file(spooled.path())).await?;
        Ok(spooled.descriptor().clone())
    }

    /// Writes a file as a blob, unless the store has the blob. Returns its descriptor, and how the
    /// store obtained the blob.
    ///
    /// By default, the file is read once to compute its digest, and once to be written. A registry
    /// receives a large file while the digest is computed.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file cannot be read;
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if it has another digest than
    /// [expected](FileBody::expected_digest); the errors of [`push_blob`](Self::push_blob).
    async fn push_file(&self, file: &FileBody) -> Result<(Descriptor, Pushed)> {
        let descriptor = file.describe().await?;
        let pushed = self.check_then_push(&descriptor, file.body()).await?;
        Ok((descriptor, pushed))
    }

    /// Writes the exact bytes of a manifest, and points `tag` at the manifest, if a tag is given.
    ///
    /// The store must already hold everything that the manifest lists.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) or [`NotFound`](crate::ErrorKind::NotFound) if
    /// content is missing and the store checks for this.
    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()>;

    /// Writes the exact bytes of a manifest, and points `tag` at the manifest if the tag meets
    /// `guard`. Returns how the change was protected from other writers.
    ///
    /// By default, the guard is checked before the change, and the tag after it. A store that can
    /// check the guard and set the tag in one step does so.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with nothing written, if the tag does not meet the guard;
    /// `Conflict` if another writer moved the tag immediately afterwards; the errors of
    /// [`push_manifest`](Self::push_manifest).
    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        self.check_tag(tag, guard).await?;
        self.push_manifest(manifest, Some(tag)).await?;
        self.check_pushed(manifest, tag, guard).await?;
        Ok(GuardMethod::Checked)
    }

    /// Publishes the written content of a store that is published only as a whole. For example, an
    /// archive writes its file here.
    ///
    /// All other stores publish content immediately, and do nothing here. Call this method once,
    /// after the last write.
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
    /// [`NotFound`](crate::ErrorKind::NotFound) if the blob does not exist;
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not support deletes; the
    /// errors of the store.
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

/// Operations for every readable store, based on its methods.
pub trait SourceExt: Source {
    /// Finds the size of a blob, and returns a descriptor with which the blob can be opened.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the blob does not exist; the errors of
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

    /// Returns the digest of the manifest that a tag points at, or `None` if the tag does not exist.
    ///
    /// # Errors
    /// The errors of [`resolve`](Source::resolve), except [`NotFound`](ErrorKind::NotFound).
    fn tagged(&self, tag: &Tag) -> impl Future<Output = Result<Option<Digest>>> + Send {
        async move {
            match self.resolve(&tag.clone().into()).await {
                Ok(found) => Ok(Some(found.digest)),
                Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
                Err(e) => Err(e),
            }
        }
    }

    /// Checks that a tag meets a guard.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if it does not; the errors of [`tagged`](Self::tagged).
    fn check_tag(&self, tag: &Tag, guard: &TagGuard) -> impl Future<Output = Result<()>> + Send {
        async move {
            let found = self.tagged(tag).await?;
            guard.check(found.as_ref()).map_err(|e| e.at(self.tag_name(tag)))
        }
    }
}

impl<S: Source + ?Sized> SourceExt for S {}

/// Operations for every writable store, based on its methods.
pub trait TargetExt: Target {
    /// Writes a blob unless the store holds it. The store is always asked first.
    ///
    /// # Errors
    /// The errors of [`holds`](Target::holds) and [`push_blob`](Target::push_blob).
    fn check_then_push(
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

    /// Writes the exact bytes of a manifest, and points `tag` at the manifest. With a guard, returns
    /// how the change was protected from other writers.
    ///
    /// # Errors
    /// The errors of [`push_manifest`](Target::push_manifest) or, with a guard, of
    /// [`push_guarded`](Target::push_guarded).
    fn push_tagged(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: Option<&TagGuard>,
    ) -> impl Future<Output = Result<Option<GuardMethod>>> + Send {
        async move {
            match guard {
                Some(guard) => self.push_guarded(manifest, tag, guard).await.map(Some),
                None => self.push_manifest(manifest, Some(tag)).await.map(|()| None),
            }
        }
    }

    /// Checks that a tag points at a manifest that was just pushed. A signed schema 1 manifest has
    /// two digests, and the store may use either.
    ///
    /// Some stores return the previous state for a moment. While the tag still meets `guard`, which
    /// it met before the push, it is read again, for up to 1.4 s.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another writer moved the tag.
    fn check_pushed(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> impl Future<Output = Result<()>> + Send {
        async move {
            let is_ours =
                |found: &Option<Digest>| found.as_ref().is_some_and(|d| manifest.has_digest(d));
            let mut found = self.tagged(tag).await?;
            for pause in STALE_PAUSES {
                if is_ours(&found) || guard.check(found.as_ref()).is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
                found = self.tagged(tag).await?;
            }
            if is_ours(&found) {
                return Ok(());
            }
            TagGuard::PointsAt(manifest.digest().clone()).check(found.as_ref()).map_err(|e| {
                e.at(self.tag_name(tag))
                    .with_hint("Another client moved the tag immediately after this change.")
            })
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
}

impl<S: Target + ?Sized> TargetExt for S {}

/// The pauses before a tag that still has its previous state is read again.
const STALE_PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];

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
    /// The node is missing or damaged.
    Absent,
    /// The target holds the node. Its children may be missing.
    Partial,
    /// The target holds the node and everything below it.
    Complete,
}

/// The state of a tag and of the manifest that it should point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagState {
    /// True if the tag points at the manifest.
    pub is_current: bool,
    /// The state of the manifest.
    pub manifest: Presence,
}

/// The way in which a target obtained a blob.
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
