//! Any store, with blocking operations.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use longshore_core::{
    BlobBody, Delete, DeleteResult, Descriptor, Digest, FileBody, GuardMethod, Image, Layout,
    MediaType, Node, Pack, Placed, Platform, Presence, Pushed, RawManifest, Repository, Result,
    Selection, Source, SourceExt, Tag, TagGuard, TagOrDigest, TagState, Target, TargetExt,
    UntagMethod, add_tags, blob_file, delete_with_tags, list_images, pull_files, select_image,
    select_platforms, tags_for_digest, untag,
};
#[cfg(feature = "archive")]
use longshore_image::{UnpackLimits, unpack};

use super::blob::{BlobReader, BlobStream, stream};
use super::forward::forward;
use super::listing::Listing;
use super::runtime::wait;

/// A repository in any kind of store: at a registry, in a layout, in an archive or in memory.
///
/// Its operations depend on which of [`Source`], [`Target`] and [`Delete`] the async store
/// implements. Cheap to clone; clones are the same store.
///
/// ```
/// use std::io::Read as _;
/// use longshore::{MediaType, Memory, blocking};
///
/// let store = blocking::Store::new(Memory::new());
/// let descriptor = store.push_bytes(MediaType::OCTET_STREAM, "hello")?;
/// let mut text = String::new();
/// store.blob(&descriptor)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store<S: ?Sized> {
    pub(super) inner: Arc<S>,
}

impl<S> Store<S> {
    /// Wraps an async store.
    pub fn new(store: S) -> Self {
        Self::from(Arc::new(store))
    }
}

impl<S: ?Sized> Store<S> {
    /// Returns the async store, shared with this one.
    #[must_use]
    pub fn shared(&self) -> Arc<S> {
        Arc::clone(&self.inner)
    }
}

impl<S: Source + ?Sized> Store<S> {
    forward! { SourceExt:
        /// Returns a descriptor of an existing blob, with its digest and size.
        pub fn describe_blob(&self, digest: &Digest) -> Result<Descriptor>;
        /// Returns the digest of the manifest that a tag points at, if the tag exists.
        pub fn tagged(&self, tag: &Tag) -> Result<Option<Digest>>;
        /// Checks that a tag meets a guard.
        pub fn check_tag(&self, tag: &Tag, guard: &TagGuard) -> Result<()>;
    }

    forward! { Source:
        /// Returns the name shown to users: `ghcr.io/a/b`, `oci:dir`.
        #[must_use]
        pub fn name(&self) -> String;
        /// Returns the name of a tag shown to users: `ghcr.io/a/b:v1`.
        #[must_use]
        pub fn tag_name(&self, tag: &Tag) -> String;
        /// Returns the repository at a registry, if the store is one.
        #[must_use]
        pub fn origin(&self) -> Option<&Repository>;
        /// Returns media type, digest and size of a manifest.
        pub fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor>;
        /// Returns a manifest. A manifest selected by digest has that digest.
        pub fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest>;
        /// Opens a blob, verified as it is read.
        pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader>;
        /// Opens a byte range of a blob. The bytes are not verified.
        pub fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream>;
        /// Returns the size in bytes of a blob, or `None` if it does not exist.
        pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>>;
        /// Returns the tags that point at a manifest.
        pub fn tags_for_digest(&self, digest: &Digest) -> Result<Vec<Tag>> = fn tags_for_digest;
        /// Reads an image's configuration, which describes its layers and history. For an index,
        /// choose the manifest with [`select_image`](Self::select_image) first.
        pub fn image(&self, manifest: RawManifest) -> Result<Image> = fn Image::read;
        /// Returns the image for a platform. If the manifest is an index, selects the image from
        /// the index.
        pub fn select_image(&self, manifest: RawManifest, platform: &Platform) -> Result<RawManifest>
            = fn select_image;
        /// Returns the images for several platforms, as an index without the other images.
        pub fn select_platforms(&self, manifest: RawManifest, platforms: &[Platform])
            -> Result<Selection> = fn select_platforms;
        /// Lists the images that a manifest contains, each with its platform.
        pub fn list_images(&self, manifest: &RawManifest) -> Result<Vec<Descriptor>> = fn list_images;
        /// Returns a manifest builder whose config exists in this store; see
        /// [`Pack::with_existing_config`].
        pub fn pack_of_held(&self, config: &Digest, media_type: MediaType) -> Result<Pack>
            = fn Pack::with_existing_config;
        /// Lists the tags, or only the tags after `after`, if given. They are ordered by text if
        /// the store can choose the order.
        pub fn tags(&self, after: Option<&Tag>) -> Listing<Tag>;
        /// Lists the tags after `after`, in pages of a limited size.
        pub fn next_tags(&self, after: &Tag) -> Listing<Tag>;
        /// Lists the manifests whose `subject` is this digest.
        pub fn referrers(
            &self,
            subject: &Digest,
            artifact_type: Option<&MediaType>,
        ) -> Listing<Descriptor>;
    }

