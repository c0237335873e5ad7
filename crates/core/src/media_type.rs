//! Media types: an open set, with constants for the common types.

use std::borrow::Cow;

use crate::error::{ParseError, Result, parsed_text};

/// A media type, such as `application/vnd.oci.image.manifest.v1+json`.
///
/// Any printable ASCII text without spaces is accepted and kept unchanged, because the set of types
/// is open. Parameters (`; charset=utf-8`) are not part of a media type. [`MediaType::from_header`]
/// removes them.
///
/// Source: RFC 6838, section 4.2; image-spec v1.1.1, "Media Types".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MediaType(Cow<'static, str>);

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: Self = Self::known("application/vnd.oci.image.manifest.v1+json");
    /// OCI image index.
    pub const OCI_INDEX: Self = Self::known("application/vnd.oci.image.index.v1+json");
    /// OCI image configuration.
    pub const OCI_CONFIG: Self = Self::known("application/vnd.oci.image.config.v1+json");
    /// OCI layer, plain tar.
    pub const OCI_LAYER: Self = Self::known("application/vnd.oci.image.layer.v1.tar");
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: Self = Self::known("application/vnd.oci.image.layer.v1.tar+gzip");
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: Self = Self::known("application/vnd.oci.image.layer.v1.tar+zstd");
    /// OCI layer that may not be redistributed, plain tar. Deprecated, but still in use.
    pub const OCI_NONDISTRIBUTABLE_LAYER: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar");
    /// OCI layer that may not be redistributed, gzip. Deprecated, but still in use.
    pub const OCI_NONDISTRIBUTABLE_LAYER_GZIP: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    /// OCI layer that may not be redistributed, zstd. Deprecated, but still in use.
    pub const OCI_NONDISTRIBUTABLE_LAYER_ZSTD: Self =
        Self::known("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd");
    /// A descriptor as a separate document.
    pub const OCI_DESCRIPTOR: Self = Self::known("application/vnd.oci.descriptor.v1+json");
    /// The file that marks an OCI layout.
    pub const OCI_LAYOUT: Self = Self::known("application/vnd.oci.layout.header.v1+json");
    /// The empty JSON object, for artifacts without a config.
    pub const OCI_EMPTY: Self = Self::known("application/vnd.oci.empty.v1+json");
    /// OCI artifact manifest, withdrawn before image-spec 1.1, but still in use.
    pub const OCI_ARTIFACT: Self = Self::known("application/vnd.oci.artifact.manifest.v1+json");
    /// Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: Self =
        Self::known("application/vnd.docker.distribution.manifest.v2+json");
    /// Docker manifest list.
    pub const DOCKER_LIST: Self =
        Self::known("application/vnd.docker.distribution.manifest.list.v2+json");
    /// Docker image configuration.
    pub const DOCKER_CONFIG: Self = Self::known("application/vnd.docker.container.image.v1+json");
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.gzip");
    /// Docker layer, zstd. Docker itself does not write this type, but BuildKit does.
    pub const DOCKER_LAYER_ZSTD: Self =
        Self::known("application/vnd.docker.image.rootfs.diff.tar.zstd");
    /// Docker layer, plain tar.
    pub const DOCKER_LAYER: Self = Self::known("application/vnd.docker.image.rootfs.diff.tar");
    /// Docker layer that may not be redistributed, gzip.
    pub const DOCKER_FOREIGN_LAYER_GZIP: Self =
        Self::known("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    /// Docker plugin configuration.
    pub const DOCKER_PLUGIN: Self = Self::known("application/vnd.docker.plugin.v1+json");
    /// Docker schema 1 manifest, unsigned.
    pub const DOCKER_SCHEMA1: Self =
        Self::known("application/vnd.docker.distribution.manifest.v1+json");
    /// Docker schema 1 manifest, signed.
    pub const DOCKER_SCHEMA1_SIGNED: Self =
        Self::known("application/vnd.docker.distribution.manifest.v1+prettyjws");
    /// JSON of unspecified kind.
    pub const JSON: Self = Self::known("application/json");
    /// Bytes of unspecified kind.
    pub const OCTET_STREAM: Self = Self::known("application/octet-stream");

    const fn known(name: &'static str) -> Self {
        Self(Cow::Borrowed(name))
    }

    /// Parses a media type.
    ///
    /// # Errors
    /// [`ParseError`] if the text is empty, longer than 255 bytes, or not printable ASCII without
    /// spaces.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("media type", text, reason);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("longer than 255 bytes"));
        }
        match text.find(|c: char| !c.is_ascii_graphic()) {
            Some(at) => Err(bad("expected printable ASCII without spaces").at(at)),
            None => Ok(Self(Cow::Owned(text.to_owned()))),
        }
    }

    /// Parses the value of a `Content-Type` header, in lower case and without its parameters.
    ///
    /// # Errors
    /// Same as [`MediaType::parse`].
    pub fn from_header(value: &str) -> Result<Self, ParseError> {
        let essence = value.split_once(';').map_or(value, |(essence, _)| essence);
        Self::parse(&essence.trim().to_ascii_lowercase())
    }

    /// Returns the media type as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true for the generic types of bytes, JSON and text.
    #[must_use]
    pub fn is_generic(&self) -> bool {
        matches!(self.as_str(), "application/octet-stream" | "application/json" | "text/plain")
    }

    /// Returns true for a Docker schema 1 manifest, signed or not.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        *self == Self::DOCKER_SCHEMA1 || *self == Self::DOCKER_SCHEMA1_SIGNED
    }

    /// Returns true if content of this type may not be redistributed, so that registries need not
    /// hold it.
    ///
    /// Source: image-spec v1.1.1, layer, "Non-Distributable Layers"; Docker's foreign layers.
    #[must_use]
    pub fn is_nondistributable(&self) -> bool {
        self.0.contains(".nondistributable.") || self.0.contains(".foreign.")
    }

    /// Returns true for a layer that is an uncompressed tar.
    #[must_use]
    pub fn is_plain_layer(&self) -> bool {
        *self == Self::OCI_LAYER || *self == Self::DOCKER_LAYER
    }

    /// Returns true if the type contains `.layer.` or `.image.rootfs.`, as the layer types of OCI,
    /// Docker and many artifacts do.
    pub(crate) fn is_layer(&self) -> bool {
        self.0.contains(".layer.") || self.0.contains(".image.rootfs.")
    }

    /// Returns true for a manifest or index of a known kind.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        let is_image = *self == Self::OCI_MANIFEST || *self == Self::DOCKER_MANIFEST;
        is_image || self.is_index() || self.is_schema1() || *self == Self::OCI_ARTIFACT
    }

    /// Returns true for an index or manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }
}

