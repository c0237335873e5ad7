use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::error::{Error, ErrorKind, Result};
use crate::json::null_is_default;
use crate::manifest::history::History;
use crate::manifest::rootfs::RootFs;
use crate::platform::Platform;

/// An image's configuration: how to run it, and how it came to be.
///
/// Source: image-spec v1.1.1, "Image Configuration"; Docker image specification v1.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The machine it runs on: `architecture`, `os`, `variant`, `os.version`, `os.features`, and
    /// every field unknown to longshore in its `extra`.
    #[serde(flatten)]
    pub platform: Platform,
    /// How to run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// The layers, unpacked.
    #[serde(default)]
    pub rootfs: RootFs,
    /// What made each layer, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

/// 8 MiB: the most that is read of a configuration. Real ones have some kilobytes.
pub const CONFIG_LIMIT: usize = 8 << 20;

impl ImageConfig {
    /// Reads a configuration's bytes.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) with the field, the line and what was expected.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::new(ErrorKind::Invalid).detail(format!("not an image's configuration: {e}"))
        })
    }

    /// The steps that made layers, oldest first.
    pub fn non_empty_history(&self) -> impl Iterator<Item = &History> {
        self.history.iter().filter(|step| !step.empty_layer)
    }
}

/// How a container of the image runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// The user, by name or number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Environment variables, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// The command's fixed part.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// The command's part that users replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// The folder to start in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// String pairs about the image.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub labels: Annotations,
    /// Ports it listens on, `80/tcp`.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub exposed_ports: BTreeMap<String, Value>,
    /// Folders it keeps data in.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub volumes: BTreeMap<String, Value>,
    /// Fields unknown to longshore: Docker's `Healthcheck`, `OnBuild`, `Shell`, …
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}
