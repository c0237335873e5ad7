//! An image: its manifest, its configuration, and the layers that both describe.
//!
//! Reads both documents from any store. The module `select` selects an image of an index. The crate
//! `longshore-image` reads the content of layers.

use bytes::Bytes;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{CONFIG_LIMIT, History, ImageConfig, ImageManifest, Manifest, RawManifest};
use crate::platform::Platform;
use crate::store::Source;

/// An image for one platform, read from a store without its layers.
///
/// ```
/// # use longshore_core::{Image, ImageConfig, Memory, Pack, Platform, Source as _, Tag};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let (store, v1) = (Memory::new(), Tag::parse("v1")?);
/// # let platform = Platform::new("linux", "amd64", None);
/// # let mut config = ImageConfig::default();
/// # config.platform = platform;
/// # Pack::image(&config)?.push(&store, Some(&v1)).await?;
/// let image = Image::read(&store, store.manifest(&v1.into()).await?).await?;
/// assert_eq!(image.platform().to_string(), "linux/amd64");
/// assert_eq!(image.size(), 0, "it has no layers");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Image {
    manifest: RawManifest,
    parsed: ImageManifest,
    config_bytes: Bytes,
    config: ImageConfig,
}

/// A layer, as described by the manifest and the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer<'a> {
    /// The descriptor of the stored layer, which may be compressed.
    pub descriptor: &'a Descriptor,
    /// The digest of the uncompressed tar, if the configuration states one.
    pub diff_id: Option<&'a Digest>,
}

/// A step in the history of an image, and the layer that it created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryStep<'a> {
    /// The entry of the history, if the configuration has one.
    pub history: Option<&'a History>,
    /// The layer, or `None` if the step created no layer.
    pub layer: Option<ImageLayer<'a>>,
}

impl Image {
    /// Reads and verifies the configuration of an image.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the manifest is not that of an image;
    /// [`Invalid`](ErrorKind::Invalid) if the configuration cannot be parsed;
    /// [`TooLarge`](ErrorKind::TooLarge) if it exceeds [`CONFIG_LIMIT`]; the errors of the source.
    pub async fn read(source: &(impl Source + ?Sized), manifest: RawManifest) -> Result<Self> {
        let parsed = match manifest.parse()? {
            Manifest::Image(parsed) if parsed.is_container_image() => parsed.clone(),
            Manifest::Index(_) => {
                return Err(not_an_image(&manifest).with_hint("Choose a platform of the index."));
            }
            _ => return Err(not_an_image(&manifest)),
        };
        let config_bytes = source.blob(&parsed.config).await?.bytes(CONFIG_LIMIT).await?;
        let config = ImageConfig::parse(&config_bytes).map_err(|e| e.at(&parsed.config.digest))?;
        Ok(Self { manifest, parsed, config_bytes, config })
    }

    /// Returns the manifest as exact bytes.
    #[must_use]
    pub fn manifest(&self) -> &RawManifest {
        &self.manifest
    }

    /// Returns the parsed manifest.
    #[must_use]
    pub fn parsed(&self) -> &ImageManifest {
        &self.parsed
    }

    /// Returns the parsed configuration.
    #[must_use]
    pub fn config(&self) -> &ImageConfig {
        &self.config
    }

    /// Returns the exact bytes of the configuration.
    #[must_use]
    pub fn config_bytes(&self) -> &Bytes {
        &self.config_bytes
    }

    /// Returns the image ID in the sense of Docker: the digest of the configuration.
    #[must_use]
    pub fn id(&self) -> &Digest {
        &self.parsed.config.digest
    }

    /// Returns the platform of the image, from its configuration.
    #[must_use]
    pub fn platform(&self) -> &Platform {
        &self.config.platform
    }

