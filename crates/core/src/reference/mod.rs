//! Names of registries, repositories, tags and manifests.
//!
//! Each part is parsed strictly, so a value of these types is always valid. Only [`Defaults`]
//! expands short names, such as `nginx`.

mod defaults;
mod manifest_reference;
mod registry_name;
mod repository_name;
mod tag;

use std::fmt;
use std::str::FromStr;

pub use defaults::Defaults;
pub use manifest_reference::ManifestReference;
pub use registry_name::RegistryName;
pub use repository_name::RepositoryName;
pub use tag::Tag;

use crate::digest::Digest;
use crate::error::{ParseError, Result};

/// A repository at a registry: `registry/name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: RegistryName,
    name: RepositoryName,
}

impl Repository {
    /// Creates a repository from its registry and name.
    #[must_use]
    pub fn new(registry: RegistryName, name: RepositoryName) -> Self {
        Self { registry, name }
    }

    /// Returns the registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// Returns the name within the registry.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

impl FromStr for Repository {
    type Err = ParseError;

    /// Parses `registry/name`. The registry is required.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let reference: Reference = text.parse()?;
        reference.only_repository(text)
    }
}

/// A repository with a tag, a digest, both or neither: `registry/name[:tag][@digest]`.
///
/// References are ordered and hashed by their parts: registry, name, tag, digest. `FromStr` always
/// reads the first part as the registry. [`Defaults`] parses short names. Parsing never adds a tag.
/// [`Reference::or_latest`] and [`Defaults::tagged`] add a default tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// Creates a reference to a repository, without a tag or a digest.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository, tag: None, digest: None }
    }

    /// Sets the tag.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Sets the digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Removes the tag.
    #[must_use]
    pub fn without_tag(mut self) -> Self {
        self.tag = None;
        self
    }

    /// Removes the digest.
    #[must_use]
    pub fn without_digest(mut self) -> Self {
        self.digest = None;
        self
    }

    /// Sets the repository.
    #[must_use]
    pub fn with_repository(mut self, repository: Repository) -> Self {
        self.repository = repository;
        self
    }

    /// Converts this reference to a [`ManifestReference`]. Adds the tag `latest` if the reference
    /// has no tag and no digest.
    #[must_use]
    pub fn or_latest(self) -> ManifestReference {
        ManifestReference::or_tag(self, Tag::latest())
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Returns the registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        self.repository.registry()
    }

    /// Returns the repository's name within its registry.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        self.repository.name()
    }

    /// Returns the tag, if there is one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// Returns the digest, if there is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the selector to request: the digest if there is one, or else the tag.
    #[must_use]
    pub fn selector(&self) -> Option<TagOrDigest> {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Some(TagOrDigest::Digest(digest.clone())),
            (None, Some(tag)) => Some(TagOrDigest::Tag(tag.clone())),
            (None, None) => None,
        }
    }

    /// Parses a reference that includes the registry.
    fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("reference", text, reason);
        check_text(text)?;
        let (rest, suffix) = split_suffix(text);
        let Some((registry, name)) = rest.split_once('/') else {
            return Err(bad("no registry; expected registry/name[:tag][@digest]"));
        };
        let within = |e: ParseError| within(text, &e);
        let registry = RegistryName::parse(registry).map_err(within)?;
        let name = RepositoryName::parse(name).map_err(within)?;
        suffix.onto(Self::new(Repository::new(registry, name)), text)
    }

    fn only_repository(self, text: &str) -> Result<Repository, ParseError> {
        match self.selector() {
            None => Ok(self.repository),
            Some(_) => {
                Err(ParseError::new("repository", text, "expected no tag and no digest here"))
            }
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The selector of a manifest in a repository: a tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagOrDigest {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

impl TagOrDigest {
    /// Parses a digest if the text has a colon, which no tag can have. Otherwise parses a tag.
    ///
    /// # Errors
    /// Same as [`Digest::parse`] or [`Tag::parse`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }

    /// Returns the tag, if the selector is a tag.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::Digest(_) => None,
        }
    }

    /// Returns the digest, if the selector is a digest.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl fmt::Display for TagOrDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Tag> for TagOrDigest {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for TagOrDigest {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

/// The text `[:tag][@digest]` at the end of a reference, not checked yet.
struct Suffix<'a> {
    tag: Option<&'a str>,
    digest: Option<&'a str>,
}

impl Suffix<'_> {
    fn onto(&self, mut reference: Reference, text: &str) -> Result<Reference, ParseError> {
        if let Some(tag) = self.tag {
            reference.tag = Some(Tag::parse(tag).map_err(|e| within(text, &e))?);
        }
        if let Some(digest) = self.digest {
            let digest = Digest::parse(digest).map_err(|e| within(text, &e))?;
            if digest.algorithm().is_none() {
                let name = digest.algorithm_name();
                let reason =
                    format!("{name} digests cannot be verified; expected sha256, sha384 or sha512");
                return Err(ParseError::new("reference", text, reason));
            }
            reference.digest = Some(digest);
        }
        Ok(reference)
    }
}

/// Splits off the digest after the first `@`, and the tag after the first `:` of the last part. A
/// colon before the last `/` belongs to the port of the registry.
fn split_suffix(text: &str) -> (&str, Suffix<'_>) {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let name_starts = rest.rfind('/').map_or(0, |slash| slash + 1);
    match rest[name_starts..].split_once(':') {
        Some((name, tag)) => (&rest[..name_starts + name.len()], Suffix { tag: Some(tag), digest }),
        None => (rest, Suffix { tag: None, digest }),
    }
}

/// Refuses a text with a common mistake, and gives advice in the error.
fn check_text(text: &str) -> Result<(), ParseError> {
    let bad = |reason: &'static str| ParseError::new("reference", text, reason);
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if let Some(at) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("spaces and control characters are not allowed").at(at));
    }
    if text.starts_with('/') {
        // `$REGISTRY/image` with an unset variable must not become an image of Docker Hub.
        return Err(bad("nothing before the first '/'; expected a registry or a name").at(0));
    }
    if text.contains("://") {
        return Err(bad("a reference has no scheme; drop everything up to \"://\""));
    }
    let before_path = text.split('/').next().unwrap_or(text);
    if before_path != text && before_path.contains('@') {
        // The text may contain a password, so do not quote it.
        return Err(ParseError::new(
            "reference",
            "…",
            "expected no user name or password; use login",
        ));
    }
    Ok(())
}

/// Converts the error of a part to an error that quotes the whole text, so that users recognize
/// their input.
fn within(text: &str, part: &ParseError) -> ParseError {
    ParseError::new("reference", text, part.to_string())
}

#[cfg(test)]
mod tests;
