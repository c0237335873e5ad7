//! Names: where a thing is, and which one of it.
//!
//! Every part is parsed once, strictly, and cannot be wrong afterwards. Docker's short names
//! ("nginx") are expanded by [`Defaults`] only.

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
    /// Puts a repository's two parts together.
    #[must_use]
    pub fn new(registry: RegistryName, name: RepositoryName) -> Self {
        Self { registry, name }
    }

    /// The registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// The name within the registry.
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

    /// Reads `registry/name`; the registry is never implied.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let reference: Reference = text.parse()?;
        reference.only_repository(text)
    }
}

/// A repository with a tag, a digest, both or neither: `registry/name[:tag][@digest]`.
///
/// Ordered and hashed by its parts: registry, name, tag, digest. `FromStr` demands the registry and
/// takes whatever comes first for it; [`Defaults`] reads short names. No tag is ever implied: see
/// [`Reference::or_latest`] and [`Defaults::tagged`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Reference {
    /// A reference to a repository as such.
    #[must_use]
    pub fn new(repository: Repository) -> Self {
        Self { repository, tag: None, digest: None }
    }

    /// The same with this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The same with this digest.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// The same without its tag.
    #[must_use]
    pub fn without_tag(mut self) -> Self {
        self.tag = None;
        self
    }

    /// The same without its digest.
    #[must_use]
    pub fn without_digest(mut self) -> Self {
        self.digest = None;
        self
    }

    /// The same in another repository.
    #[must_use]
    pub fn with_repository(mut self, repository: Repository) -> Self {
        self.repository = repository;
        self
    }

    /// A reference to a manifest: this one, with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(self) -> ManifestReference {
        ManifestReference::or_tag(self, Tag::latest())
    }

    /// The repository.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The registry's host and port.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        self.repository.registry()
    }

    /// The repository's name within its registry.
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        self.repository.name()
    }

    /// The tag, if it has one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if it has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask a registry for: the digest if there is one, else the tag.
    #[must_use]
    pub fn selector(&self) -> Option<TagOrDigest> {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Some(TagOrDigest::Digest(digest.clone())),
            (None, Some(tag)) => Some(TagOrDigest::Tag(tag.clone())),
            (None, None) => None,
        }
    }

    /// Reads a reference whose registry is in the text.
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

/// Which manifest of a repository: by the name people gave it, or by its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TagOrDigest {
    /// By tag.
    Tag(Tag),
    /// By digest.
    Digest(Digest),
}

impl TagOrDigest {
    /// Reads a digest if there is a colon in the text, which no tag has, else a tag.
    ///
    /// # Errors
    /// [`ParseError`] of [`Digest::parse`] or [`Tag::parse`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        if text.contains(':') {
            Digest::parse(text).map(Self::Digest)
        } else {
            Tag::parse(text).map(Self::Tag)
        }
    }

    /// The tag, if it is one.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Tag(tag) => Some(tag),
            Self::Digest(_) => None,
        }
    }

    /// The digest, if it is one.
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

/// The `[:tag][@digest]` at the end of a reference, not yet checked.
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

/// Splits from the right: the digest after the first `@`, the tag after the last `:` that comes
/// after the last `/` (a colon before that is the registry's port).
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

/// Refuses what is wrong with the text as a whole, with what to do instead.
fn check_text(text: &str) -> Result<(), ParseError> {
    let bad = |reason: &'static str| ParseError::new("reference", text, reason);
    if text.is_empty() {
        return Err(bad("it is empty"));
    }
    if let Some(at) = text.find(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(bad("a space or control character").at(at));
    }
    if text.starts_with('/') {
        // What an unset variable leaves of `$REGISTRY/image` must not become an image of Docker Hub.
        return Err(bad("nothing before the first '/'; expected a registry or a name").at(0));
    }
    if text.contains("://") {
        return Err(bad("a reference has no scheme; drop everything up to \"://\""));
    }
    let before_path = text.split('/').next().unwrap_or(text);
    if before_path != text && before_path.contains('@') {
        // The text may hold a password: it must not be quoted back.
        return Err(ParseError::new(
            "reference",
            "…",
            "expected no user name or password; use login",
        ));
    }
    Ok(())
}

/// Turns the error of a part into one of the whole, so that people see what they typed.
fn within(text: &str, part: &ParseError) -> ParseError {
    ParseError::new("reference", text, part.to_string())
}

#[cfg(test)]
mod tests;
