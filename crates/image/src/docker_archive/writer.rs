use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::run_blocking;
use longshore_core::{
    BlobBody, BlobReader, BlobStream, CONFIG_LIMIT, Descriptor, Digest, Error, ErrorKind,
    GuardMethod, Manifest, MediaType, Node, Pages, Presence, Pushed, RawManifest, Reference,
    Repository, Result, Source, SourceExt as _, Tag, TagGuard, TagOrDigest, Target, listing,
};

use super::DockerArchive;
use super::image::{self, Hashing, Image, Stored};
use super::saved::{self, Member, Saved};
use crate::compression::{Compression, Decoder, UnpackLimits};
use crate::file_range::Section;
use crate::spool;
use crate::staging::{Staged, Staging, work_over};
use crate::tar_file::{self, Output, Part};

/// A docker-archive that is being written. Clones share its state.
///
/// Accepts images for one platform each, in the formats of OCI and Docker. Pushed layers are stored
/// decompressed, as in archives of skopeo, and verified against the diff IDs in the config. An
/// image therefore keeps its config and its ID, but not its manifest and digest. Blobs are staged
/// in a folder beside the archive, and [`finish`](Target::finish) writes the file atomically. An
/// existing archive is extended: its images stay, unless a pushed image takes the only name of an
/// image. The same images in the same order always give the same bytes.
///
/// # Cancellation
/// Dropping the writer and its clones without `finish` removes all staged blobs, and leaves an
/// existing archive unchanged.
#[derive(Clone)]
pub struct DockerArchiveWriter {
    work: Arc<Work>,
    repository: Option<Repository>,
    limits: UnpackLimits,
}

struct Work {
    output: Output,
    existing: Option<DockerArchive>,
    staging: Staging,
    state: Mutex<State>,
}

struct State {
    images: Vec<Saved>,
    /// The pushed blobs, by the digest under which each blob was pushed.
    blobs: BTreeMap<Digest, Unpacked>,
}

/// A decompressed blob.
#[derive(Clone, Debug)]
struct Unpacked {
    content: Arc<Staged>,
    /// The digest of the uncompressed content.
    diff_id: Digest,
    compression: Compression,
}

impl DockerArchiveWriter {
    /// Starts an archive at `path`, or extends an existing archive.
    ///
    /// - `repository`: the repository name for pushed images, without a tag. If `None`, pushed
    ///   images get no names.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder cannot be written; the errors of [`DockerArchive::open`]
    /// for an existing archive; [`Unsupported`](ErrorKind::Unsupported) if the existing archive is
    /// compressed.
    pub async fn create(path: impl Into<PathBuf>, repository: Option<Repository>) -> Result<Self> {
        let path = path.into();
        run_blocking(move || Self::begin(Output::file(&path)?, repository)).await
    }

    /// Starts an archive that [`finish`](Target::finish) writes to a stream in a single pass.
    /// Blobs are staged in the system's folder for temporary files.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder for temporary files cannot be written.
    pub async fn stream(
        stream: impl io::Write + Send + 'static,
        repository: Option<Repository>,
    ) -> Result<Self> {
        run_blocking(move || Self::begin(Output::stream(stream), repository)).await
    }

    fn begin(output: Output, repository: Option<Repository>) -> Result<Self> {
        let staging = output.staging()?;
        let existing = match output.extends() {
            Some(path) => Some(DockerArchive::of(spool::open(path)?)?),
            None => None,
        };
        if existing.as_ref().is_some_and(|archive| !archive.content.in_place) {
            return Err(tar_file::not_extensible(output.path()));
        }
        let kept: &[Image] = existing.as_ref().map_or(&[], |archive| &archive.content.images);
        let state =
            State { images: kept.iter().map(Saved::kept).collect(), blobs: BTreeMap::new() };
        let work = Work { output, existing, staging, state: Mutex::new(state) };
        Ok(Self { work: Arc::new(work), repository, limits: UnpackLimits::default() })
    }

    /// Returns the same archive, but names images after another repository. An archive can contain
    /// images of many repositories.
    #[must_use]
    pub fn within(&self, repository: Repository) -> Self {
        Self { repository: Some(repository), ..self.clone() }
    }

    /// Sets the limits for unpacking a layer.
    #[must_use]
    pub fn limits(mut self, limits: UnpackLimits) -> Self {
        self.limits = limits;
        self
    }
}

