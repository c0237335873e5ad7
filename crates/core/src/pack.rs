//! Builds manifests from files, blobs and other manifests.

use std::collections::HashSet;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Map;

use crate::annotations::Annotations;
use crate::blob::{BlobBody, FileBody};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{ImageConfig, ImageManifest, Index, RawManifest};
use crate::media_type::MediaType;
use crate::reference::Tag;
use crate::store::{Source, SourceExt as _, Target};

/// A manifest to be built, and its blobs.
///
/// ```
/// # use longshore_core::{Memory, Pack, Tag};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let target = Memory::new();
/// let made = Pack::artifact("application/vnd.example.notes".parse()?)
///     .file("notes.txt", "remember the milk")
///     .annotation("org.opencontainers.image.created", "2026-01-01T00:00:00Z")
///     .push(&target, Some(&Tag::parse("v1")?))
///     .await?;
/// # assert_eq!(target.manifest_count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is written before `push`"]
pub struct Pack {
    document: Document,
    annotations: Annotations,
    subject: Option<Descriptor>,
    blobs: Vec<(Descriptor, BlobBody)>,
    /// The layers whose digest is computed when they are pushed, each with its position.
    files: Vec<(usize, FileBody)>,
    /// The blobs that the target must already hold.
    held: Vec<Descriptor>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "few values exist at once")]
enum Document {
    Image { artifact_type: Option<MediaType>, config: Descriptor, layers: Vec<Descriptor> },
    Index { manifests: Vec<Descriptor> },
}

impl Pack {
    /// Starts to build an artifact of a type, with an empty config.
    ///
    /// Source: image-spec v1.1.1, "Guidelines for Artifact Usage".
    pub fn artifact(artifact_type: MediaType) -> Self {
        let empty = Bytes::from_static(b"{}");
        let config = Descriptor::from_bytes(MediaType::OCI_EMPTY, &empty);
        let blobs = vec![(config.clone(), empty.into())];
        let artifact_type = Some(artifact_type);
        Self::of(Document::Image { artifact_type, config, layers: Vec::new() }, blobs)
    }

    /// Starts to build an image with this configuration. Layers are added lowest first.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the configuration cannot be written as JSON.
    pub fn image(config: &ImageConfig) -> Result<Self> {
        let bytes = Bytes::from(serde_json::to_vec(config).map_err(unwritable)?);
        let config = Descriptor::from_bytes(MediaType::OCI_CONFIG, &bytes);
        let blobs = vec![(config.clone(), bytes.into())];
        Ok(Self::of(Document::Image { artifact_type: None, config, layers: Vec::new() }, blobs))
    }

    /// Starts to build an index of manifests that the target holds.
    pub fn index(manifests: Vec<Descriptor>) -> Self {
        Self::of(Document::Index { manifests }, Vec::new())
    }

    fn of(document: Document, blobs: Vec<(Descriptor, BlobBody)>) -> Self {
        let (annotations, files, held) = Default::default();
        Self { document, annotations, subject: None, blobs, files, held }
    }

    /// Starts to build an image, or an artifact in the format of an image, with a config that
    /// `target` already holds.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the target does not hold the config; the errors of the
    /// target.
    pub async fn with_existing_config(
        target: &(impl Source + ?Sized),
        config: &Digest,
        media_type: MediaType,
    ) -> Result<Self> {
        let config = Descriptor { media_type, ..target.describe_blob(config).await? };
        let layers = Vec::new();
        Ok(Self::of(Document::Image { artifact_type: None, config, layers }, Vec::new()))
    }

    /// Adds a layer. Has no effect on an index, which lists no layers.
    pub fn layer(mut self, descriptor: Descriptor, body: BlobBody) -> Self {
        if let Document::Image { layers, .. } = &mut self.document {
            layers.push(descriptor.clone());
            self.blobs.push((descriptor, body));
        }
        self
    }

    /// Adds a layer that the target already holds, so that its content is not needed.
    ///
    /// If only the digest of the layer is known, [`blob_size`](crate::Source::blob_size) returns
    /// its size. Has no effect on an index.
    pub fn existing_layer(mut self, descriptor: Descriptor) -> Self {
        if let Document::Image { layers, .. } = &mut self.document {
            layers.push(descriptor.clone());
            self.held.push(descriptor);
        }
        self
    }

