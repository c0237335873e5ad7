//! Manifests: the exact bytes, and a parsed view beside them.
//!
//! Owns [`RawManifest`] (never rewritten) and [`Manifest`] (never written back). What a manifest
//! points at, by position, is the business of `graph`.

mod ancestor;
mod artifact;
mod canonical;
mod check;
mod config;
mod history;
mod image;
mod index;
mod rootfs;
mod schema1;

use std::fmt;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub use ancestor::Ancestor;
pub use artifact::ArtifactManifest;
pub use canonical::canonical_json;
pub use config::{CONFIG_LIMIT, ContainerConfig, ImageConfig};
pub use history::History;
pub use image::ImageManifest;
pub use index::Index;
pub(crate) use index::missing;
pub use rootfs::RootFs;
#[cfg(feature = "signatures")]
pub use schema1::{PublicKey, Signer, SigningKey, Verified};
pub use schema1::{Schema1, Schema1History, Schema1Layer};

use crate::descriptor::Descriptor;
use crate::digest::{Digest, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;

/// A manifest as its exact bytes, checked against its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct RawManifest {
    descriptor: Descriptor,
    bytes: Bytes,
}

impl RawManifest {
    /// Takes bytes that must have this digest; of signed schema 1, the payload may have it.
    ///
    /// `media_type` is what the store said they are; where it said nothing useful (`None`, or a
    /// generic type), the document itself is asked.
    ///
    /// # Errors
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the bytes are others;
    /// [`Unsupported`](ErrorKind::Unsupported) if the algorithm is unknown;
    /// [`Invalid`](ErrorKind::Invalid) if no media type can be told, or the document contradicts the
    /// one given.
    pub fn new(bytes: Bytes, media_type: Option<MediaType>, digest: Digest) -> Result<Self> {
        match verify(&bytes, &digest) {
            Err(e) if e.kind() == ErrorKind::DigestMismatch => {
                let told = told_media_type(&bytes, media_type.clone());
                let schema1 = told.is_ok_and(|media_type| media_type.is_schema1());
                let payload = schema1.then(|| schema1::payload(&bytes)).flatten();
                if !payload.is_some_and(|payload| digest_matches(&payload, &digest)) {
                    return Err(e);
                }
            }
            verdict => verdict?,
        }
        let media_type = told_media_type(&bytes, media_type).map_err(|e| e.at(&digest))?;
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Self { descriptor, bytes })
    }

    /// Takes bytes at hand, by their sha256 digest; signed schema 1 by that of its payload, which is
    /// what registries call it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) as [`RawManifest::new`].
    pub fn of(bytes: Bytes, media_type: Option<MediaType>) -> Result<Self> {
        let digest = Digest::sha256(&bytes);
        Ok(Self::new(bytes, media_type, digest)?.by_payload())
    }

    /// The same, by the digest of its very bytes: what a store of files calls it, in which every name
    /// is held against the content.
    #[must_use]
    pub fn by_bytes(&self) -> Self {
        if !self.media_type().is_schema1() || digest_matches(&self.bytes, self.digest()) {
            return self.clone();
        }
        self.called(Digest::sha256(&self.bytes))
    }

    /// The same, by the digest that registries call it: for signed schema 1, the one of its payload.
    #[must_use]
    pub fn by_payload(&self) -> Self {
        if !self.media_type().is_schema1() {
            return self.clone();
        }
        match schema1::payload(&self.bytes) {
            Some(payload) if !digest_matches(&payload, self.digest()) => {
                self.called(Digest::sha256(&payload))
            }
            _ => self.clone(),
        }
    }

    fn called(&self, digest: Digest) -> Self {
        let mut descriptor = self.descriptor.clone();
        descriptor.digest = digest;
        Self { descriptor, bytes: self.bytes.clone() }
    }

    /// Media type, digest and size; nothing else.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The digest it is called by: that of the bytes, or of a signed schema 1's payload.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// What the document is.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.descriptor.media_type
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Reads the bytes into a view. Unknown media types are read by shape, or kept
    /// [`Opaque`](Manifest::Opaque).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) where the document breaks its format: the field, the line and
    /// what was expected.
    pub fn parse(&self) -> Result<Manifest> {
        let shape = Shape::of(&self.bytes).map_err(|e| e.at(self.digest()))?;
        let media_type = self.media_type();
        let parsed = if media_type.is_index() {
            self.typed().map(Manifest::Index)
        } else if *media_type == MediaType::OCI_MANIFEST
            || *media_type == MediaType::DOCKER_MANIFEST
        {
            self.typed().map(Manifest::Image)
        } else if shape.schema_version == Some(1) {
            self.typed().map(Manifest::Schema1)
        } else if *media_type == MediaType::OCI_ARTIFACT {
            self.typed().map(Manifest::Artifact)
        } else if shape.manifests {
            self.typed().map(Manifest::Index)
        } else if shape.layers && shape.config {
            self.typed().map(Manifest::Image)
        } else {
            return Ok(Manifest::Opaque);
        };
        parsed.map_err(|e| invalid(&e).at(self.digest()))
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }
}

impl fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawManifest({} {})", self.media_type(), self.digest())
    }
}

