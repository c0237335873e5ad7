//! Where an image is: what a user types for either end of a copy, parsed once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use longshore::{Digest, ParseError, Reference, Tag, TagOrDigest};

use crate::defaults;

/// A place that holds images, and which of them is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A repository at a registry: `nginx`, `ghcr.io/a/b:v1`.
    Registry(Reference),
    /// `oci:DIR[:TAG|@DIGEST]`.
    Layout { path: PathBuf, selector: Option<TagOrDigest> },
    /// `oci-archive:FILE[:TAG|@DIGEST]`.
    OciArchive { path: PathBuf, selector: Option<TagOrDigest> },
    /// `docker-archive:FILE[:REF|:@PLACE]`.
    DockerArchive { path: PathBuf, image: Option<Saved> },
}

/// Which image of a docker-archive is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saved {
    /// The one of this name.
    Named(Reference),
    /// The one at this place, counted from 0.
    At(usize),
}

impl Location {
    /// The manifest that is meant, where the text says which; the default tag's at a registry.
    pub(crate) fn selector(&self) -> Option<TagOrDigest> {
        match self {
            Self::Registry(reference) => defaults::tagged(reference.clone()).selector(),
            Self::Layout { selector, .. } | Self::OciArchive { selector, .. } => selector.clone(),
            Self::DockerArchive { .. } => None,
        }
    }

    /// The tag in the text, if there is one.
    pub(crate) fn tag(&self) -> Option<Tag> {
        match self {
            Self::Registry(reference) => reference.tag().cloned(),
            Self::Layout { selector, .. } | Self::OciArchive { selector, .. } => {
                selector.as_ref().and_then(TagOrDigest::tag).cloned()
            }
            Self::DockerArchive { .. } => self.reference()?.tag().cloned(),
        }
    }

    /// What this tag stands for there.
    pub(crate) fn with_tag(&self, tag: Tag) -> Self {
        let tagged = |reference: &Reference| {
            Reference::new(reference.repository().clone()).with_tag(tag.clone())
        };
        match self {
            Self::Registry(reference) => Self::Registry(tagged(reference)),
            Self::Layout { path, .. } => {
                Self::Layout { path: path.clone(), selector: Some(tag.into()) }
            }
            Self::OciArchive { path, .. } => {
                Self::OciArchive { path: path.clone(), selector: Some(tag.into()) }
            }
            Self::DockerArchive { path, .. } => {
                let image = self.reference().map(tagged).map(Saved::Named);
                Self::DockerArchive { path: path.clone(), image }
            }
        }
    }

    /// The same; a docker-archive without a name for its image gets the repository's that the image
    /// is from.
    pub(crate) fn named_after(self, source: &Self) -> Self {
        match (self, source) {
            (Self::DockerArchive { path, image: None }, Self::Registry(from)) => {
                let image = Some(Saved::Named(Reference::new(from.repository().clone())));
                Self::DockerArchive { path, image }
            }
            (location, _) => location,
        }
    }

    /// Whether images can have tags there: a docker-archive's are parts of names.
    pub(crate) fn keeps_tags(&self) -> bool {
        !matches!(self, Self::DockerArchive { .. }) || self.reference().is_some()
    }

    /// The tag to write under, where a digest says nothing of it: the default one if none is given.
    ///
    /// # Errors
    /// [`ParseError`] if a digest is given, which nothing that is yet to be made can have.
    pub(crate) fn tag_or_latest(&self) -> Result<Tag, ParseError> {
        match (self.tag(), self.digest(), self.selector()) {
            (Some(tag), ..) => Ok(tag),
            (None, Some(_), _) => {
                Err(ParseError::new("location", &self.to_string(), "expected a tag, not a digest"))
            }
            (None, None, Some(TagOrDigest::Tag(tag))) => Ok(tag),
            (None, None, _) => Ok(Tag::latest()),
        }
    }

    /// Whether images of several repositories can be written there, each under its own name.
    pub(crate) fn takes_many(&self) -> bool {
        matches!(self, Self::DockerArchive { image: None, .. })
    }

    /// The archive's file, if it is one that takes images of several repositories.
    pub(crate) fn archive_file(&self) -> Option<&Path> {
        match self {
            Self::DockerArchive { path, .. } => Some(path),
            _ => None,
        }
    }

    /// The place of an image in a docker-archive, if the text has one.
    pub(crate) fn place(&self) -> Option<usize> {
        match self {
            Self::DockerArchive { image: Some(Saved::At(place)), .. } => Some(*place),
            _ => None,
        }
    }

    /// The name of an image in a docker-archive, if the text has one.
    pub(crate) fn reference(&self) -> Option<&Reference> {
        match self {
            Self::DockerArchive { image: Some(Saved::Named(reference)), .. } => Some(reference),
            _ => None,
        }
    }

    /// The digest in the text, if there is one.
    pub(crate) fn digest(&self) -> Option<Digest> {
        match self {
            Self::Registry(reference) => reference.digest().cloned(),
            Self::Layout { selector, .. } | Self::OciArchive { selector, .. } => {
                selector.as_ref().and_then(TagOrDigest::digest).cloned()
            }
            Self::DockerArchive { .. } => None,
        }
    }
}

