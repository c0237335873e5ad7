use std::fmt;
use std::str::FromStr;

use super::{Reference, RegistryName, Repository, Tag, TagOrDigest};
use crate::digest::Digest;
use crate::error::{ParseError, Result};

/// A reference to a manifest: a repository with a tag, a digest, or both.
///
/// [`Reference::or_latest`] and [`Defaults::tagged`](super::Defaults::tagged) convert a
/// [`Reference`], and add a tag if necessary. `try_from` refuses a reference that has no tag and no
/// digest. `FromStr` parses `registry/name:tag` and `registry/name[:tag]@digest`.
///
/// ```
/// use longshore_core::{ManifestReference, Reference};
///
/// let nginx = Reference::familiar("nginx")?.or_latest();
/// assert_eq!(nginx.selector().to_string(), "latest");
/// assert!("docker.io/library/nginx".parse::<ManifestReference>().is_err());
/// # Ok::<(), longshore_core::ParseError>(())
/// ```
///
/// Source: distribution-spec v1.1.1, "Pulling manifests" (end-3): `<name>` and `<reference>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ManifestReference {
    reference: Reference,
    selector: TagOrDigest,
}

impl ManifestReference {
    /// Creates a reference to the manifest that `selector` names in a repository.
    #[must_use]
    pub fn new(repository: Repository, selector: TagOrDigest) -> Self {
        let reference = Reference::new(repository);
        let reference = match selector.clone() {
            TagOrDigest::Tag(tag) => reference.with_tag(tag),
            TagOrDigest::Digest(digest) => reference.with_digest(digest),
        };
        Self { reference, selector }
    }

    /// Converts a reference. Adds `tag` if the reference has no tag and no digest.
    pub(super) fn or_tag(reference: Reference, tag: Tag) -> Self {
        match reference.selector() {
            Some(selector) => Self { reference, selector },
            None => Self::new(reference.repository, tag.into()),
        }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        self.reference.repository()
    }

    /// Returns the registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        self.reference.registry()
    }

    /// Returns the selector to request: the digest if there is one, or else the tag.
    #[must_use]
    pub fn selector(&self) -> &TagOrDigest {
        &self.selector
    }

    /// Returns the tag, if there is one. If there is also a digest, the tag is not used to select
    /// the manifest.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.reference.tag()
    }

    /// Returns the digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.reference.digest()
    }
}

impl From<ManifestReference> for Reference {
    fn from(reference: ManifestReference) -> Self {
        reference.reference
    }
}

impl TryFrom<Reference> for ManifestReference {
    type Error = ParseError;

    fn try_from(reference: Reference) -> Result<Self, ParseError> {
        match reference.selector() {
            Some(selector) => Ok(Self { reference, selector }),
            None => {
                let text = reference.to_string();
                Err(ParseError::new("reference", &text, "expected a tag or a digest"))
            }
        }
    }
}

impl PartialEq<Reference> for ManifestReference {
    fn eq(&self, other: &Reference) -> bool {
        self.reference == *other
    }
}

impl FromStr for ManifestReference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        text.parse::<Reference>()?.try_into()
    }
}

impl fmt::Display for ManifestReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reference.fmt(f)
    }
}
