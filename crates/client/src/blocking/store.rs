//! Any store, its operations waited for.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longshore_core::{
    BlobBody, Delete, Descriptor, Digest, Holding, MediaType, Node, Pack, Pushed, RawManifest,
    Repository, Result, Source, Tag, TagOrDigest, Target, Untagged, blob_file, untag,
};

use super::blob::{BlobReader, BlobStream, stream};
use super::listing::Listing;
use super::runtime::wait;

/// A repository wherever it is: at a registry, in a layout, in an archive, in memory.
///
/// What can be done with it depends on which of [`Source`], [`Target`] and [`Delete`] it is. Cheap to
/// clone; clones are the same store.
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
    inner: Arc<S>,
}

impl<S> Store<S> {
    /// The store, its operations waited for.
    pub fn new(store: S) -> Self {
        Self::from(Arc::new(store))
    }
}

impl<S: ?Sized> Store<S> {
    /// The async store, shared with this one.
    #[must_use]
    pub fn shared(&self) -> Arc<S> {
        Arc::clone(&self.inner)
    }
}

impl<S: ?Sized> Store<S> {
    pub(super) fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Source + ?Sized> Store<S> {
    /// What to call it to a person: `ghcr.io/a/b`, `oci:dir`.
    #[must_use]
    pub fn name(&self) -> String {
        self.inner.name()
    }

    /// Where it is at a registry, if that is where it is.
    #[must_use]
    pub fn origin(&self) -> Option<&Repository> {
        self.inner.origin()
    }

    /// Media type, digest and size of a manifest.
    ///
    /// # Errors
    /// As [`Source::resolve`].
    pub fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        wait(self.inner.resolve(selector))
    }

    /// A manifest. One asked for by digest has that digest.
    ///
    /// # Errors
    /// As [`Source::manifest`].
    pub fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        wait(self.inner.manifest(selector))
    }

    /// Opens a blob, verified as it is read.
    ///
    /// # Errors
    /// As [`Source::blob`]; what is wrong with the content, before the reader's end.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        wait(self.inner.blob(descriptor)).map(BlobReader::from)
    }

    /// Opens a part of a blob, in bytes from its start, the end not included. Not verified.
    ///
    /// # Errors
    /// As [`Source::blob_range`].
    pub fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        wait(self.inner.blob_range(descriptor, range)).map(BlobStream::from)
    }

    /// Writes a blob to a file, which shows only when all of it is there and verified.
    ///
    /// # Errors
    /// As [`Source::blob`] and [`blob_file::write`]; nothing is left behind.
    pub fn blob_to_file(&self, descriptor: &Descriptor, path: &Path) -> Result<()> {
        wait(async { blob_file::write(path, self.inner.blob(descriptor).await?).await })
    }

    /// The size in bytes of a blob, or `None` if it is not there.
    ///
    /// # Errors
    /// As [`Source::blob_size`].
    pub fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        wait(self.inner.blob_size(digest))
    }

    /// Digest and size of a blob that is there, as a descriptor to open it by.
    ///
    /// # Errors
    /// As [`Source::describe_blob`].
    pub fn describe_blob(&self, digest: &Digest) -> Result<Descriptor> {
        wait(self.inner.describe_blob(digest))
    }

    /// The tags, ordered by text where the store has a say; only those after `after`, if given.
    pub fn tags(&self, after: Option<&Tag>) -> Listing<Tag> {
        self.inner.tags(after).into()
    }

    /// The manifests whose `subject` is this digest.
    pub fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Listing<Descriptor> {
        self.inner.referrers(subject, artifact_type).into()
    }
}

impl<S: Target + ?Sized> Store<S> {
    /// Whether the content is there and right, so that it need not be sent.
    ///
    /// # Errors
    /// As [`Target::holds`].
    pub fn holds(&self, node: Node<'_>) -> Result<Holding> {
        wait(self.inner.holds(node))
    }