impl FromStr for Location {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let scheme = |prefix: &str| text.strip_prefix(prefix);
        if let Some(rest) = scheme("oci:") {
            let (path, selector) = path_and_selector(text, rest)?;
            return Ok(Self::Layout { path, selector });
        }
        if let Some(rest) = scheme("oci-archive:") {
            let (path, selector) = path_and_selector(text, rest)?;
            return Ok(Self::OciArchive { path, selector });
        }
        if let Some(rest) = scheme("docker-archive:") {
            return docker_archive(text, rest);
        }
        if let Some(rest) = scheme("docker://") {
            // Parsed, so that a password in it is not shown.
            defaults::reference(rest)?;
            let reason = format!("a registry needs no scheme here; write {rest}");
            return Err(ParseError::new("location", text, reason));
        }
        if text.starts_with(['.', '/']) {
            return Err(ParseError::new(
                "location",
                text,
                "a path needs to say what it is: oci:DIR, oci-archive:FILE or docker-archive:FILE",
            ));
        }
        defaults::reference(text).map(Self::Registry)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffixed =
            |f: &mut fmt::Formatter<'_>, scheme, path: &PathBuf, selector: &Option<_>| {
                write!(f, "{scheme}:{}", path.display())?;
                match selector {
                    Some(TagOrDigest::Tag(tag)) => write!(f, ":{tag}"),
                    Some(TagOrDigest::Digest(digest)) => write!(f, "@{digest}"),
                    None => Ok(()),
                }
            };
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Layout { path, selector } => suffixed(f, "oci", path, selector),
            Self::OciArchive { path, selector } => suffixed(f, "oci-archive", path, selector),
            Self::DockerArchive { path, image } => {
                write!(f, "docker-archive:{}", path.display())?;
                match image {
                    Some(Saved::Named(reference)) => write!(f, ":{reference}"),
                    Some(Saved::At(place)) => write!(f, ":@{place}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Splits `PATH[:TAG|@DIGEST]`: what follows the last colon is a tag if it can be one, so that a
/// path may hold colons.
fn path_and_selector(text: &str, rest: &str) -> Result<(PathBuf, Option<TagOrDigest>), ParseError> {
    let bad = |reason: &'static str| ParseError::new("location", text, reason);
    let within = |e: ParseError| ParseError::new("location", text, e.to_string());
    let (path, selector) = match rest.rsplit_once('@') {
        Some((path, digest)) if !digest.contains(['/', '\\']) => {
            (path, Some(Digest::parse(digest).map_err(within)?.into()))
        }
        _ => match rest.rsplit_once(':') {
            Some((_, "")) => return Err(bad("nothing after the last ':'; expected a tag")),
            Some((path, tag)) if !tag.contains(['/', '\\']) => {
                (path, Some(Tag::parse(tag).map_err(within)?.into()))
            }
            _ => (rest, None),
        },
    };
    if path.is_empty() {
        return Err(bad("the path is missing"));
    }
    Ok((path.into(), selector))
}

/// Splits `FILE[:REF|:@PLACE]`: the file ends at the first colon that a reference can follow.
fn docker_archive(text: &str, rest: &str) -> Result<Location, ParseError> {
    let bad = |reason: &'static str| ParseError::new("location", text, reason);
    let within = |e: ParseError| ParseError::new("location", text, e.to_string());
    let (path, image) = match rest.split_once(':') {
        Some((path, image)) => match image.strip_prefix('@').map(str::parse) {
            Some(Ok(place)) => (path, Some(Saved::At(place))),
            Some(Err(_)) => {
                return Err(bad("expected a number after '@', the first image being 0"));
            }
            None => (path, Some(Saved::Named(defaults::reference(image).map_err(within)?))),
        },
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(bad("the file's path is missing"));
    }
    Ok(Location::DockerArchive { path: path.into(), image })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_told_apart() {
        let sha = format!("sha256:{}", "0".repeat(64));
        for (text, shown) in [
            ("nginx", "docker.io/library/nginx"),
            ("ghcr.io/a/b:v1", "ghcr.io/a/b:v1"),
            ("oci:dir", "oci:dir"),
            ("oci:/a/b:v1", "oci:/a/b:v1"),
            ("oci:C:\\x", "oci:C:\\x"),
            ("oci:/a@b/c:v1", "oci:/a@b/c:v1"),
            (&format!("oci:dir@{sha}"), &format!("oci:dir@{sha}")),
            ("oci-archive:x.tar:v1", "oci-archive:x.tar:v1"),
            ("docker-archive:x.tar", "docker-archive:x.tar"),
            ("docker-archive:x.tar:a/b:v1", "docker-archive:x.tar:docker.io/a/b:v1"),
            ("docker-archive:x.tar:@1", "docker-archive:x.tar:@1"),
            ("docker-archive:x.tar:nginx", "docker-archive:x.tar:docker.io/library/nginx"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn bad_ones_say_what_to_write() {
        for (text, word) in [
            ("oci:", "path"),
            ("oci::v1", "path"),
            ("oci:dir:", "tag"),
            ("oci:dir:-x", "tag"),
            ("oci:dir@sha256:1", "digest"),
            ("./dir", "oci:DIR"),
            ("docker://nginx", "write nginx"),
            ("docker-archive::a", "path"),
            ("docker-archive:x.tar:@one", "number"),
            ("repo/name:", "empty"),
        ] {
            let e = text.parse::<Location>().unwrap_err().to_string();
            assert!(e.contains(word), "{text}: {e}");
        }
    }
}