    /// Adds a small file as a layer, titled with its name.
    pub fn file(self, name: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let mut descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, &content);
        descriptor.annotations.insert(Annotations::TITLE, name);
        self.layer(descriptor, content.into())
    }

    /// Adds a file of any size as a layer, titled with its file name. The file is read when the
    /// layer is pushed. Has no effect on an index.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the path has no file name, or a name that is not valid
    /// UTF-8.
    pub fn file_at(mut self, path: &Path, media_type: MediaType) -> Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
            Error::new(ErrorKind::Invalid).at(path.display()).detail("expected a file with a name")
        })?;
        if let Document::Image { layers, .. } = &mut self.document {
            // The push replaces the digest and the size.
            let mut layer = Descriptor::from_bytes(media_type.clone(), b"");
            layer.annotations.insert(Annotations::TITLE, name);
            self.files.push((layers.len(), FileBody::new(path, media_type)));
            layers.push(layer);
        }
        Ok(self)
    }

    /// Adds an annotation to the manifest.
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key, value);
        self
    }

    /// Sets the subject of the manifest. The subject need not exist.
    pub fn subject(mut self, subject: Descriptor) -> Self {
        self.subject = Some(subject);
        self
    }

    /// Pushes the blobs that the target does not hold, at most six at a time, and then the manifest
    /// with the tag. The same input always results in the same digests.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) or [`SizeMismatch`](ErrorKind::SizeMismatch) if the target
    /// does not hold an [existing layer](Self::existing_layer) of this size, in which case nothing
    /// is pushed; the errors of the target.
    pub async fn push(
        mut self,
        target: &(impl Target + ?Sized),
        tag: Option<&Tag>,
    ) -> Result<Descriptor> {
        // Refuses a manifest that cannot be written before anything is pushed.
        self.manifest()?;
        for descriptor in &self.held {
            check_held(target, descriptor).await?;
        }
        self.push_files(target).await?;
        let manifest = self.manifest()?;
        let mut met = HashSet::new();
        let blobs = self.blobs.into_iter().filter(|(blob, _)| met.insert(blob.digest.clone()));
        stream::iter(blobs.map(Ok))
            .try_for_each_concurrent(PARALLEL, |(descriptor, body)| async move {
                target.ensure_blob(&descriptor, body).await.map(drop)
            })
            .await?;
        target.push_manifest(&manifest, tag).await?;
        Ok(manifest.descriptor().clone())
    }

    /// Pushes the files, and completes the descriptors of their layers.
    async fn push_files(&mut self, target: &(impl Target + ?Sized)) -> Result<()> {
        let pushed: Vec<(usize, Descriptor)> = stream::iter(std::mem::take(&mut self.files))
            .map(|(at, file)| async move {
                let (pushed, _) = target.push_file(&file).await?;
                Ok::<_, Error>((at, pushed))
            })
            .buffer_unordered(PARALLEL)
            .try_collect()
            .await?;
        if let Document::Image { layers, .. } = &mut self.document {
            for (at, file) in pushed {
                let annotations = std::mem::take(&mut layers[at].annotations);
                layers[at] = Descriptor { annotations, ..file };
            }
        }
        Ok(())
    }

    fn manifest(&self) -> Result<RawManifest> {
        let (annotations, subject) = (self.annotations.clone(), self.subject.clone());
        let (json, media_type) = match &self.document {
            Document::Image { artifact_type, config, layers } => {
                let image = ImageManifest {
                    schema_version: 2,
                    media_type: Some(MediaType::OCI_MANIFEST),
                    artifact_type: artifact_type.clone(),
                    config: config.clone(),
                    layers: layers.clone(),
                    subject,
                    annotations,
                    extra: Map::new(),
                };
                (serde_json::to_vec(&image), MediaType::OCI_MANIFEST)
            }
            Document::Index { manifests } => {
                let index = Index { subject, annotations, ..Index::new(manifests.clone()) };
                (serde_json::to_vec(&index), MediaType::OCI_INDEX)
            }
        };
        let manifest = RawManifest::from_bytes(json.map_err(unwritable)?.into(), Some(media_type))?;
        manifest.check_unambiguous()?;
        Ok(manifest)
    }
}

async fn check_held(target: &(impl Target + ?Sized), descriptor: &Descriptor) -> Result<()> {
    let lacks = |kind| Error::new(kind).at(format!("blob {}", descriptor.digest));
    match target.blob_size(&descriptor.digest).await? {
        Some(size) if size == descriptor.size => Ok(()),
        Some(size) => Err(lacks(ErrorKind::SizeMismatch)
            .detail(format!("the target's blob has {size} bytes, not {}", descriptor.size))),
        None => Err(lacks(ErrorKind::NotFound).detail("the target does not hold the blob")),
    }
}

