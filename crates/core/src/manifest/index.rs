use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::annotations::Annotations;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;
use crate::platform::Platform;

/// A list of manifests: usually one image for several platforms.
///
/// Source: image-spec v1.1.1, "Image Index"; Docker "Manifest List".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u64,
    /// What the document is; older OCI indexes leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// What kind of artifact it is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The manifests; an index may hold another.
    #[serde(deserialize_with = "crate::json::null_is_default")]
    pub manifests: Vec<Descriptor>,
    /// The manifest this one refers to.
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
    /// An OCI index of these manifests.
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

    /// The first manifest for a platform.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) with the platforms there are.
    pub fn for_platform(&self, wanted: &Platform) -> Result<&Descriptor> {
        let stated = |d: &&Descriptor| d.platform.as_ref().is_some_and(|p| p.satisfies(wanted));
        self.manifests.iter().find(stated).ok_or_else(|| missing(wanted, self.platforms()))
    }

    /// The platforms it has images for, without attestations' `unknown/unknown` and empty ones.
    pub fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.manifests
            .iter()
            .filter_map(|d| d.platform.as_ref())
            .filter(|p| !matches!(&*p.os, "" | "unknown"))
    }
}

/// The error where an index, with all that are in it, has these platforms and not the one wanted.
pub(crate) fn missing<T: ToString>(wanted: &Platform, there: impl IntoIterator<Item = T>) -> Error {
    let there: Vec<String> = there.into_iter().map(|platform| platform.to_string()).collect();
    Error::new(ErrorKind::NotFound).at(format!("platform {wanted}")).detail(match &there[..] {
        [] => "the index has no platforms".to_owned(),
        there => format!("the index has {}", there.join(", ")),
    })
}
