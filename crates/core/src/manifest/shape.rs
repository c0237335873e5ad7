//! Determines the kind of a manifest document from its top level.

use serde::Deserialize;

use super::{MANIFEST_LIMIT, invalid};
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;

/// Determines the type of a document from the type that the store stated and from the document
/// itself.
pub(super) fn determine(bytes: &[u8], stated: Option<MediaType>) -> Result<(MediaType, Shape)> {
    let stated = stated.filter(|media_type| !media_type.is_generic());
    let (shape, own) = Shape::of(bytes)?;
    let media_type = match (stated, own) {
        (Some(stated), Some(own)) if stated != own => {
            return Err(Error::new(ErrorKind::Invalid)
                .detail(format!("the document states the type {own}, the store states {stated}")));
        }
        (Some(media_type), _) | (None, Some(media_type)) => media_type,
        (None, None) if shape.schema_version == Some(1) => MediaType::DOCKER_SCHEMA1_SIGNED,
        (None, None) if shape.manifests => MediaType::OCI_INDEX,
        (None, None) if shape.layers => MediaType::OCI_MANIFEST,
        (None, None) if shape.fs_layers => MediaType::DOCKER_SCHEMA1_SIGNED,
        (None, None) => {
            return Err(Error::new(ErrorKind::Invalid)
                .detail("neither the store nor the document states the media type"));
        }
    };
    Ok((media_type, shape))
}

/// The fields that distinguish the kinds of documents.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) schema_version: Option<u64>,
    pub(super) manifests: bool,
    pub(super) layers: bool,
    fs_layers: bool,
    pub(super) config: bool,
}

impl Shape {
    /// Reads the top level of a document. Also returns the media type that the document states.
    ///
    /// Refuses a document that is both an image and an index, because readers could interpret it
    /// differently.
    ///
    /// Source: image-spec v1.1.1, manifest and image index; advisory GHSA-77vh-xpmg-72qh.
    fn of(bytes: &[u8]) -> Result<(Self, Option<MediaType>)> {
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
                "larger than the limit of {MANIFEST_LIMIT} bytes: the manifest has {}",
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
            manifests: top.manifests.0,
            layers: top.layers.0,
            fs_layers: top.fs_layers.0,
            config: top.config.0,
        };
        if shape.manifests && (shape.layers || shape.config) {
            return Err(Error::new(ErrorKind::Invalid)
                .detail("the document has both \"manifests\" and \"layers\" or \"config\""));
        }
        Ok((shape, top.media_type))
    }
}

/// Records that a field exists, even if its value is `null`.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}