parsed_text!(MediaType, serde);

/// 255 bytes: RFC 6838 allows 127 characters on either side of the slash.
const MAX_LENGTH: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_header_drops_parameters_and_ignores_case() {
        let read = MediaType::from_header("Application/vnd.oci.image.INDEX.v1+json; charset=utf-8");
        assert_eq!(read.unwrap(), MediaType::OCI_INDEX);
    }

    #[test]
    fn common_media_types_are_parsed_to_their_constants() {
        for (prefix, names) in [
            (
                "application/vnd.docker.",
                &[
                    ("container.image.v1+json", MediaType::DOCKER_CONFIG),
                    ("distribution.manifest.v1+json", MediaType::DOCKER_SCHEMA1),
                    ("distribution.manifest.v1+prettyjws", MediaType::DOCKER_SCHEMA1_SIGNED),
                    ("distribution.manifest.v2+json", MediaType::DOCKER_MANIFEST),
                    ("distribution.manifest.list.v2+json", MediaType::DOCKER_LIST),
                    ("image.rootfs.diff.tar.gzip", MediaType::DOCKER_LAYER_GZIP),
                    ("image.rootfs.foreign.diff.tar.gzip", MediaType::DOCKER_FOREIGN_LAYER_GZIP),
                    ("plugin.v1+json", MediaType::DOCKER_PLUGIN),
                ][..],
            ),
            (
                "application/vnd.oci.",
                &[
                    ("descriptor.v1+json", MediaType::OCI_DESCRIPTOR),
                    ("image.config.v1+json", MediaType::OCI_CONFIG),
                    ("image.index.v1+json", MediaType::OCI_INDEX),
                    ("image.manifest.v1+json", MediaType::OCI_MANIFEST),
                    ("image.layer.v1.tar", MediaType::OCI_LAYER),
                    ("image.layer.v1.tar+gzip", MediaType::OCI_LAYER_GZIP),
                    ("image.layer.v1.tar+zstd", MediaType::OCI_LAYER_ZSTD),
                    ("image.layer.nondistributable.v1.tar", MediaType::OCI_NONDISTRIBUTABLE_LAYER),
                    (
                        "image.layer.nondistributable.v1.tar+gzip",
                        MediaType::OCI_NONDISTRIBUTABLE_LAYER_GZIP,
                    ),
                    (
                        "image.layer.nondistributable.v1.tar+zstd",
                        MediaType::OCI_NONDISTRIBUTABLE_LAYER_ZSTD,
                    ),
                    ("layout.header.v1+json", MediaType::OCI_LAYOUT),
                ],
            ),
            (
                "application/",
                &[("json", MediaType::JSON), ("octet-stream", MediaType::OCTET_STREAM)],
            ),
        ] {
            for (name, known) in names {
                assert_eq!(MediaType::parse(&format!("{prefix}{name}")).unwrap(), *known);
                let foreign = name.contains("foreign") || name.contains("nondistributable");
                assert_eq!(known.is_nondistributable(), foreign, "{known}");
            }
        }
        for other in ["*/*", "application/*", "application/yaml"] {
            assert_eq!(MediaType::parse(other).unwrap().as_str(), other);
        }
    }

    #[test]
    fn unknown_types_are_kept_and_invalid_types_are_refused() {
        assert_eq!(MediaType::parse("application/x.y").unwrap().as_str(), "application/x.y");
        for bad in ["", "a b", "a\x1b", "ä/b"] {
            assert!(MediaType::parse(bad).is_err(), "{bad:?}");
        }
        assert!(MediaType::parse(&"x".repeat(256)).is_err());
    }
}
