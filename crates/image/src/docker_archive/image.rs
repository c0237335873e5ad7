//! One image of a docker-archive, presented as a manifest of the stored content.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use longshore_core::{
    Algorithm, CONFIG_LIMIT, Descriptor, Digest, Digester, Error, ErrorKind, ImageConfig,
    ImageManifest, MediaType, RawManifest, Reference, Result,
};

use super::manifest_json::Item;
use crate::compression::{Compression, Decoder, START, UnpackLimits, error_of};
use crate::file_range::Section;
use crate::tar_index::Members;

/// An image of the archive: its names, and the manifest for the copy engine.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) references: Vec<Reference>,
    pub(super) manifest: RawManifest,
    pub(super) config: Stored,
    pub(super) layers: Vec<Stored>,
}

/// A config or layer, with its position in the file.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) descriptor: Descriptor,
    /// The digest of the uncompressed content. For plain content, the diff ID is the digest in the
    /// descriptor.
    pub(super) diff_id: Digest,
    pub(super) section: Section,
}

/// The configs and layers that were read from an archive, by position. Images can share configs and
/// layers.
#[derive(Default)]
pub(super) struct Known {
    configs: HashMap<u64, Config>,
    /// Keyed by position and by expected diff ID.
    layers: HashMap<(u64, Digest), Descriptor>,
}

#[derive(Clone)]
struct Config {
    descriptor: Descriptor,
    diff_ids: Arc<[Digest]>,
}

impl Known {
    fn config(&mut self, section: &Section) -> Result<Config> {
        if let Some(config) = self.configs.get(&section.offset()) {
            return Ok(config.clone());
        }
        let bytes = section.bytes(CONFIG_LIMIT)?;
        let config = Config {
            descriptor: Descriptor::from_bytes(MediaType::DOCKER_CONFIG, &bytes),
            diff_ids: diff_ids(&bytes)?.into(),
        };
        self.configs.insert(section.offset(), config.clone());
        Ok(config)
    }

    fn layer(&mut self, section: &Section, diff_id: &Digest) -> Result<Descriptor> {
        let key = (section.offset(), diff_id.clone());
        if let Some(layer) = self.layers.get(&key) {
            return Ok(layer.clone());
        }
        let layer = describe(section, diff_id)?;
        self.layers.insert(key, layer.clone());
        Ok(layer)
    }
}

impl Image {
    /// Reads an image's config and the start of each layer.
    ///
    /// The digest of a plain layer is its diff ID, which is verified whenever the whole layer is
    /// read. A compressed layer is completely read here, once, to compute its digests.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if a member is missing, if a member's name leads out of the
    /// archive, or if the config states a different number of layers;
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the config does not match its name, or a
    /// compressed layer does not match the config; [`TooLarge`](ErrorKind::TooLarge) if the config
    /// or a compressed layer exceeds the limits.
    pub(super) fn read(item: &Item, members: &Members, known: &mut Known) -> Result<Self> {
        let config_section = members.require(&item.config)?;
        let config = known.config(&config_section).map_err(|e| e.at(&item.config))?;
        let Config { descriptor: config, diff_ids } = config;
        check_name(&item.config, &config.digest)?;
        let names = item.layers.as_deref().unwrap_or_default();
        check_count(names.len(), diff_ids.len()).map_err(|e| e.at(&item.config))?;

        let mut layers = Vec::with_capacity(names.len());
        for (name, diff_id) in names.iter().zip(&*diff_ids) {
            let section = members.require(name)?;
            let descriptor = known.layer(&section, diff_id).map_err(|e| e.at(name))?;
            layers.push(Stored { descriptor, diff_id: diff_id.clone(), section });
        }
        let described = layers.iter().map(|layer| layer.descriptor.clone()).collect();
        Ok(Self {
            references: item.references(),
            manifest: manifest(config.clone(), described)?,
            config: Stored {
                diff_id: config.digest.clone(),
                descriptor: config,
                section: config_section,
            },
            layers,
        })
    }

    /// Returns the config and the layers.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Stored> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// Returns the diff IDs that a config states.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the document is not an image's config.
pub(super) fn diff_ids(config: &[u8]) -> Result<Vec<Digest>> {
    let config: ImageConfig = serde_json::from_slice(config).map_err(|e| {
        Error::new(ErrorKind::Invalid).detail(format!("not the config of an image: {e}"))
    })?;
    Ok(config.rootfs.diff_ids)
}

/// Checks that the number of layers matches the config.
pub(super) fn check_count(layers: usize, diff_ids: usize) -> Result<()> {
    if layers == diff_ids {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid)
        .detail(format!("not an image: {layers} layers but {diff_ids} diff IDs in the config")))
}

