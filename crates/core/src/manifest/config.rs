use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::json::null_is_default;
use crate::platform::Platform;

/// The configuration of an image: the settings for its containers, and its history.
///
/// Source: image-spec v1.1.1, "Image Configuration"; Docker image specification v1.2.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageConfig {
    /// The creation time of the image, in the format of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The author of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The platform of the image: `architecture`, `os`, `variant`, `os.version` and `os.features`.
    /// The platform's field `extra` contains the fields of the configuration that are unknown to
    /// longshore.
    #[serde(flatten)]
    pub platform: Platform,
    /// The settings for containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ContainerConfig>,
    /// The uncompressed layers.
    #[serde(default)]
    pub rootfs: RootFs,
    /// The steps that created the layers, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub history: Vec<History>,
}

/// 8 MiB: the maximum size of a configuration. Real configurations have a few kilobytes.
pub const CONFIG_LIMIT: usize = 8 << 20;

impl ImageConfig {
    /// Parses the bytes of a configuration.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) with the field, the line and the expected content.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| {
            Error::new(ErrorKind::Invalid).detail(format!("not an image configuration: {e}"))
        })
    }

    /// Returns the steps that created layers, oldest first.
    pub fn non_empty_history(&self) -> impl Iterator<Item = &History> {
        self.history.iter().filter(|step| !step.empty_layer)
    }
}

/// The settings for a container of the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct ContainerConfig {
    /// The user, by name or number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Environment variables, `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// The fixed part of the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// The default arguments, which users can replace.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// String pairs about the image.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub labels: Annotations,
    /// The ports on which the container listens, such as `80/tcp`.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub exposed_ports: BTreeMap<String, Value>,
    /// The folders in which the container stores data.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_default"
    )]
    pub volumes: BTreeMap<String, Value>,
    /// Fields unknown to longshore, such as `Healthcheck`, `OnBuild` and `Shell` of Docker.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The digests of the uncompressed layers of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RootFs {
    /// The type of the file system, which must be `layers`.
    #[serde(default, rename = "type")]
    pub kind: String,
    /// The digest of each layer's uncompressed tar, lowest first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

impl RootFs {
    /// Returns the chain IDs, lowest layer first. A chain ID identifies a layer together with all
    /// layers below it.
    ///
    /// The chain ID of the lowest layer is its diff ID. The chain ID of every other layer is the
    /// digest of a text: the chain ID below it, a space, and the layer's diff ID. The last chain ID
    /// identifies the whole file system. Digests are computed with the algorithm of the layer's
    /// diff ID, or with sha256 if this algorithm is unknown.
    ///
    /// Source: image-spec v1.1.1, "Layer ChainID".
    #[must_use]
    pub fn chain_ids(&self) -> Vec<Digest> {
        let mut chain: Vec<Digest> = Vec::with_capacity(self.diff_ids.len());
        for diff_id in &self.diff_ids {
            let id = match chain.last() {
                None => diff_id.clone(),
                Some(below) => {
                    let algorithm = diff_id.algorithm().unwrap_or_default();
                    algorithm.digest(format!("{below} {diff_id}").as_bytes())
                }
            };
            chain.push(id);
        }
        chain
    }
}

/// One step of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The time of the step, in the format of RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The command or instruction that created the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// The author of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A comment on the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// True if the step created no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl History {
    /// Returns the instruction of the step, approximately as its author wrote it: without the shell
    /// and the marks that builders add. Returns `None` if the image does not contain the
    /// instruction.
    ///
    /// ```
    /// # use longshore_core::History;
    /// let mut step = History::default();
    /// step.created_by = Some("/bin/sh -c #(nop)  CMD [\"bash\"]".to_owned());
    /// assert_eq!(step.instruction().as_deref(), Some("CMD [\"bash\"]"));
    /// ```
    #[must_use]
    pub fn instruction(&self) -> Option<Cow<'_, str>> {
        self.created_by.as_deref().map(clean)
    }
}

/// Removes the text that the classic builder and BuildKit add to an instruction.
fn clean(created_by: &str) -> Cow<'_, str> {
    let text = created_by.trim();
    let text = text.strip_prefix(NO_OPERATION).unwrap_or(text);
    let text = text.strip_suffix(BUILDKIT).unwrap_or(text).trim();
    let command = text.strip_prefix("RUN ").unwrap_or(text).strip_prefix(SHELL);
    match command {
        Some(command) => Cow::Owned(format!("RUN {}", command.trim())),
        None => Cow::Borrowed(text),
    }
}

/// The default shell of the classic builder and of BuildKit.
const SHELL: &str = "/bin/sh -c";
/// The prefix that the classic builder adds to instructions that run no command.
const NO_OPERATION: &str = "/bin/sh -c #(nop)";
/// The suffix that BuildKit adds to instructions.
const BUILDKIT: &str = "# buildkit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_returned_without_the_additions_of_builders() {
        for (written, shown) in [
            ("/bin/sh -c #(nop) ADD file:abc in / ", "ADD file:abc in /"),
            ("/bin/sh -c #(nop)  CMD [\"bash\"]", "CMD [\"bash\"]"),
            ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
            ("/bin/sh -c apt-get update", "RUN apt-get update"),
            ("COPY a b # buildkit", "COPY a b"),
            ("RUN |1 A=b /bin/sh -c echo hi # buildkit", "RUN |1 A=b /bin/sh -c echo hi"),
            ("", ""),
        ] {
            let step = History { created_by: Some(written.to_owned()), ..History::default() };
            assert_eq!(step.instruction().unwrap(), shown, "{written}");
        }
        assert_eq!(History::default().instruction(), None);
    }

    /// The values were computed with `printf '%s %s' … | sha256sum` from the digests of "a", "b"
    /// and "c".
    #[test]
    fn chain_ids_match_values_computed_with_sha256sum() {
        let diff_ids: Vec<Digest> = [b"a", b"b", b"c"].iter().map(|c| Digest::sha256(*c)).collect();
        let rootfs = RootFs { kind: "layers".to_owned(), diff_ids };
        let chain: Vec<String> = rootfs.chain_ids().iter().map(ToString::to_string).collect();
        assert_eq!(
            chain,
            [
                "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
                "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676",
                "sha256:2fce7f8ce91bcf0a1428b36e1024639fdbd9469eea762dba98aa749631885106",
            ]
        );
        assert!(RootFs::default().chain_ids().is_empty());
    }
}
