//! Adds layers on top of an image.
//!
//! Owns the edits of config, manifest and index. All other fields keep their exact text. The copy
//! engine and the store write the result, children before parents.

mod edit;
mod layer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::try_join_all;
use longshore_core::{
    Copier, Descriptor, Digest, Error, ErrorKind, Image, Manifest, Platform, Result, Source, Tag,
    TagOrDigest, Target, read_image,
};

use crate::compression::UnpackLimits;
use layer::NewLayer;

/// Layers to be added on top of an image, and the history entry for each of them.
///
/// The image keeps its other content: unknown fields, times to the nanosecond, and the order of
/// fields. The same input always gives the same digests, because the current time is not used.
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

/// The result of appending.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendResult {
    /// The image, or the index that lists the image. The tag, if given, points at this manifest.
    pub root: Descriptor,
    /// The image.
    pub image: Descriptor,
    /// The new layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The diff IDs of the new layers.
    pub diff_ids: Vec<Digest>,
}

impl Append {
    /// Starts without layers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a layer from a file: a tar, plain or compressed with gzip or zstd. The compression is
    /// detected from the content. This call reads the file twice. The push reads the file again if
    /// the target lacks the layer.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file cannot be read; [`Invalid`](ErrorKind::Invalid) if the
    /// file is not a tar or is damaged; [`Unsupported`](ErrorKind::Unsupported) for another
    /// compression; [`TooLarge`](ErrorKind::TooLarge) beyond the limits.
    pub async fn file(mut self, path: &Path) -> Result<Self> {
        self.layers.push(NewLayer::from_file(path, self.limits).await?);
        Ok(self)
    }

    /// Adds a layer from a store, which may be the image's own registry or another store. This call
    /// reads the layer once, to compute its diff ID. The push mounts or sends the layer if the
    /// target lacks it.
    ///
    /// # Errors
    /// The errors of [`file`](Self::file) about content; the errors of the source.
    pub async fn blob(mut self, source: Arc<dyn Source>, digest: &Digest) -> Result<Self> {
        self.layers.push(NewLayer::from_blob(source, digest, self.limits).await?);
        Ok(self)
    }

    /// Sets the command that created the layers, for the image's history [default: `longshore
    /// append`].
    pub fn created_by(mut self, created_by: &str) -> Self {
        created_by.clone_into(&mut self.history.created_by);
        self
    }

    /// Sets a comment in the image's history.
    pub fn comment(mut self, comment: &str) -> Self {
        self.history.comment = Some(comment.to_owned());
        self
    }

    /// Sets the creation time of the image, and of the new layers in the image's history, in RFC
    /// 3339 format. By default, the image keeps its time.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the text is not a time in this format.
    pub fn created(mut self, created: &str) -> Result<Self> {
        self.history.created = Some(edit::checked_time(created)?);
        Ok(self)
    }

    /// Selects an image of an index. The other images stay in the index. For a single image, checks
    /// that the image fits the platform.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Sets the limits for unpacking layers that are added after this call.
    pub fn limits(mut self, limits: UnpackLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes the image with its new layers to `target`, with `tag` if given.
    ///
    /// Copies from `source` what `target` lacks: the layers of a single image, or all content of an
    /// index. In an index, replaces the entry of the selected image. Attestations of the old image
    /// stay, and still describe the old image.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if no layer was added, or if the image is inconsistent;
    /// [`Unsupported`](ErrorKind::Unsupported) if the content is not an image, if it is an index
    /// and no platform is selected, or if the selected image is in a nested index;
    /// [`NotFound`](ErrorKind::NotFound), with the available platforms, if no image fits the
    /// platform; the errors of the stores. The tag is written last, so an earlier error leaves it
    /// unchanged.
    pub async fn push(
        self,
        source: Arc<dyn Source>,
        selector: &TagOrDigest,
        target: Arc<dyn Target>,
        tag: Option<&Tag>,
    ) -> Result<AppendResult> {
        if self.layers.is_empty() {
            return Err(Error::new(ErrorKind::Invalid).detail("no layer was added"));
        }
        let root = source.manifest(selector).await?;
        let image = match &self.platform {
            Some(platform) => read_image(&*source, root.clone(), Some(platform)).await?,
            None => Image::read(&*source, root.clone()).await?,
        };
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
            // Copy only the layers, because the target does not need the old config and manifest.
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
        Ok(AppendResult {
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
