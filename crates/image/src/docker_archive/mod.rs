//! Images in a tar file, in the format of `docker save` and skopeo.
//!
//! Owns the reading of such archives. Each image is presented as a Docker schema 2 manifest of its
//! config and layers as stored. Blobs are read in place from the file. `writer` writes archives,
//! and `manifest_json` has the documents of an archive. `image` represents an image that is read,
//! and `saved` an image that is written.

mod image;
mod manifest_json;
mod saved;
mod writer;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, io};

use async_trait::async_trait;
use longshore_core::run_blocking;
use longshore_core::{
    BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, MediaType, Pages, RawManifest,
    Reference, Repository, Result, Source, Tag, TagOrDigest, listing,
};

use image::{Image, Known, Stored};
pub use writer::DockerArchiveWriter;

use crate::file_range::Section;
use crate::spool::{self, ArchiveFile};
use crate::tar_index::Members;

/// The images of a docker-archive, read in place. Clones share the open file.
///
/// Reads what `docker save` of any version since 1.10, skopeo, podman and crane write: a folder for
/// each layer, symbolic links for repeated layers, and archives that also contain an OCI layout.
/// Layers are presented as stored, usually plain tars whose digest is their diff ID. A compressed
/// archive (gzip, zstd) is first unpacked into an unnamed temporary file.
///
/// An archive can contain images of several repositories. [`within`](Self::within) restricts the
/// store to the names of one repository. Without this restriction, a tag selects the image that has
/// this tag in any repository.
///
/// Source: Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
#[derive(Clone)]
pub struct DockerArchive {
    content: Arc<Content>,
    repository: Option<Repository>,
}

struct Content {
    path: PathBuf,
    images: Vec<Image>,
    blobs: BTreeMap<Digest, Stored>,
    in_place: bool,
}