    /// Writes a blob: bytes, a file, another store's blob, or a [reader's](super::body).
    ///
    /// # Errors
    /// As [`Target::push_blob`].
    pub fn push_blob(&self, descriptor: &Descriptor, body: impl Into<BlobBody>) -> Result<Pushed> {
        wait(self.inner.push_blob(descriptor, body.into()))
    }

    /// Writes bytes as a blob, and tells what they are called.
    ///
    /// # Errors
    /// As [`Target::push_blob`].
    pub fn push_bytes(
        &self,
        media_type: MediaType,
        content: impl Into<Bytes>,
    ) -> Result<Descriptor> {
        let content = content.into();
        let descriptor = Descriptor::of(media_type, &content);
        self.push_blob(&descriptor, content)?;
        Ok(descriptor)
    }

    /// Writes a file as a blob, and tells what it is called. It is read once for its digest, and
    /// once to be sent.
    ///
    /// # Errors
    /// As [`Target::push_blob`]; [`Io`](longshore_core::ErrorKind::Io) if it cannot be read.
    pub fn push_file(&self, media_type: MediaType, path: &Path) -> Result<Descriptor> {
        let descriptor = wait(blob_file::describe(path, media_type, None))?;
        self.push_blob(&descriptor, BlobBody::file(path))?;
        Ok(descriptor)
    }

    /// Writes a blob unless it is there already; says whether it had to be written.
    ///
    /// # Errors
    /// As [`Target::ensure_blob`].
    pub fn ensure_blob(
        &self,
        descriptor: &Descriptor,
        body: impl Into<BlobBody>,
    ) -> Result<Pushed> {
        wait(self.inner.ensure_blob(descriptor, body.into()))
    }

    /// Writes a blob of which neither size nor, perhaps, digest is known, in one pass over the reader,
    /// and tells what it is called.
    ///
    /// # Errors
    /// As [`Target::push_stream`].
    pub fn push_reader(
        &self,
        reader: impl Read + Send + 'static,
        digest: Option<&Digest>,
    ) -> Result<Descriptor> {
        wait(self.inner.push_stream(stream(reader), digest))
    }

    /// Writes a manifest's exact bytes, and points `tag` at it, if given.
    ///
    /// # Errors
    /// As [`Target::push_manifest`].
    pub fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        wait(self.inner.push_manifest(manifest, tag))
    }

    /// Publishes what was written, in a store that appears as a whole: an archive writes its file.
    ///
    /// # Errors
    /// As [`Target::finish`].
    pub fn finish(&self) -> Result<()> {
        wait(self.inner.finish())
    }

    /// Writes a manifest in the making, with its blobs, and tells what it is called.
    ///
    /// # Errors
    /// As [`Pack::push`].
    pub fn push_pack(&self, pack: Pack, tag: Option<&Tag>) -> Result<Descriptor> {
        wait(pack.push(&*self.inner, tag))
    }
}

impl<S: Delete + ?Sized> Store<S> {
    /// Removes a blob.
    ///
    /// # Errors
    /// As [`Delete::delete_blob`].
    pub fn delete_blob(&self, digest: &Digest) -> Result<()> {
        wait(self.inner.delete_blob(digest))
    }

    /// Removes a manifest, and with it every tag that points at it.
    ///
    /// # Errors
    /// As [`Delete::delete_manifest`].
    pub fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        wait(self.inner.delete_manifest(digest))
    }

    /// Removes one tag, where the store can do that.
    ///
    /// # Errors
    /// As [`Delete::delete_tag`].
    pub fn delete_tag(&self, tag: &Tag) -> Result<()> {
        wait(self.inner.delete_tag(tag))
    }

    /// Removes one tag and nothing beside it, also where the store cannot.
    ///
    /// # Errors
    /// As [`untag`](fn@untag).
    pub fn untag(&self, tag: &Tag) -> Result<Untagged> {
        wait(untag(&*self.inner, tag))
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