    /// Lists the referrers of a manifest without its fallback tag. Returns `None` if the store has
    /// no other listing.
    ///
    /// # Errors
    /// Same as [`Source::listed_referrers`].
    pub fn listed_referrers(&self, subject: &Digest) -> Result<Option<Listing<Descriptor>>> {
        Ok(wait(self.inner.listed_referrers(subject))?.map(Listing::from))
    }

    /// Writes a blob to a file, which appears only when it is complete and verified.
    ///
    /// # Errors
    /// Same as [`Source::blob`] and [`blob_file::write`]. No partial file is left behind.
    pub fn blob_to_file(&self, descriptor: &Descriptor, path: &Path) -> Result<()> {
        wait(async { blob_file::write(path, self.inner.blob(descriptor).await?).await })
    }

    /// Opens a layer as a plain tar: decompressed within limits, and checked against its diff ID,
    /// if it has one.
    ///
    /// # Errors
    /// Same as [`Source::blob`] and [`unpack`](longshore_image::unpack).
    #[cfg(feature = "archive")]
    pub fn unpack_layer(
        &self,
        layer: &longshore_core::ImageLayer<'_>,
        limits: UnpackLimits,
    ) -> Result<BlobStream> {
        let diff_id = layer.diff_id.cloned();
        wait(async { unpack(self.inner.blob(layer.descriptor).await?, diff_id, limits) })
            .map(BlobStream::from)
    }

    /// Writes the blobs that a manifest lists to a folder, and returns their paths. The name of each
    /// file is the blob's title, or else its digest.
    ///
    /// # Errors
    /// Same as [`pull_files`](fn@pull_files).
    pub fn pull_files(&self, manifest: &RawManifest, folder: &Path) -> Result<Vec<PathBuf>>
    where
        S: 'static,
    {
        wait(pull_files(&self.inner, manifest, folder))
    }

    /// Writes one of a manifest's files below a folder, and returns its path.
    ///
    /// # Errors
    /// Same as [`Placed::write`].
    pub fn write_placed(&self, file: &Placed, folder: &Path) -> Result<PathBuf>
    where
        S: 'static,
    {
        wait(file.write(&self.inner, folder))
    }
}

impl<S: Target + ?Sized> Store<S> {
    forward! { TargetExt:
        /// Writes a manifest's exact bytes, and points `tag` at it, with a guard if one is given.
        pub fn push_tagged(
            &self,
            manifest: &RawManifest,
            tag: &Tag,
            guard: Option<&TagGuard>,
        ) -> Result<Option<GuardMethod>>;
        /// Checks that a tag points at a manifest that was just pushed.
        pub fn check_pushed(
            &self,
            manifest: &RawManifest,
            tag: &Tag,
            guard: &TagGuard,
        ) -> Result<()>;
        /// Writes bytes as a blob, and returns its descriptor.
        pub fn push_bytes(
            &self,
            media_type: MediaType,
            content: impl Into<Bytes>,
        ) -> Result<Descriptor>;
    }