    /// Returns the layers, lowest first.
    pub fn layers(&self) -> impl Iterator<Item = ImageLayer<'_>> {
        let diff_ids = self.config.rootfs.diff_ids.iter().map(Some);
        let diff_ids = diff_ids.chain(std::iter::repeat(None));
        let layers = self.parsed.layers.iter().zip(diff_ids);
        layers.map(|(descriptor, diff_id)| ImageLayer { descriptor, diff_id })
    }

    /// Returns the total size in bytes of the stored layers, which may be compressed. The
    /// configuration and the manifest are not counted.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.parsed.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }

    /// Returns the total size in bytes of the uncompressed layers, or `None` if the media type of
    /// any layer is not that of a plain tar. The size of a compressed layer after decompression is
    /// known only after it is read.
    #[must_use]
    pub fn unpacked_size(&self) -> Option<u64> {
        self.layers()
            .map(|layer| layer.unpacked_size())
            .try_fold(0_u64, |sum, size| size.and_then(|size| sum.checked_add(size)))
    }

    /// Returns the history, oldest first: every step with the layer that it created.
    ///
    /// If the history does not match the layers, the layers follow the history as steps without a
    /// history entry.
    #[must_use]
    pub fn steps(&self) -> Vec<HistoryStep<'_>> {
        let accounted = self.config.non_empty_history().count() == self.parsed.layers.len();
        let mut layers = self.layers();
        let mut steps: Vec<HistoryStep<'_>> = Vec::new();
        for history in &self.config.history {
            let layer = if accounted && !history.empty_layer { layers.next() } else { None };
            steps.push(HistoryStep { history: Some(history), layer });
        }
        steps.extend(layers.map(|layer| HistoryStep { history: None, layer: Some(layer) }));
        steps
    }
}

impl ImageLayer<'_> {
    /// Returns the size of the uncompressed tar in bytes, or `None` if the media type of the layer
    /// is not that of a plain tar.
    #[must_use]
    pub fn unpacked_size(&self) -> Option<u64> {
        self.descriptor.media_type.is_plain_layer().then_some(self.descriptor.size)
    }
}

fn not_an_image(manifest: &RawManifest) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(manifest.digest())
        .detail(format!("not an image: {}", manifest.media_type()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;
    use crate::memory::Memory;
    use crate::pack::Pack;

    async fn image(history: &str, layers: &[(&MediaType, &'static [u8])]) -> Image {
        let config: ImageConfig = serde_json::from_str(&format!(
            r#"{{"architecture":"arm64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}},
                "history":{history}}}"#,
            Digest::sha256(b"plain")
        ))
        .unwrap();
        let store = Memory::new();
        let mut pack = Pack::image(&config).unwrap();
        for (media_type, content) in layers {
            let descriptor = Descriptor::from_bytes((*media_type).clone(), content);
            pack = pack.layer(descriptor, Bytes::from_static(content).into());
        }
        let packed = pack.push(&store, None).await.unwrap();
        let manifest = store.manifest(&packed.digest.into()).await.unwrap();
        Image::read(&store, manifest).await.unwrap()
    }

    #[tokio::test]
    async fn the_unpacked_size_is_known_only_if_no_layer_is_compressed() {
        let plain = image("[]", &[(&MediaType::OCI_LAYER, b"plain")]).await;
        assert_eq!((plain.size(), plain.unpacked_size()), (5, Some(5)));
        let mixed = [(&MediaType::OCI_LAYER, &b"plain"[..]), (&MediaType::OCI_LAYER_GZIP, b"gzip")];
        let mixed = image("null", &mixed).await;
        assert_eq!((mixed.size(), mixed.unpacked_size()), (9, None));
        let diff_ids: Vec<bool> = mixed.layers().map(|layer| layer.diff_id.is_some()).collect();
        assert_eq!(diff_ids, [true, false]);
        assert_eq!(mixed.platform().to_string(), "linux/arm64");
    }

    #[tokio::test]
    async fn history_steps_are_paired_with_the_layers_that_they_created() {
        let history = r#"[{"created_by":"a","empty_layer":true},{"created_by":"b"},{"created_by":"c",
            "empty_layer":true}]"#;
        let layers = [(&MediaType::OCI_LAYER, &b"plain"[..])];
        let made = image(history, &layers).await;
        let with: Vec<bool> = made.steps().iter().map(|step| step.layer.is_some()).collect();
        assert_eq!(with, [false, true, false]);
        let non_empty: Vec<_> = made.config().non_empty_history().collect();
        assert_eq!(non_empty.len(), 1);

        // Two steps and one layer: it is unclear which step created the layer.
        let unclear = image(r#"[{"created_by":"a"},{"created_by":"b"}]"#, &layers).await;
        let steps = unclear.steps();
        let shape: Vec<_> =
            steps.iter().map(|s| (s.history.is_some(), s.layer.is_some())).collect();
        assert_eq!(shape, [(true, false), (true, false), (false, true)]);
    }

    #[tokio::test]
    async fn manifests_that_are_not_images_are_refused() {
        let store = Memory::new();
        let artifact = Pack::artifact("a/b".parse().unwrap()).push(&store, None).await.unwrap();
        let index = Pack::index(vec![artifact.clone()]).push(&store, None).await.unwrap();
        for descriptor in [artifact, index] {
            let manifest = store.manifest(&descriptor.digest.into()).await.unwrap();
            let e = Image::read(&store, manifest).await.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported);
        }
    }
}