impl Work {
    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state can stop half way, so the state is consistent even if a writer
        // panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self) -> String {
        format!("docker-archive:{}", self.output.path().display())
    }

    fn not_found(&self, what: &dyn fmt::Display) -> Error {
        Error::new(ErrorKind::NotFound).at(format!("{} {what}", self.name()))
    }

    /// Builds an image from a manifest, and from blobs that were pushed before it or are in the
    /// existing archive.
    fn image(&self, manifest: &RawManifest) -> Result<Saved> {
        let parsed = match manifest.parse()? {
            Manifest::Image(image) => image,
            Manifest::Index(_) => return Err(choose_a_platform(manifest.digest())),
            _ => return Err(not_an_image(manifest.digest())),
        };
        let (config, bytes) = self.config(&parsed.config)?;
        let diff_ids = image::diff_ids(&bytes).map_err(|e| e.at(manifest.digest()))?;
        image::check_count(parsed.layers.len(), diff_ids.len())
            .map_err(|e| e.at(manifest.digest()))?;
        let layers = parsed.layers.iter().zip(&diff_ids);
        let layers = layers
            .map(|(layer, diff_id)| self.layer(layer, diff_id).map_err(|e| e.at(&layer.digest)))
            .collect::<Result<_>>()?;
        Ok(Saved { manifest: manifest.clone(), references: Vec::new(), config, layers })
    }

    fn config(&self, descriptor: &Descriptor) -> Result<(Member, Bytes)> {
        let (part, section) = match self.pushed(&descriptor.digest) {
            Some(blob) if blob.compression == Compression::None => {
                let section = blob.content.section()?;
                (Part::Staged(blob.content), section)
            }
            Some(_) => return Err(not_an_image(&descriptor.digest)),
            None => {
                let section = self.existing_blob(&descriptor.digest)?.section.clone();
                (Part::Section(section.clone()), section)
            }
        };
        let bytes = section.bytes(CONFIG_LIMIT).map_err(|e| e.at(&descriptor.digest))?;
        Ok((Member::config(descriptor.digest.clone(), part), bytes))
    }

    fn layer(&self, layer: &Descriptor, diff_id: &Digest) -> Result<Member> {
        let digest = &layer.digest;
        let member = match self.pushed(digest) {
            Some(blob) => {
                image::check_diff_id(&blob.diff_id, diff_id)?;
                let part = Part::Staged(blob.content);
                Member::layer(blob.diff_id, &MediaType::DOCKER_LAYER, part)
            }
            None => {
                let kept = self.existing_blob(digest).map_err(|e| match &layer.media_type {
                    foreign if foreign.is_nondistributable() => left_out(digest),
                    _ => e,
                })?;
                image::check_diff_id(&kept.diff_id, diff_id)?;
                let part = Part::Section(kept.section.clone());
                Member::layer(digest.clone(), &kept.descriptor.media_type, part)
            }
        };
        Ok(member)
    }

    fn pushed(&self, digest: &Digest) -> Option<Unpacked> {
        self.state().blobs.get(digest).cloned()
    }

    /// Returns a blob of the existing archive.
    fn existing_blob(&self, digest: &Digest) -> Result<&Stored> {
        let kept = self.existing.as_ref().and_then(|existing| existing.content.blobs.get(digest));
        kept.ok_or_else(|| self.not_found(&format!("blob {digest}")))
    }

    /// Returns a blob as pushed, or as stored in the existing archive. A layer that was pushed
    /// compressed is stored only decompressed, so it cannot be returned.
    fn section(&self, digest: &Digest) -> Result<Section> {
        match self.pushed(digest) {
            Some(blob) if blob.compression == Compression::None => blob.content.section(),
            Some(blob) => Err(Error::new(ErrorKind::Unsupported)
                .at(format!("{} blob {digest}", self.name()))
                .detail(format!("the {} layer is stored only decompressed", blob.compression))),
            None => self.existing_blob(digest).map(|kept| kept.section.clone()),
        }
    }

    fn is_held(&self, descriptor: &Descriptor) -> Result<bool> {
        match (self.pushed(&descriptor.digest), self.existing_blob(&descriptor.digest)) {
            (Some(_), _) => Ok(true),
            (None, Ok(kept)) => kept.section.verify(descriptor),
            (None, Err(_)) => Ok(false),
        }
    }

    /// Finds the manifest of an image. A tag is looked up in `repository`.
    fn manifest(
        &self,
        selector: &TagOrDigest,
        repository: Option<&Repository>,
    ) -> Result<RawManifest> {
        let state = self.state();
        let found = state.images.iter().find(|image| match selector {
            TagOrDigest::Tag(tag) => tags_for_digest(image, repository).any(|t| t == tag),
            TagOrDigest::Digest(digest) => image.manifest.digest() == digest,
        });
        let image = found.ok_or_else(|| self.not_found(selector))?;
        Ok(image.manifest.clone())
    }
}