fn unwritable(e: serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid).detail("the document cannot be written as JSON").with_source(e)
}

/// The maximum number of blobs that are pushed at the same time.
const PARALLEL: usize = 6;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::blob::BlobStream;
    use crate::store::TargetExt as _;
    use crate::{Manifest, Memory};

    #[tokio::test]
    async fn an_index_ignores_layers_and_their_blobs_are_not_pushed() {
        let store = Memory::new();
        let blob = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"blob");
        let index = Pack::index(Vec::new());
        let index = index.layer(blob.clone(), Bytes::from_static(b"blob").into());
        index.existing_layer(blob.clone()).push(&store, None).await.unwrap();
        assert_eq!(store.blob_size(&blob.digest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_blob_is_read_only_once_and_only_if_the_target_does_not_hold_it() {
        let (existing, twice) = (Bytes::from_static(b"existing"), Bytes::from_static(b"twice"));
        let blob = |content: &Bytes| Descriptor::from_bytes(MediaType::OCTET_STREAM, content);
        let store = Memory::new();
        store.push_blob(&blob(&existing), existing.clone().into()).await.unwrap();
        let unreadable = || BlobBody::file("/missing/file");
        Pack::artifact("application/vnd.example".parse().unwrap())
            .layer(blob(&existing), unreadable())
            .layer(blob(&twice), twice.clone().into())
            .layer(blob(&twice), unreadable())
            .push(&store, None)
            .await
            .unwrap();
        assert_eq!(store.blob_size(&blob(&twice).digest).await.unwrap(), Some(5));
    }

    #[tokio::test]
    async fn a_manifest_can_be_built_from_existing_blobs() {
        let store = Memory::new();
        let content = ["one", "two"].map(|text| Bytes::from_static(text.as_bytes()));
        let mut layers = Vec::new();
        for bytes in &content {
            let blob = store.push_bytes(MediaType::OCTET_STREAM, bytes.clone()).await.unwrap();
            // Look up the size, as a caller that knows only the digest would.
            let size = store.blob_size(&blob.digest).await.unwrap().unwrap();
            layers.push(Descriptor::new(MediaType::OCTET_STREAM, blob.digest, size));
        }
        let tag = Tag::parse("both").unwrap();
        let kind: MediaType = "application/vnd.example".parse().unwrap();
        let pack = || Pack::artifact(kind.clone());
        let both = pack().existing_layer(layers[0].clone()).existing_layer(layers[1].clone());
        both.push(&store, Some(&tag)).await.unwrap();
        let manifest = store.manifest(&tag.clone().into()).await.unwrap();
        let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("expected an image") };
        assert_eq!(image.layers, layers);
        assert_eq!(image.artifact_type, Some(kind.clone()));

        let missing = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"three");
        let mut longer = layers[0].clone();
        longer.size += 1;
        for (bad, kind) in [(missing, ErrorKind::NotFound), (longer, ErrorKind::SizeMismatch)] {
            let e = pack().existing_layer(bad).push(&store, Some(&tag)).await.unwrap_err();
            assert_eq!(e.kind(), kind, "{e}");
        }
        let still = store.manifest(&tag.into()).await.unwrap();
        assert_eq!(still.digest(), manifest.digest(), "the tag was not moved");
    }

    /// Builds a pack with this number of layers, each of which waits until all layers are being
    /// read.
    fn waiting(layers: usize) -> Pack {
        let barrier = Arc::new(tokio::sync::Barrier::new(layers));
        let artifact = Pack::artifact(MediaType::OCTET_STREAM);
        (0..layers).fold(artifact, |pack, n| {
            let (barrier, content) = (Arc::clone(&barrier), Bytes::from(n.to_string()));
            let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, &content);
            let body = stream::once(async move {
                barrier.wait().await;
                Ok(content)
            });
            pack.layer(descriptor, BlobBody::stream(BlobStream::new(body)))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn six_blobs_are_sent_in_parallel() {
        let limit = std::time::Duration::from_secs(60);
        let store = Memory::new();
        // The config is pushed first and does not wait.
        let at_once = waiting(PARALLEL).push(&store, None);
        assert!(
            tokio::time::timeout(limit, at_once).await.is_ok(),
            "the layers wait for each other"
        );
        let too_many = waiting(PARALLEL + 1).push(&store, None);
        assert!(tokio::time::timeout(limit, too_many).await.is_err(), "one layer is not started");
    }
}