impl DockerArchive {
    /// Opens an archive and reads the configs of its images.
    ///
    /// Also reads each compressed layer to compute its digests, but only the start of each plain
    /// layer.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the file does not exist;
    /// [`Invalid`](ErrorKind::Invalid) if the file is not a tar file, is not a docker-archive, is
    /// damaged, or has names or links that lead out of the archive;
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if a config or a compressed layer does not
    /// match its digest; [`TooLarge`](ErrorKind::TooLarge) beyond the limits for archives.
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
        let images = read_images(&members).map_err(|e| e.at(path.display()))?;
        let mut blobs = BTreeMap::new();
        for blob in images.iter().flat_map(Image::blobs) {
            blobs.insert(blob.descriptor.digest.clone(), blob.clone());
        }
        let content = Content { path, images, blobs, in_place };
        Ok(Self { content: Arc::new(content), repository: None })
    }

    /// Returns the same archive, restricted to the names of one repository. All content can still
    /// be read by digest.
    #[must_use]
    pub fn within(mut self, repository: Repository) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Returns the path of the archive.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.content.path
    }

    /// Returns the names of all images, each with its tag, in the archive's order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.content.images.iter().flat_map(|image| &image.references)
    }

    /// Returns every image with its names, in the archive's order. An image may have no names.
    pub fn images(&self) -> impl Iterator<Item = (TagOrDigest, &[Reference])> {
        let images = self.content.images.iter();
        images.map(|image| (image.manifest.digest().clone().into(), &image.references[..]))
    }

    /// Returns the image at this index in the archive, counted from 0.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), with the number of images, if no image has this index.
    pub fn image_at(&self, index: usize) -> Result<TagOrDigest> {
        match self.content.images.get(index) {
            Some(image) => Ok(image.manifest.digest().clone().into()),
            None => Err(Error::new(ErrorKind::NotFound)
                .at(format!("{} image {index}", self.name()))
                .detail(format!("the archive has {} images", self.content.images.len()))),
        }
    }

    /// Returns the image with this name. A name without a tag gets the tag `latest`. A name with a
    /// digest selects the digest, even if no image has it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound), with the existing names, if the name has no digest and no
    /// image has this name.
    pub fn selector(&self, reference: &Reference) -> Result<TagOrDigest> {
        if let Some(digest) = reference.digest() {
            return Ok(digest.clone().into());
        }
        let wanted = reference.clone().or_latest();
        let named = |image: &&Image| image.references.iter().any(|name| wanted == *name);
        match self.content.images.iter().rev().find(named) {
            Some(image) => Ok(image.manifest.digest().clone().into()),
            None => Err(self.not_found(&wanted)),
        }
    }

    /// Returns the only image of the archive.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the archive has no image;
    /// [`Conflict`](ErrorKind::Conflict), with the names of the images, if there are several
    /// different images.
    pub fn only_image(&self) -> Result<TagOrDigest> {
        let mut digests = self.content.images.iter().map(|image| image.manifest.digest());
        let Some(first) = digests.next() else {
            return Err(Error::new(ErrorKind::NotFound)
                .at(self.name())
                .detail("the archive is empty"));
        };
        if digests.all(|digest| digest == first) {
            return Ok(first.clone().into());
        }
        Err(Error::new(ErrorKind::Conflict)
            .at(self.name())
            .detail(format!("several images: {}", self.shown_names()))
            .with_hint(WHICH))
    }

    /// Returns the selected image. All images with the selected tag must be the same.
    fn image(&self, selector: &TagOrDigest) -> Result<&Image> {
        let wanted = |image: &&Image| match selector {
            TagOrDigest::Tag(tag) => self.tags_for_digest(image).any(|t| t == tag),
            TagOrDigest::Digest(digest) => image.manifest.digest() == digest,
        };
        let mut found = self.content.images.iter().filter(wanted);
        let image = found.next().ok_or_else(|| self.not_found(selector))?;
        if found.all(|other| other.manifest.digest() == image.manifest.digest()) {
            return Ok(image);
        }
        Err(Error::new(ErrorKind::Conflict)
            .at(format!("{} {selector}", self.name()))
            .detail(format!("several images have the tag: {}", self.shown_names()))
            .with_hint(WHICH))
    }

    fn tags_for_digest<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = &'a Tag> {
        let shown = |r: &&Reference| self.repository.as_ref().is_none_or(|of| of == r.repository());
        image.references.iter().filter(shown).filter_map(Reference::tag)
    }

    fn section(&self, digest: &Digest) -> Result<&Section> {
        match self.content.blobs.get(digest) {
            Some(stored) => Ok(&stored.section),
            None => {
                Err(Error::new(ErrorKind::NotFound).at(format!("{} blob {digest}", self.name())))
            }
        }
    }

    fn not_found(&self, name: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::NotFound)
            .at(format!("{} {name}", self.name()))
            .detail(format!("the archive has {}", self.shown_names()))
    }

    fn shown_names(&self) -> String {
        let names: Vec<String> = self.references().map(ToString::to_string).collect();
        if names.is_empty() {
            return "no names".to_owned();
        }
        names.join(", ")
    }
}

#[async_trait]
impl Source for DockerArchive {
    fn name(&self) -> String {
        format!("docker-archive:{}", self.path().display())
    }

    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.image(selector).map(|image| image.manifest.descriptor().clone())
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.image(selector).map(|image| image.manifest.clone())
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let section = self.section(&descriptor.digest)?;
        let stream = section.stream(0..section.size())?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let section = self.section(&descriptor.digest)?;
        section.stream(range).map_err(|e| e.at(&descriptor.digest))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.content.blobs.get(digest).map(|stored| stored.section.size()))
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let images = self.content.images.iter();
        let tags = images.flat_map(|image| self.tags_for_digest(image)).cloned();
        Pages::from_items(listing::ordered(tags, after))
    }

    fn referrers(&self, _: &Digest, _: Option<&MediaType>) -> Pages<Descriptor> {
        Pages::from_items(Vec::new())
    }
}

impl fmt::Debug for DockerArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DockerArchive({})", self.path().display())
    }
}

fn read_images(members: &Members) -> Result<Vec<Image>> {
    let mut known = Known::default();
    manifest_json::read(members)?
        .iter()
        .map(|item| Image::read(item, members, &mut known))
        .collect()
}

/// The advice to choose one of several images.
const WHICH: &str =
    "Choose one: docker-archive:FILE:REPOSITORY:TAG, or by position docker-archive:FILE:@0.";