/// A parsed view of a manifest: to read, never to write back.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "one is read at a time; none are kept")]
pub enum Manifest {
    /// An OCI image manifest or Docker schema 2 manifest.
    Image(ImageManifest),
    /// An OCI image index or Docker manifest list.
    Index(Index),
    /// A Docker schema 1 manifest, signed or not.
    Schema1(Schema1),
    /// An OCI artifact manifest, withdrawn before image-spec 1.1.
    Artifact(ArtifactManifest),
    /// A document of a kind that longshore does not know; it is passed on untouched.
    Opaque,
}

impl Manifest {
    /// The manifest that this one refers to, if it has a `subject`.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
            Self::Artifact(artifact) => artifact.subject.as_ref(),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }

    /// What kind of artifact it is: its `artifactType`, else the media type of its config.
    ///
    /// Source: distribution-spec v1.1.1, "Listing Referrers".
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Image(manifest) => {
                Some(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type))
            }
            Self::Index(index) => index.artifact_type.as_ref(),
            Self::Artifact(artifact) => artifact.artifact_type.as_ref(),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }

    /// The manifest's own annotations.
    #[must_use]
    pub fn annotations(&self) -> Option<&crate::annotations::Annotations> {
        match self {
            Self::Image(manifest) => Some(&manifest.annotations),
            Self::Index(index) => Some(&index.annotations),
            Self::Artifact(artifact) => Some(&artifact.annotations),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }
}

/// The fields that tell one kind of document from another.
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    manifests: bool,
    layers: bool,
    fs_layers: bool,
    config: bool,
}

impl Shape {
    /// Looks at the top level of a document.
    ///
    /// A document that is image and index at once is refused: the two readings are how one digest
    /// is made to mean two things.
    ///
    /// Source: image-spec v1.1.1, manifest and image index; advisory GHSA-77vh-xpmg-72qh.
    fn of(bytes: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Top {
            #[serde(rename = "schemaVersion")]
            schema_version: Option<u64>,
            #[serde(rename = "mediaType")]
            media_type: Option<MediaType>,
            #[serde(default)]
            manifests: Present,
            #[serde(default)]
            layers: Present,
            #[serde(default, rename = "fsLayers")]
            fs_layers: Present,
            #[serde(default)]
            config: Present,
        }
        if bytes.len() > MANIFEST_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge).detail(format!(
                "a manifest may have {MANIFEST_LIMIT} bytes, this has {}",
                bytes.len()
            )));
        }
        let top: Top = serde_json::from_slice(bytes).map_err(|e| {
            if bytes.trim_ascii_start().starts_with(b"<") {
                return Error::new(ErrorKind::Invalid)
                    .detail("expected a manifest, got a web page")
                    .with_hint(
                        "Check the address: a proxy or login page answered instead of a registry.",
                    );
            }
            invalid(&e)
        })?;
        let shape = Self {
            schema_version: top.schema_version,
            media_type: top.media_type,
            manifests: top.manifests.0,
            layers: top.layers.0,
            fs_layers: top.fs_layers.0,
            config: top.config.0,
        };
        if shape.manifests && (shape.layers || shape.config) {
            return Err(Error::new(ErrorKind::Invalid)
                .detail("the document has both \"manifests\" and \"layers\" or \"config\""));
        }
        Ok(shape)
    }
}

fn verify(bytes: &[u8], digest: &Digest) -> Result<()> {
    let mut verifier = Verifier::new(digest, bytes.len() as u64)?;
    verifier.update(bytes)?;
    verifier.finish()
}

fn digest_matches(bytes: &[u8], digest: &Digest) -> bool {
    verify(bytes, digest).is_ok()
}

/// Whether a field is there at all, be it `null`.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

/// Decides what a document is, from what the store said and what it says itself.
fn told_media_type(bytes: &[u8], stated: Option<MediaType>) -> Result<MediaType> {
    let stated = stated.filter(|media_type| !media_type.is_generic());
    let shape = Shape::of(bytes)?;
    match (stated, shape.media_type) {
        (Some(stated), Some(own)) if stated != own => Err(Error::new(ErrorKind::Invalid)
            .detail(format!("the document says it is {own}, the store says {stated}"))),
        (Some(media_type), _) | (None, Some(media_type)) => Ok(media_type),
        (None, None) if shape.schema_version == Some(1) => Ok(MediaType::DOCKER_SCHEMA1_SIGNED),
        (None, None) if shape.manifests => Ok(MediaType::OCI_INDEX),
        (None, None) if shape.layers => Ok(MediaType::OCI_MANIFEST),
        (None, None) if shape.fs_layers => Ok(MediaType::DOCKER_SCHEMA1_SIGNED),
        (None, None) => Err(Error::new(ErrorKind::Invalid)
            .detail("neither the store nor the document says what kind of manifest it is")),
    }
}

fn invalid(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid).detail(format!("not a valid manifest: {e}"))
}

/// 8 MiB: twice what registries accept, so that no stored manifest is out of reach.
pub const MANIFEST_LIMIT: usize = 8 << 20;

#[cfg(test)]
mod tests;
