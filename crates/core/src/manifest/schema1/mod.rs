//! Docker schema 1: manifests that contain their own signatures.
//!
//! Owns the parsed view and the signed content of a manifest (`payload`). Registries identify such
//! a manifest by the digest of its payload, which [`RawManifest`](super::RawManifest) computes. The
//! crate `longshore-legacy` checks and creates the signatures.

mod ancestor;
mod payload;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::ancestor::Ancestor;
pub(super) use self::payload::payload;
use super::config::ImageConfig;
use crate::digest::Digest;

/// A Docker schema 1 manifest: layers, newest first, each with the JSON of a v1 image as a string.
///
/// Source: Docker image manifest version 2, schema 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1 {
    /// The version of the format, which must be 1.
    pub schema_version: u64,
    /// The name of the repository.
    #[serde(default)]
    pub name: String,
    /// The tag to which the manifest was pushed.
    #[serde(default)]
    pub tag: String,
    /// The processor architecture.
    #[serde(default)]
    pub architecture: String,
    /// The layers, newest first. The same layer may occur twice.
    #[serde(deserialize_with = "crate::json::null_is_default")]
    pub fs_layers: Vec<Schema1Layer>,
    /// A v1 image for each layer, newest first.
    #[serde(default, deserialize_with = "crate::json::null_is_default")]
    pub history: Vec<Schema1History>,
    /// The JSON web signatures of a signed manifest. The signatures are parsed but not checked.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::json::null_is_default"
    )]
    pub signatures: Vec<Value>,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Schema1 {
    /// Returns the configuration of the newest v1 image, or `None` if it cannot be parsed.
    ///
    /// The root file system of the configuration is empty, because schema 1 has no information
    /// about uncompressed layers. An image that states no operating system is for Linux, which was
    /// the only system at that time.
    #[must_use]
    pub fn config(&self) -> Option<ImageConfig> {
        let newest = &self.history.first()?.v1_compatibility;
        let mut config: ImageConfig = serde_json::from_str(newest).ok()?;
        if config.platform.architecture.is_empty() {
            config.platform.architecture.clone_from(&self.architecture);
        }
        if config.platform.os.is_empty() {
            config.platform.os.push_str("linux");
        }
        Some(config)
    }
}

/// A layer of a schema 1 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1Layer {
    /// The digest of the layer. Its size is not stated.
    pub blob_sum: Digest,
}

/// A v1 image of a schema 1 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1History {
    /// The JSON of the v1 image, as a string.
    pub v1_compatibility: String,
}
