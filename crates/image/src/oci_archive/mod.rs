//! A repository in a tar file that contains an OCI image layout.
//!
//! Owns the reading of such archives. Blobs are read in place from the file. `writer` writes
//! archives, the module `listing` of longshore-core handles the names in `index.json`, and `lookup`
//! finds manifests, blobs and referrers.

mod lookup;
mod writer;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::{fmt, io};

use async_trait::async_trait;
use longshore_core::run_blocking;
use longshore_core::{
    BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, Index, MediaType, Page, Pages,
    RawManifest, Result, Source, Tag, TagOrDigest, listing,
};
use serde::Deserialize;

use lookup::Lookup;
pub use writer::OciArchiveWriter;

use crate::file_range::Section;
use crate::spool::{self, ArchiveFile};
use crate::tar_index::Members;

/// An OCI image layout in a tar file, read in place. Clones share the open file.
///
/// The tags come from the `org.opencontainers.image.ref.name` annotations of `index.json`, whose
/// values are usually tags or references. A reference without a tag stands for `latest`. If two
/// entries have the same name, the last entry is used. A tag selects the entry with exactly this
/// name. If no such entry exists, the tag selects the entry whose name is a reference with this
/// tag. If several names are such references, a read of the tag fails. A compressed archive (gzip,
/// zstd) is first unpacked into an unnamed temporary file.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use longshore_image::OciArchive;
///
/// let missing = OciArchive::open("no-such-file.tar").await.unwrap_err();
/// assert_eq!(missing.to_string(), "not found: no-such-file.tar");
/// # Ok::<(), longshore_core::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: image-spec v1.1.1, "Image Layout".
#[derive(Clone)]
pub struct OciArchive {
    content: Arc<Content>,
    /// If set, every tag selects the entry with this name.
    name: Option<Arc<str>>,
}

struct Content {
    path: PathBuf,
    members: Members,
    index: Index,
    index_digest: Digest,
    in_place: bool,
    /// The referrers, which are read on first use.
    referrers: OnceLock<listing::Referrers>,
}

impl OciArchive {
    /// Opens an archive and reads its index.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the file does not exist;
    /// [`Invalid`](ErrorKind::Invalid) if the file is not a tar file, is not a layout, is damaged,
    /// or has names or links that lead out of the archive; [`Unsupported`](ErrorKind::Unsupported)
    /// for a layout of a version other than 1; [`TooLarge`](ErrorKind::TooLarge) beyond the limits
    /// for archives.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        run_blocking(move || Self::of(spool::open(&path)?)).await
    }

    /// Reads an archive, plain or compressed, from a stream to the end of the stream. The archive
    /// is stored in an unnamed temporary file. Messages show its name as `-`.
    ///
    /// # Errors
    /// Same as [`open`](Self::open); [`Io`](ErrorKind::Io) if the stream cannot be read.
    pub async fn read(stream: impl io::Read + Send + 'static) -> Result<Self> {
        run_blocking(move || Self::of(spool::read(stream)?)).await
    }

    fn of(ArchiveFile { file, in_place }: ArchiveFile) -> Result<Self> {
        let path = file.path().to_owned();
        let members = Members::index(file)?;
        let at = |e: Error| e.at(path.display());
        check_marker(&members).map_err(at)?;
        let bytes = members
            .require(INDEX)
            .and_then(|section| section.bytes(INDEX_LIMIT))
            .map_err(|e| at(e.with_hint("Create the archive again.")))?;
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|e| at(Error::new(ErrorKind::Invalid).detail(format!("{INDEX}: {e}"))))?;
        let (index_digest, referrers) = (Digest::sha256(&bytes), OnceLock::new());
        let content = Content { path, members, index, index_digest, in_place, referrers };
        Ok(Self { content: Arc::new(content), name: None })
    }

    /// Returns the same archive, in which every tag selects the entry with this name. The name need
    /// not be a tag.
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        Self { content: Arc::clone(&self.content), name: Some(name.into()) }
    }

    /// Returns the path of the archive.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.content.path
    }

    /// Returns the entries of `index.json`: all listed manifests, with or without a name.
    #[must_use]
    pub fn entries(&self) -> &[Descriptor] {
        &self.content.index.manifests
    }

    /// Returns the default manifest. If exactly one name exists, the default is the named manifest,
    /// selected by its tag if the name has a tag. Otherwise, the default is the only manifest.
    ///
    /// Several images without names count as one index, which is `index.json` itself, if each image
    /// has a platform.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the archive has no manifest;
    /// [`Conflict`](ErrorKind::Conflict), with the names of the manifests, if there are several.
    pub fn only_manifest(&self) -> Result<TagOrDigest> {
        let entries = self.entries();
        let at = |e: Error| e.at(self.name());
        match listing::only(entries).map_err(at)? {
            Some(only) => Ok(only),
            None if entries.iter().all(|d| d.platform.is_some()) => {
                Ok(self.content.index_digest.clone().into())
            }
            None => Err(at(listing::several(entries))),
        }
    }

    /// Returns the section of the blob, or of the `index.json`, with this digest.
    fn section(&self, digest: &Digest) -> Result<Option<Section>> {
        if *digest == self.content.index_digest {
            return self.content.members.find(INDEX);
        }
        self.content.members.find(&blob_name(digest))
    }

    fn known_referrers(&self) -> Result<&listing::Referrers> {
        if let Some(known) = self.content.referrers.get() {
            return Ok(known);
        }
        let found = self.lookup(|l| l.referrers())?;
        Ok(self.content.referrers.get_or_init(|| found))
    }

    fn lookup<T>(&self, find: impl FnOnce(Lookup<'_>) -> Result<T>) -> Result<T> {
        find(Lookup {
            name: self.name(),
            entries: self.entries(),
            under: self.name.as_deref(),
            find: &|digest| self.section(digest),
        })
    }
}

