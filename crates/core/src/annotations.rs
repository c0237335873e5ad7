//! Annotations: string pairs on descriptors and manifests, and the well-known keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// Annotations: arbitrary string pairs, ordered by key so that documents are reproducible.
///
/// Source: image-spec v1.1.1, "Annotations".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Annotations(pub BTreeMap<String, String>);

impl Annotations {
    /// The name of a manifest in the index of a layout, usually a tag.
    pub const REF_NAME: &'static str = "org.opencontainers.image.ref.name";
    /// The file name, on a layer that is a plain file.
    pub const TITLE: &'static str = "org.opencontainers.image.title";
    /// The value `true` marks a layer as the archive of a folder, which is unpacked under its
    /// title.
    ///
    /// Source: oras-go, `content/file`.
    pub const UNPACK: &'static str = "io.deis.oras.content.unpack";
    /// The digest of a folder's archive before compression.
    ///
    /// Source: same as [`UNPACK`](Self::UNPACK).
    pub const UNPACKED_DIGEST: &'static str = "io.deis.oras.content.digest";
    /// The creation time, in the format of RFC 3339.
    pub const CREATED: &'static str = "org.opencontainers.image.created";

    /// Returns the value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Sets a key.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.insert(key.into(), value.into());
    }

    /// Returns true if the annotations mark a blob as the archive of a folder.
    #[must_use]
    pub fn are_of_a_folder(&self) -> bool {
        self.get(Self::UNPACK) == Some("true")
    }

    /// Returns true if there are no annotations.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Annotations {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::null_is_default(deserializer).map(Self)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Annotations {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}