    forward! { Target:
        /// Returns true if the store can hold artifacts, and not only images.
        #[must_use]
        pub fn takes_artifacts(&self) -> bool;
        /// Checks whether the store already has the correct content, so that it need not be sent.
        pub fn holds(&self, node: Node<'_>) -> Result<Presence>;
        /// Writes a blob from bytes, a file, another store's blob or a [reader](super::body).
        pub fn push_blob(
            &self,
            descriptor: &Descriptor,
            body: impl Into<BlobBody>,
        ) -> Result<Pushed> = push_blob(descriptor, body.into());
        /// Ensures that the store holds a blob. Returns how the store obtained the blob. A registry
        /// may also send a small blob that exists.
        pub fn ensure_blob(
            &self,
            descriptor: &Descriptor,
            body: impl Into<BlobBody>,
        ) -> Result<Pushed> = ensure_blob(descriptor, body.into());
        /// Checks whether a tag points at a manifest, and whether the store has the manifest.
        pub fn tag_state(&self, tag: &Tag, manifest: &Descriptor) -> Result<TagState>;
        /// Writes a blob of unknown size, and possibly unknown digest, in one pass over the reader,
        /// and returns its descriptor.
        pub fn push_reader(
            &self,
            reader: impl Read + Send + 'static,
            digest: Option<&Digest>,
        ) -> Result<Descriptor> = push_stream(stream(reader), digest);
        /// Writes a file as a blob, unless the store has the blob. Returns its descriptor, and how
        /// the store obtained the blob.
        pub fn push_file(&self, file: &FileBody) -> Result<(Descriptor, Pushed)>;
        /// Writes a manifest's exact bytes, and points `tag` at it, if given.
        pub fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()>;
        /// Writes a manifest's exact bytes, and points `tag` at it if the tag meets `guard`.
        pub fn push_guarded(
            &self,
            manifest: &RawManifest,
            tag: &Tag,
            guard: &TagGuard,
        ) -> Result<GuardMethod>;
        /// Publishes the written content, if the store is published as a whole. For example, an
        /// archive writes its file.
        pub fn finish(&self) -> Result<()>;
        /// Adds tags to an existing manifest.
        pub fn add_tags(&self, selector: &TagOrDigest, tags: &[Tag]) -> Result<Descriptor>
            = fn add_tags;
    }

    /// Writes the manifest of a pack, with its blobs, and returns its descriptor.
    ///
    /// # Errors
    /// Same as [`Pack::push`].
    pub fn push_pack(&self, pack: Pack, tag: Option<&Tag>) -> Result<Descriptor> {
        wait(pack.push(&*self.inner, tag))
    }
}

impl<S: Delete + ?Sized> Store<S> {
    forward! { Delete:
        /// Removes a blob.
        pub fn delete_blob(&self, digest: &Digest) -> Result<()>;
        /// Removes a manifest, and with it every tag that points at it.
        pub fn delete_manifest(&self, digest: &Digest) -> Result<()>;
        /// Removes one tag, if the store supports that.
        pub fn delete_tag(&self, tag: &Tag) -> Result<()>;
        /// Removes one tag and nothing else, even if the store does not support that directly.
        pub fn untag(&self, tag: &Tag) -> Result<UntagMethod> = fn untag;
        /// Deletes the manifest of a tag or digest, with every tag that points at it.
        pub fn delete_with_tags(&self, selector: &TagOrDigest) -> Result<DeleteResult>
            = fn delete_with_tags;
    }
}

impl Store<Layout> {
    /// Opens an existing layout.
    ///
    /// # Errors
    /// Same as [`Layout::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        wait(Layout::open(root)).map(Self::new)
    }

    /// Opens a layout, and creates its folder and files if they do not exist.
    ///
    /// # Errors
    /// Same as [`Layout::create`].
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        wait(Layout::create(root)).map(Self::new)
    }

    /// Returns the same layout, restricted to one entry; see [`Layout::under`].
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        Self::new(self.inner.under(name))
    }

    forward! { Layout:
        /// Checks that [`create`](Self::create) would succeed. Creates nothing.
        pub fn can_create(root: impl Into<PathBuf>) -> Result<()>;
        /// Returns the entries of `index.json`: every listed manifest, with or without a name.
        pub fn entries(&self) -> Result<Vec<Descriptor>>;
        /// Returns the only manifest of the layout, if there is exactly one.
        pub fn only_manifest(&self) -> Result<TagOrDigest>;
    }
}

impl<S: ?Sized> From<Arc<S>> for Store<S> {
    fn from(inner: Arc<S>) -> Self {
        Self { inner }
    }
}

impl<S: ?Sized> Clone for Store<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S: fmt::Debug + ?Sized> fmt::Debug for Store<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