#[async_trait]
impl Source for OciArchive {
    fn name(&self) -> String {
        format!("oci-archive:{}", self.path().display())
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let (archive, selector) = (self.clone(), selector.clone());
        run_blocking(move || archive.lookup(|l| l.manifest(&selector))).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let section = self.lookup(|l| l.blob(&descriptor.digest))?;
        let stream = section.stream(0..section.size())?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let section = self.lookup(|l| l.blob(&descriptor.digest))?;
        section.stream(range).map_err(|e| e.at(&descriptor.digest))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.section(digest)?.map(|section| section.size()))
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        Pages::from_items(listing::tags(self.entries(), after))
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let query = (self.clone(), subject.clone(), artifact_type.cloned());
        Pages::new(move |_| {
            let (archive, subject, artifact_type) = query.clone();
            async move {
                let find = move || {
                    let referrers = archive.known_referrers()?;
                    Ok(referrers.of(&subject, artifact_type.as_ref()))
                };
                let items = run_blocking(find).await?;
                Ok(Page { items, next: None })
            }
        })
    }
}

impl fmt::Debug for OciArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciArchive({})", self.path().display())
    }
}

/// Returns the name of a blob's member. The grammar of digests excludes separators and `..`, so the
/// name is safe.
fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm_name(), digest.encoded())
}

/// Checks that the archive contains a layout of a supported version.
fn check_marker(members: &Members) -> Result<()> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    let invalid = |why: String| Error::new(ErrorKind::Invalid).detail(why);
    let Some(section) = members.find(MARKER)? else {
        let error = invalid(format!("not an OCI layout: {MARKER} is missing in the archive"));
        return Err(match members.find("manifest.json")? {
            Some(_) => error.with_hint("Use docker-archive:FILE for the output of docker save."),
            None => error,
        });
    };
    let bytes = section.bytes(MARKER_LIMIT)?;
    let marker: Marker =
        serde_json::from_slice(&bytes).map_err(|e| invalid(format!("{MARKER}: {e}")))?;
    if marker.version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Unsupported)
        .detail(format!("unsupported layout version {}, expected 1", marker.version)))
}

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
/// 64 KiB. The file usually has thirty bytes.
const MARKER_LIMIT: usize = 64 << 10;
/// 64 MiB: about 200,000 entries.
const INDEX_LIMIT: usize = 64 << 20;
