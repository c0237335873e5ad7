use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;
use crate::platform::{AvailablePlatforms, Fit, Platform};

/// A list of manifests: usually one image for several platforms.
///
/// Source: image-spec v1.1.1, "Image Index"; Docker "Manifest List".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    /// The version of the format, which must be 2.
    pub schema_version: u64,
    /// The media type of the document. Older OCI indexes omit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of the artifact, if the index is not a list of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The listed manifests, which may be other indexes.
    #[serde(deserialize_with = "crate::json::null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest to which this manifest refers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// String pairs about the index.
    #[serde(default, skip_serializing_if = "Annotations::is_empty")]
    pub annotations: Annotations,
    /// Fields unknown to longshore.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Index {
    /// Creates an OCI index of these manifests.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::OCI_INDEX),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: Annotations::default(),
            extra: Map::new(),
        }
    }

    /// Returns the manifest that fits a platform best, by the rules of [`Platform::satisfies`]: the
    /// manifest for exactly this platform, or otherwise for the newest older processor of the same
    /// architecture. If several manifests fit equally well, the first is returned. Attestations and
    /// nested indexes are never returned.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) with the available platforms.
    pub fn for_platform(&self, wanted: &Platform) -> Result<&Descriptor> {
        let best = self.best_for(wanted).map(|(_, descriptor)| descriptor);
        best.ok_or_else(|| missing(wanted, self.platforms()))
    }

    /// Returns the manifest that fits best, with its distance from the wanted platform.
    pub(crate) fn best_for(&self, wanted: &Platform) -> Option<(Fit, &Descriptor)> {
        let images = self.manifests.iter();
        let images = images.filter(|d| !is_attestation(d) && !d.media_type.is_index());
        images.filter_map(|d| Some((d.platform.as_ref()?.fit(wanted)?, d))).min_by_key(|fit| fit.0)
    }

    /// Returns the platforms of the listed images. Omits platforms whose operating system is empty
    /// or `unknown`. The value `unknown` marks attestations.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.manifests
            .iter()
            .filter_map(|d| d.platform.as_ref())
            .filter(|p| !matches!(&*p.os, "" | "unknown"))
    }
}

/// Returns true if BuildKit marked the entry as the attestation of an image.
///
/// Source: BuildKit, docs/attestations/attestation-storage.md.
pub(crate) fn is_attestation(entry: &Descriptor) -> bool {
    entry.annotations.get("vnd.docker.reference.type").is_some()
}

/// Returns the digest of the image that an entry attests, if BuildKit marked the entry as an
/// attestation.
///
/// Source: BuildKit, docs/attestations/attestation-storage.md.
pub(crate) fn attested(entry: &Descriptor) -> Option<Digest> {
    let image = entry.annotations.get("vnd.docker.reference.digest")?;
    is_attestation(entry).then(|| image.parse().ok()).flatten()
}

/// Builds the error for an index that has no image for the wanted platform.
pub(crate) fn missing<'a>(
    wanted: &Platform,
    available: impl IntoIterator<Item = &'a Platform>,
) -> Error {
    let available: Vec<Platform> = available.into_iter().cloned().collect();
    let names: Vec<String> = available.iter().map(Platform::to_string).collect();
    let detail = match &names[..] {
        [] => "the index has no platforms".to_owned(),
        names => format!("the index has {}", names.join(", ")),
    };
    let error = Error::new(ErrorKind::NotFound).at(format!("platform {wanted}")).detail(detail);
    error.with_data(AvailablePlatforms(available))
}
