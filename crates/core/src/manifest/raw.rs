//! A manifest as stored: bytes, media type and digest.

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::shape::{Shape, determine};
use super::{Manifest, invalid, schema1};
use crate::descriptor::Descriptor;
use crate::digest::{Digest, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;

/// A manifest as its exact bytes, checked against its digest.
///
/// [`parse`](Self::parse) parses the bytes only once. Clones share the bytes and the parsed view.
#[derive(Clone)]
pub struct RawManifest {
    descriptor: Descriptor,
    bytes: Bytes,
    shape: Shape,
    parsed: Arc<OnceLock<Manifest>>,
}

impl RawManifest {
    /// Creates a manifest from bytes that must match this digest. For signed schema 1, the digest
    /// of the payload is also accepted.
    ///
    /// `media_type` is the type that the store stated. If this type is missing or generic, the type
    /// is determined from the document.
    ///
    /// # Errors
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the bytes do not match;
    /// [`Unsupported`](ErrorKind::Unsupported) if the algorithm is unknown;
    /// [`Invalid`](ErrorKind::Invalid) if the media type cannot be determined, or if the document
    /// contradicts the given media type; [`TooLarge`](ErrorKind::TooLarge) beyond
    /// [`MANIFEST_LIMIT`](super::MANIFEST_LIMIT).
    pub fn new(bytes: Bytes, media_type: Option<MediaType>, digest: Digest) -> Result<Self> {
        match verify(&bytes, &digest) {
            Err(e) if e.kind() == ErrorKind::DigestMismatch => {
                let determined = determine(&bytes, media_type.clone());
                let schema1 = determined.is_ok_and(|(media_type, _)| media_type.is_schema1());
                let payload = schema1.then(|| schema1::payload(&bytes).ok()).flatten();
                if !payload.is_some_and(|payload| digest_matches(&payload, &digest)) {
                    return Err(e);
                }
            }
            verified => verified?,
        }
        Self::described(bytes, media_type, digest)
    }

    /// Creates a manifest from bytes and computes its sha256 digest. Signed schema 1 gets the
    /// digest of its payload, because registries use this digest.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) or [`TooLarge`](ErrorKind::TooLarge) in the same cases as
    /// [`RawManifest::new`].
    pub fn from_bytes(bytes: Bytes, media_type: Option<MediaType>) -> Result<Self> {
        let digest = Digest::sha256(&bytes);
        Ok(Self::described(bytes, media_type, digest)?.by_payload())
    }

    /// Creates a manifest from bytes that have been checked against the digest.
    fn described(bytes: Bytes, media_type: Option<MediaType>, digest: Digest) -> Result<Self> {
        let (media_type, shape) = determine(&bytes, media_type).map_err(|e| e.at(&digest))?;
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Self { descriptor, bytes, shape, parsed: Arc::default() })
    }

    /// Returns the manifest with the digest of its exact bytes. A store in a folder needs this
    /// digest, because it checks the name of every file against the content.
    #[must_use]
    pub fn by_bytes(&self) -> Self {
        if !self.media_type().is_schema1() || digest_matches(&self.bytes, self.digest()) {
            return self.clone();
        }
        self.with_digest(Digest::sha256(&self.bytes))
    }

    /// Returns the manifest with the digest that registries use. For signed schema 1, this is the
    /// digest of the payload.
    #[must_use]
    pub fn by_payload(&self) -> Self {
        if !self.media_type().is_schema1() {
            return self.clone();
        }
        match schema1::payload(&self.bytes) {
            Ok(payload) if !digest_matches(&payload, self.digest()) => {
                self.with_digest(Digest::sha256(&payload))
            }
            _ => self.clone(),
        }
    }

    /// Returns the signed payload of a schema 1 manifest: the exact bytes of the document without
    /// its signatures. The signatures are not checked.
    ///
    /// # Errors
    /// [`Unverified`](ErrorKind::Unverified) if the manifest is not signed, or contains more than
    /// the payload.
    ///
    /// Source: Docker image manifest version 2, schema 1, "Signed Manifests".
    pub fn signed_payload(&self) -> Result<Bytes> {
        let refused = |clause| Error::new(ErrorKind::Unverified).at(self.digest()).detail(clause);
        schema1::payload(&self.bytes).map(Bytes::from).map_err(refused)
    }

    fn with_digest(&self, digest: Digest) -> Self {
        let mut manifest = self.clone();
        manifest.descriptor.digest = digest;
        manifest
    }

    /// Returns a descriptor with only media type, digest and size.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns true if this is a digest of the manifest's bytes or, for signed schema 1, of its
    /// payload.
    #[must_use]
    pub fn has_digest(&self, digest: &Digest) -> bool {
        let by_payload = self.by_payload();
        by_payload.digest() == digest || digest_matches(&self.bytes, digest)
    }

    /// Returns the digest of the manifest: the digest of its bytes or, for signed schema 1, of its
    /// payload.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }

    /// Returns the media type of the document.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.descriptor.media_type
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Returns the exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the parsed view of the bytes, which are parsed only once. A document of unknown
    /// media type is parsed according to its fields, or becomes [`Opaque`](Manifest::Opaque).
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), with the field, the line and the expected content, if the
    /// document violates its format.
    pub fn parse(&self) -> Result<&Manifest> {
        if let Some(parsed) = self.parsed.get() {
            return Ok(parsed);
        }
        let parsed = self.read().map_err(|e| invalid(&e).at(self.digest()))?;
        Ok(self.parsed.get_or_init(|| parsed))
    }

    fn read(&self) -> Result<Manifest, serde_json::Error> {
        let (media_type, shape) = (self.media_type(), self.shape);
        if media_type.is_index() {
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
            Ok(Manifest::Opaque)
        }
    }

    fn typed<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.bytes)
    }
}

impl PartialEq for RawManifest {
    fn eq(&self, other: &Self) -> bool {
        self.descriptor == other.descriptor && self.bytes == other.bytes
    }
}

impl Eq for RawManifest {}

impl fmt::Debug for RawManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawManifest({} {})", self.media_type(), self.digest())
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
