use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::media_type::MediaType;

/// An artifact manifest: blobs, and usually a subject. The format was withdrawn before image-spec
/// 1.1, but registries still hold such manifests.
///
/// Source: image-spec v1.1.0-rc2, "Artifact Manifest".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactManifest {
    /// The media type of the document.
    pub media_type: MediaType,
    /// The type of the artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The content of the artifact.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::json::null_is_default"
    )]
    pub blobs: Vec<Descriptor>,
    /// The manifest to which this manifest refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// String pairs about the artifact.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
