//! One more layer on top of an image.
//!
//! Owns the edits of configuration, manifest and index; everything that they do not touch keeps its
//! very text. Writing the result, children before parents, is the copy engine's and the store's.

mod edit;
mod layer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use longshore_core::{
    Copier, Descriptor, Digest, Error, ErrorKind, Image, Manifest, Platform, Result, Source, Tag,
    TagOrDigest, Target, image_for,
};

use crate::compression::UnpackLimits;
use layer::NewLayer;

/// Layers to be put on top of an image, and what its history is to say of them.
///
/// The image keeps everything it had: unknown fields, times to the nanosecond, the order of fields.
/// Equal input makes equal digests; nothing asks what time it is.
///
/// ```
/// # use std::sync::Arc;
/// # use longshore_core::{ImageConfig, Memory, Pack, Platform, Tag};
/// # use longshore_image::Append;
/// # tokio::runtime::Builder::new_multi_thread().build()?.block_on(async {
/// # let (store, v1, v2) = (Memory::new(), Tag::parse("v1")?, Tag::parse("v2")?);
/// # let platform = Platform::new("linux", "amd64", None);
/// # let mut config = ImageConfig::default();
/// # config.platform = platform;
/// # Pack::image(&config)?.push(&store, Some(&v1)).await?;
/// # let folder = tempfile::tempdir()?;
/// # let tar = folder.path().join("layer.tar");
/// # std::fs::write(&tar, [0; 1024])?;
/// let (source, target) = (Arc::new(store.clone()), Arc::new(store));
/// let append = Append::new().file(&tar).await?.created_by("COPY site /srv");
/// let appended = append.push(source, &v1.into(), target, Some(&v2)).await?;
/// assert_eq!(appended.layers.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
#[must_use = "nothing is written before `push`"]
pub struct Append {
    layers: Vec<NewLayer>,
    history: edit::Entry,
    platform: Option<Platform>,
    limits: UnpackLimits,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// What the tag points at now: the image, or the index that lists it.
    pub root: Descriptor,
    /// The image.
    pub image: Descriptor,
    /// The new layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Their diff IDs.
    pub diff_ids: Vec<Digest>,
}

impl Append {
    /// Appends nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer from a file: a tar, plain or compressed with gzip or zstd, which its content
    /// tells. Reads it twice now, and once when it is pushed.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if it cannot be read; [`Invalid`](ErrorKind::Invalid) if it is no tar or its
    /// compression is damaged; [`Unsupported`](ErrorKind::Unsupported) for another compression;
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limits.
    pub async fn file(mut self, path: &Path) -> Result<Self> {
        self.layers.push(NewLayer::of_file(path, self.limits).await?);
        Ok(self)
    }

    /// Adds a layer that a store has, in the image's own registry or elsewhere. Reads it once now,
    /// for its diff ID; it is mounted or sent when it is pushed.
    ///
    /// # Errors
    /// The source's error; as [`file`](Self::file) for what it holds.
    pub async fn blob(mut self, source: Arc<dyn Source>, digest: &Digest) -> Result<Self> {
        self.layers.push(NewLayer::of_blob(source, digest, self.limits).await?);
        Ok(self)
    }

    /// Sets what made the layers, in the image's history [default: `longshore append`].
    pub fn created_by(mut self, created_by: &str) -> Self {
        created_by.clone_into(&mut self.history.created_by);
        self
    }

    /// Sets a comment in the image's history.
    pub fn comment(mut self, comment: &str) -> Self {
        self.history.comment = Some(comment.to_owned());
        self
    }

    /// Sets when the layers were made, in the image's history, and with it when the image was made;
    /// RFC 3339. Without it the image's own time stays.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if it is no such time.
    pub fn created(mut self, created: &str) -> Result<Self> {
        self.history.created = Some(edit::checked_time(created)?);
        Ok(self)
    }

    /// Chooses the image of an index; the others stay in it. Of an image, checks that it is for it.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Sets how much a layer that is added after this may unpack to.
    pub fn limits(mut self, limits: UnpackLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes the image with its new layers to `target`, and points `tag` at it, if given.
    ///
    /// What `source` has and `target` lacks is copied. Of an index, the entry of the image that was
    /// chosen is replaced; attestations of the old image stay, and speak of the old one.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if there is no layer, or the image contradicts itself;
    /// [`Unsupported`](ErrorKind::Unsupported) if it is no image, or an index and no platform is
    /// chosen; [`NotFound`](ErrorKind::NotFound) with the platforms there are; the stores' errors. The
    /// tag is not moved then.
    pub async fn push(
        self,
        source: Arc<dyn Source>,
        selector: &TagOrDigest,
        target: Arc<dyn Target>,
        tag: Option<&Tag>,
    ) -> Result<Appended> {
        if self.layers.is_empty() {
            return Err(Error::new(ErrorKind::Invalid).detail("no layer is given"));
        }
        let root = source.manifest(selector).await?;
        let base = match &self.platform {
            Some(platform) => image_for(&*source, root.clone(), platform).await?,
            None => root.clone(),
        };
        let image = Image::read(&*source, base).await?;
        let edited = edit::image(&image, &self.layers, &self.history)?;

        let made = edited.manifest;
        let new_root = match root.parse()? {
            Manifest::Index(_) => edit::index(&root, image.manifest().digest(), made.descriptor())?,
            _ => made.clone(),
        };
        let is_index = new_root.digest() != made.digest();

        let copier = Copier::new(source, Arc::clone(&target));
        if is_index {
            copier.copy(&root.digest().clone().into(), None).await?;
        } else {
            // The layers alone: nobody asked for the old image there.
            let layers = image.layers().map(|layer| copier.copy_blob(layer.descriptor));
            try_join_all(layers).await?;
        }
        for (layer, descriptor) in self.layers.iter().zip(&edited.layers) {
            layer.push(descriptor, &target).await?;
        }
        push_bytes(&*target, &edited.config, edited.config_bytes).await?;
        target.push_manifest(&made, tag.filter(|_| !is_index)).await?;
        if is_index {
            target.push_manifest(&new_root, tag).await?;
        }
        Ok(Appended {
            root: new_root.descriptor().clone(),
            image: made.descriptor().clone(),
            layers: edited.layers,
            diff_ids: self.layers.into_iter().map(|layer| layer.unpacked.diff_id).collect(),
        })
    }
}

async fn push_bytes(target: &dyn Target, descriptor: &Descriptor, bytes: Bytes) -> Result<()> {
    target.push_blob(descriptor, bytes.into()).await.map(drop)
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digests: Vec<&Digest> = self.layers.iter().map(|layer| &layer.digest).collect();
        write!(f, "Append({digests:?})")
    }
}
