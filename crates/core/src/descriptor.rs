//! Descriptors: references from one piece of content to another.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::digest::Digest;
use crate::media_type::MediaType;
use crate::platform::Platform;

/// A reference to content: its media type, digest and size, and optional further fields.
///
/// Source: image-spec v1.1.1, "Content Descriptors".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: MediaType,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    #[serde(deserialize_with = "crate::json::size")]
    pub size: u64,
    /// Other URLs from which the content can be downloaded.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::json::null_is_default"
    )]
    pub urls: Vec<String>,
    /// String pairs about the content.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// The content itself, encoded in base64. Present only for small content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The artifact type, if the content is the manifest of an artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The platform of an image, if the content is the manifest of an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Descriptor {
    /// Creates a descriptor with only the three required fields.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: Annotations::default(),
            data: None,
            artifact_type: None,
            platform: None,
            extra: Map::new(),
        }
    }

    /// Creates a descriptor of bytes in memory, with their sha256 digest.
    #[must_use]
    pub fn from_bytes(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::sha256(bytes), bytes.len() as u64)
    }

    /// Returns true if the descriptor has the artifact type `wanted`, or if `wanted` is `None`.
    ///
    /// Source: distribution-spec v1.1.1, "Listing Referrers".
    #[must_use]
    pub fn is_of_type(&self, wanted: Option<&MediaType>) -> bool {
        wanted.is_none() || self.artifact_type.as_ref() == wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(size: &str) -> Result<Descriptor, serde_json::Error> {
        serde_json::from_str(&format!(
            r#"{{"mediaType":"a/b","digest":"sha256:{}","size":{size},"annotations":null}}"#,
            "0".repeat(64)
        ))
    }

    #[test]
    fn a_size_must_be_a_whole_number_that_fits_in_int64() {
        assert_eq!(parse("9223372036854775807").unwrap().size, i64::MAX as u64);
        for bad in ["-1", "1.5", "1e30", "9223372036854775808", "\"1\"", "null"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn invalid_digests_and_duplicate_keys_are_refused() {
        let bad = r#"{"mediaType":"a/b","digest":"sha256:../x","size":1}"#;
        assert!(serde_json::from_str::<Descriptor>(bad).is_err());
        let twice = format!(
            r#"{{"mediaType":"a/b","digest":"sha256:{}","size":1,"size":2}}"#,
            "0".repeat(64)
        );
        assert!(serde_json::from_str::<Descriptor>(&twice).is_err());
    }
}
