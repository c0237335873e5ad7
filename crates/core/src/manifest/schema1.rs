use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::digest::Digest;

/// A Docker schema 1 manifest: layers newest first, each with a v1 image's JSON as a string.
///
/// Source: Docker image manifest version 2, schema 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1 {
    /// Always 1.
    pub schema_version: u64,
    /// The repository's name.
    #[serde(default)]
    pub name: String,
    /// The tag it was pushed to.
    #[serde(default)]
    pub tag: String,
    /// The processor.
    #[serde(default)]
    pub architecture: String,
    /// The layers, newest first; the same one may come twice.
    #[serde(deserialize_with = "crate::json::null_is_default")]
    pub fs_layers: Vec<Schema1Layer>,
    /// A v1 image for each layer, newest first.
    #[serde(default, deserialize_with = "crate::json::null_is_default")]
    pub history: Vec<Schema1History>,
    /// The JSON web signatures, where it is signed.
    #[serde(default, deserialize_with = "crate::json::null_is_default")]
    pub signatures: Vec<Value>,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A layer of a schema 1 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1Layer {
    /// The layer's digest; its size is not stated.
    pub blob_sum: Digest,
}

/// A v1 image of a schema 1 manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schema1History {
    /// The v1 image's JSON, as a string.
    pub v1_compatibility: String,
}