/// Builds the Docker schema 2 manifest of the stored content. The same content always gives the
/// same bytes.
fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Result<RawManifest> {
    let mut manifest = ImageManifest::new(config, layers);
    manifest.media_type = Some(MediaType::DOCKER_MANIFEST);
    let bytes =
        serde_json::to_vec(&manifest).map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
    RawManifest::from_bytes(Bytes::from(bytes), Some(MediaType::DOCKER_MANIFEST))
}

/// Returns the descriptor of a layer as stored.
fn describe(section: &Section, diff_id: &Digest) -> Result<Descriptor> {
    let media_type = match Compression::detect(&section.start(START)?)? {
        Compression::None => {
            return Ok(Descriptor::new(MediaType::DOCKER_LAYER, diff_id.clone(), section.size()));
        }
        Compression::Gzip => MediaType::DOCKER_LAYER_GZIP,
        Compression::Zstd => MediaType::DOCKER_LAYER_ZSTD,
    };
    let (stored, unpacked) = digests(section, diff_id)?;
    check_diff_id(&unpacked, diff_id)?;
    Ok(Descriptor::new(media_type, stored, section.size()))
}

/// Computes the digests of a compressed layer and of its content in one pass.
fn digests(section: &Section, diff_id: &Digest) -> Result<(Digest, Digest)> {
    let mut reader = Hashing::new(section.reader());
    let mut unpacked = diff_id.algorithm().unwrap_or_default().digester();
    let mut decoder = Decoder::new(&mut reader, UnpackLimits::default())?;
    io::copy(&mut decoder, &mut unpacked).map_err(error_of)?;
    drop(decoder);
    Ok((reader.finish(), unpacked.finish()))
}

/// Checks a layer's content against the diff ID in the config.
pub(super) fn check_diff_id(found: &Digest, stated: &Digest) -> Result<()> {
    if found == stated {
        return Ok(());
    }
    Err(Error::new(ErrorKind::DigestMismatch).detail(format!(
        "the config states the diff ID {stated}, but the layer unpacks to {found}"
    )))
}

/// Checks a config against its file name, which most tools derive from the digest of the config.
fn check_name(name: &str, digest: &Digest) -> Result<()> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let stem = file.strip_suffix(".json").unwrap_or(file);
    let stem = stem.strip_prefix("sha256:").unwrap_or(stem);
    match Digest::parse(&format!("sha256:{stem}")) {
        Ok(named) if named != *digest => Err(Error::new(ErrorKind::DigestMismatch)
            .at(name)
            .detail(format!("the config has the digest {digest}"))),
        _ => Ok(()),
    }
}

/// A reader that computes the sha256 digest of the bytes it reads.
pub(super) struct Hashing<R> {
    inner: R,
    digester: Digester,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        let digester = Algorithm::Sha256.digester();
        Self { inner, digester }
    }

    /// Returns the digest of all bytes read.
    pub(super) fn finish(self) -> Digest {
        self.digester.finish()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.digester.update(&buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_must_match_its_name_if_the_name_is_a_digest() {
        let digest = Digest::sha256(b"config");
        let (right, wrong) = (digest.encoded(), "0".repeat(64));
        for (name, ok) in [
            (format!("{right}.json"), true),
            (format!("sha256:{right}"), true),
            (format!("blobs/sha256/{right}"), true),
            ("config.json".to_owned(), true),
            (format!("{wrong}.json"), false),
            (format!("sha256:{wrong}"), false),
            (format!("blobs/sha256/{wrong}"), false),
        ] {
            assert_eq!(check_name(&name, &digest).is_ok(), ok, "{name}");
        }
    }

    #[test]
    fn a_manifest_is_written_in_the_format_of_docker_schema_2() {
        let config = Descriptor::from_bytes(MediaType::DOCKER_CONFIG, b"{}");
        let made = manifest(config, Vec::new()).unwrap();
        let expected = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{}","size":2}},"layers":[]}}"#,
            Digest::sha256(b"{}")
        );
        assert_eq!(made.bytes(), &expected);
    }
}
