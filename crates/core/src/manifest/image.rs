use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::media_type::MediaType;

/// A config and its layers: an image, or an artifact in the format of an image.
///
/// Source: image-spec v1.1.1, "Image Manifest"; Docker image manifest version 2, schema 2.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ImageManifest {
    /// The version of the format, which must be 2.
    pub schema_version: u64,
    /// The media type of the document. Older OCI images omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact, if the manifest is not an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The configuration: for images, an [`ImageConfig`](super::ImageConfig).
    pub config: Descriptor,
    /// The layers, lowest first.
    #[serde(deserialize_with = "crate::json::null_is_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest to which this manifest refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// String pairs about the image.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ImageManifest {
    /// Creates an OCI image manifest from a configuration and its layers, lowest first.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_MANIFEST),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: Annotations::default(),
            extra: Map::new(),
        }
    }

    /// Returns true for a container image, whose config has the media type of an image config.
    #[must_use]
    pub fn is_container_image(&self) -> bool {
        let config = &self.config.media_type;
        *config == MediaType::OCI_CONFIG || *config == MediaType::DOCKER_CONFIG
    }
}