/// Returns the tags of an image in a repository.
fn tags_for_digest<'a>(
    image: &'a Saved,
    repository: Option<&'a Repository>,
) -> impl Iterator<Item = &'a Tag> {
    let ours = move |r: &&Reference| Some(r.repository()) == repository;
    image.references.iter().filter(ours).filter_map(Reference::tag)
}

#[async_trait]
impl Source for DockerArchiveWriter {
    fn name(&self) -> String {
        self.work.name()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.work.manifest(selector, self.repository.as_ref())
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let section = self.work.section(&descriptor.digest)?;
        let stream = section.stream(0..section.size())?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let section = self.work.section(&descriptor.digest)?;
        section.stream(range).map_err(|e| e.at(&descriptor.digest))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        match self.work.section(digest) {
            Ok(section) => Ok(Some(section.size())),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Unsupported) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let state = self.work.state();
        let images = state.images.iter();
        let tags = images.flat_map(|image| tags_for_digest(image, self.repository.as_ref()));
        Pages::from_items(listing::ordered(tags.cloned(), after))
    }

    fn referrers(&self, _: &Digest, _: Option<&MediaType>) -> Pages<Descriptor> {
        Pages::from_items(Vec::new())
    }
}

#[async_trait]
impl Target for DockerArchiveWriter {
    fn takes_artifacts(&self) -> bool {
        false
    }

    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        let held = match node {
            // Fail before any image of the index is fetched.
            Node::Manifest(descriptor) if descriptor.media_type.is_index() => {
                return Err(choose_a_platform(&descriptor.digest));
            }
            Node::Manifest(descriptor) => {
                self.work.manifest(&descriptor.digest.clone().into(), None).is_ok()
            }
            Node::Blob(descriptor) => {
                let (work, descriptor) = (Arc::clone(&self.work), descriptor.clone());
                run_blocking(move || work.is_held(&descriptor)).await?
            }
        };
        Ok(if held { Presence::Partial } else { Presence::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let reader = body.open(descriptor).await?;
        // This clone keeps the folder until the work is done. The work may continue briefly after
        // this future is dropped.
        let (work, limits) = (Arc::clone(&self.work), self.limits);
        let unpacked =
            work_over(reader, move |content| unpack(content, work.staging.path(), limits))
                .await
                .map_err(|e| e.at(&descriptor.digest))?;
        self.work.state().blobs.insert(descriptor.digest.clone(), unpacked);
        Ok(Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let (work, manifest) = (Arc::clone(&self.work), manifest.clone());
        let repository = self.repository.clone();
        let reference = repository
            .zip(tag.cloned())
            .map(|(repository, tag)| Reference::new(repository).with_tag(tag));
        run_blocking(move || {
            let image = work.image(&manifest)?;
            saved::save(&mut work.state().images, image, reference);
            Ok(())
        })
        .await
    }

    /// The tag is not checked after the change, because a docker-archive keeps no manifests.
    /// [`finish`](Self::finish) detects changes by other writers.
    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        self.check_tag(tag, guard).await?;
        self.push_manifest(manifest, Some(tag)).await.map(|()| GuardMethod::Checked)
    }

    async fn finish(&self) -> Result<()> {
        let work = Arc::clone(&self.work);
        run_blocking(move || {
            let images = work.state().images.clone();
            work.output.write(&saved::members(&images)?)
        })
        .await
    }
}

impl fmt::Debug for DockerArchiveWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DockerArchiveWriter({})", self.work.output.path().display())
    }
}

/// Writes the decompressed content of a blob to a file in `folder`.
fn unpack(blob: &mut dyn Read, folder: &Path, limits: UnpackLimits) -> Result<Unpacked> {
    let decoder = Decoder::new(blob, limits)?;
    let compression = decoder.compression();
    let mut content = Hashing::new(decoder);
    let staged = Staged::write(folder, &mut content)?;
    Ok(Unpacked { content: Arc::new(staged), diff_id: content.finish(), compression })
}

fn choose_a_platform(digest: &Digest) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(digest)
        .detail("a docker-archive cannot contain an index")
        .with_hint("Choose a platform, or write an oci-archive.")
}

/// Builds the error for a layer that a copy leaves out by default.
fn left_out(digest: &Digest) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(digest)
        .detail("a docker-archive needs all layers, but this layer is non-distributable")
        .with_hint("Copy these layers too (--nondistributable), or write an oci-archive.")
}

fn not_an_image(digest: &Digest) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(digest)
        .detail("a docker-archive can contain only images")
        .with_hint("Write an oci-archive.")
}
