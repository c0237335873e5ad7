use super::{ArtifactManifest, ImageManifest, Index, Schema1};
use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::media_type::MediaType;

/// A parsed view of a manifest, for reading only.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "it is stored with the larger manifest bytes")]
pub enum Manifest {
    /// An OCI image manifest or Docker schema 2 manifest.
    Image(ImageManifest),
    /// An OCI image index or Docker manifest list.
    Index(Index),
    /// A Docker schema 1 manifest, signed or not.
    Schema1(Schema1),
    /// An OCI artifact manifest, withdrawn before image-spec 1.1.
    Artifact(ArtifactManifest),
    /// A document of an unknown kind, which is copied unchanged.
    Opaque,
}

impl Manifest {
    /// Returns the subject of the manifest, if it has one.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Image(manifest) => manifest.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
            Self::Artifact(artifact) => artifact.subject.as_ref(),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }

    /// Returns the artifact type: the field `artifactType`, or else the media type of the config.
    ///
    /// Source: distribution-spec v1.1.1, "Listing Referrers".
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match self {
            Self::Image(manifest) => {
                Some(manifest.artifact_type.as_ref().unwrap_or(&manifest.config.media_type))
            }
            Self::Index(index) => index.artifact_type.as_ref(),
            Self::Artifact(artifact) => artifact.artifact_type.as_ref(),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }

    /// Returns the annotations of the manifest.
    #[must_use]
    pub fn annotations(&self) -> Option<&Annotations> {
        match self {
            Self::Image(manifest) => Some(&manifest.annotations),
            Self::Index(index) => Some(&index.annotations),
            Self::Artifact(artifact) => Some(&artifact.annotations),
            Self::Schema1(_) | Self::Opaque => None,
        }
    }
}
