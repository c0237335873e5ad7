//! Where an image is: what a user types for either end of a copy, parsed once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use longshore::{Digest, ParseError, Reference, Tag, TagOrDigest, layout_listing};

use crate::defaults;

/// A place that holds images, and which of them is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// A repository at a registry: `nginx`, `ghcr.io/a/b:v1`.
    Registry(Reference),
    /// `oci:DIR[:NAME|@DIGEST]`.
    Layout { path: PathBuf, entry: Option<Entry> },
    /// `oci-archive:FILE[:NAME|@DIGEST]`.
    OciArchive { path: PathBuf, entry: Option<Entry> },
    /// `docker-archive:FILE[:REF|:@PLACE]`.
    DockerArchive { path: PathBuf, image: Option<Saved> },
}

/// Which entry of a layout is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The one of this name, which is a tag or any other text: `v1`, `docker.io/library/nginx:1.27`.
    Named(String),
    Digest(Digest),
}

impl Entry {
    /// The tag that it has where there are tags alone, `latest` if its name says none.
    fn selector(&self) -> TagOrDigest {
        match self {
            Self::Named(name) => layout_listing::tag_in(name).unwrap_or_else(Tag::latest).into(),
            Self::Digest(digest) => digest.clone().into(),
        }
    }
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
            Self::Registry(reference) => {
                Some(defaults::tagged(reference.clone()).selector().clone())
            }
            Self::Layout { entry, .. } | Self::OciArchive { entry, .. } => {
                entry.as_ref().map(Entry::selector)
            }
            Self::DockerArchive { .. } => None,
        }
    }

    /// The tag in the text, if there is one.
    pub(crate) fn tag(&self) -> Option<Tag> {
        match self {
            Self::Registry(reference) => reference.tag().cloned(),
            Self::Layout { .. } | Self::OciArchive { .. } => self.selector()?.tag().cloned(),
            Self::DockerArchive { .. } => self.reference()?.tag().cloned(),
        }
    }

    /// What this tag stands for there.
    pub(crate) fn with_tag(&self, tag: &Tag) -> Self {
        let tagged = |reference: &Reference| {
            Reference::new(reference.repository().clone()).with_tag(tag.clone())
        };
        match self {
            Self::Registry(reference) => Self::Registry(tagged(reference)),
            Self::Layout { .. } | Self::OciArchive { .. } => {
                self.with_entry(Some(Entry::Named(tag.to_string())))
            }
            Self::DockerArchive { path, .. } => {
                let image = self.reference().map(tagged).map(Saved::Named);
                Self::DockerArchive { path: path.clone(), image }
            }
        }
    }

    /// The layout or archive of layouts with another entry of it, or none; anything else as it is.
    pub(crate) fn with_entry(&self, entry: Option<Entry>) -> Self {
        match self {
            Self::Layout { path, .. } => Self::Layout { path: path.clone(), entry },
            Self::OciArchive { path, .. } => Self::OciArchive { path: path.clone(), entry },
            other => other.clone(),
        }
    }

    /// Whether it is standard input or output, as which an archive comes or goes.
    pub(crate) fn is_stream(&self) -> bool {
        self.archive() == Some(Path::new("-"))
    }

    /// The name of an entry of a layout, if the text has one.
    pub(crate) fn entry_name(&self) -> Option<&str> {
        match self {
            Self::Layout { entry: Some(Entry::Named(name)), .. }
            | Self::OciArchive { entry: Some(Entry::Named(name)), .. } => Some(name),
            _ => None,
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

    /// Whether images can have names there that are no tags, such as `docker.io/library/app:v1`.
    pub(crate) fn keeps_names(&self) -> bool {
        matches!(self, Self::Layout { .. } | Self::OciArchive { .. })
    }

    /// The file of an archive.
    pub(crate) fn archive(&self) -> Option<&Path> {
        match self {
            Self::OciArchive { path, .. } | Self::DockerArchive { path, .. } => Some(path),
            Self::Registry(_) | Self::Layout { .. } => None,
        }
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
            Self::Layout { .. } | Self::OciArchive { .. } => self.selector()?.digest().cloned(),
            Self::DockerArchive { .. } => None,
        }
    }
}

impl FromStr for Location {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let scheme = |prefix: &str| text.strip_prefix(prefix);
        if let Some(rest) = scheme("oci:") {
            let (path, entry) = path_and_entry(text, rest, Path::is_dir)?;
            if path == Path::new("-") {
                let reason = "a layout is a folder; write oci-archive:-, or oci:./- for the folder";
                return Err(ParseError::new("location", text, reason));
            }
            return Ok(Self::Layout { path, entry });
        }
        if let Some(rest) = scheme("oci-archive:") {
            let (path, entry) = path_and_entry(text, rest, |path| path.exists() && !path.is_dir())?;
            return Ok(Self::OciArchive { path, entry });
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
                "a path needs a kind: oci:DIR, oci-archive:FILE or docker-archive:FILE",
            ));
        }
        defaults::reference(text).map(Self::Registry)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffixed =
            |f: &mut fmt::Formatter<'_>, scheme, path: &PathBuf, entry: &Option<Entry>| {
                write!(f, "{scheme}:{}", path.display())?;
                match entry {
                    Some(Entry::Named(name)) => write!(f, ":{name}"),
                    Some(Entry::Digest(digest)) => write!(f, "@{digest}"),
                    None => Ok(()),
                }
            };
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Layout { path, entry } => suffixed(f, "oci", path, entry),
            Self::OciArchive { path, entry } => suffixed(f, "oci-archive", path, entry),
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

/// Splits `PATH[:NAME|@DIGEST]`.
///
/// A name may hold colons, and so may a path. The longest path at which `there` finds something wins;
/// if there is none, the path ends at its first colon. A colon before a slash or backslash belongs to
/// the path (`C:\dir`): no name begins so.
fn path_and_entry(
    text: &str,
    rest: &str,
    there: impl Fn(&Path) -> bool,
) -> Result<(PathBuf, Option<Entry>), ParseError> {
    let bad = |reason: &'static str| ParseError::new("location", text, reason);
    let within = |e: ParseError| ParseError::new("location", text, e.to_string());
    let (before, digest) = match rest.rsplit_once('@') {
        Some((before, digest)) if !digest.contains(['/', '\\']) => {
            (before, Some(Digest::parse(digest).map_err(within)?))
        }
        _ => (rest, None),
    };
    let (path, name) = path_and_name(before, there);
    if path.is_empty() {
        return Err(bad("the path is missing"));
    }
    let entry = match (name, digest) {
        (Some(name), _) if name.is_empty() || name.ends_with(':') => {
            return Err(bad("nothing after the last ':'; expected a tag or another name"));
        }
        (Some(name), Some(_)) if Tag::parse(name).is_ok() => {
            return Err(bad("expected a tag or a digest, not both"));
        }
        // A name that is a reference may have a digest in it.
        (Some(name), Some(digest)) => Some(Entry::Named(format!("{name}@{digest}"))),
        (Some(name), None) => Some(Entry::Named(name.to_owned())),
        (None, digest) => digest.map(Entry::Digest),
    };
    Ok((path.into(), entry))
}

fn path_and_name(text: &str, there: impl Fn(&Path) -> bool) -> (&str, Option<&str>) {
    let splits = || {
        text.match_indices(':')
            .map(|(at, _)| (&text[..at], &text[at + 1..]))
            .filter(|(_, name)| !name.starts_with(['/', '\\']))
    };
    if there(Path::new(text)) {
        return (text, None);
    }
    let longest = splits().filter(|(path, _)| there(Path::new(path))).last();
    match longest.or_else(|| splits().next()) {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    }
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
            ("oci-archive:x.tar:a/b:v1", "oci-archive:x.tar:a/b:v1"),
            ("docker-archive:x.tar", "docker-archive:x.tar"),
            ("docker-archive:x.tar:a/b:v1", "docker-archive:x.tar:docker.io/a/b:v1"),
            ("docker-archive:x.tar:@1", "docker-archive:x.tar:@1"),
            ("docker-archive:x.tar:nginx", "docker-archive:x.tar:docker.io/library/nginx"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_path_ends_at_its_first_colon_unless_a_longer_one_is_there() {
        let there = |known: &'static [&'static str]| {
            move |path: &Path| known.iter().any(|known| Path::new(known) == path)
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        let (at, name_at) = (format!("a@{digest}"), format!("a:b/c@{digest}"));
        for (rest, known, path, name) in [
            ("a", &[][..], "a", None),
            ("a:v1", &[], "a", Some("v1")),
            ("a:b/c:v1", &[], "a", Some("b/c:v1")),
            ("a:host:5000/c:v1", &["a"], "a", Some("host:5000/c:v1")),
            ("a:b/c:v1", &["a:b/c"], "a:b/c", Some("v1")),
            ("a:b/c:v1", &["a", "a:b/c"], "a:b/c", Some("v1")),
            ("a:v1", &["a:v1"], "a:v1", None),
            ("C:\\x:v1", &[], "C:\\x", Some("v1")),
            ("C:/x", &[], "C:/x", None),
            ("/a@b/c:v1", &[], "/a@b/c", Some("v1")),
            (&name_at, &[], "a", Some(name_at.split_once(':').unwrap().1)),
        ] {
            let found = path_and_entry("", rest, there(known)).unwrap();
            let named = name.map(|name| Entry::Named(name.to_owned()));
            assert_eq!(found, (path.into(), named), "{rest}");
        }
        let by_digest = (PathBuf::from("a"), Some(Entry::Digest(digest.parse().unwrap())));
        assert_eq!(path_and_entry("", &at, there(&[])).unwrap(), by_digest);
    }

    #[test]
    fn bad_ones_say_what_to_write() {
        for (text, word) in [
            ("oci:", "path"),
            ("oci::v1", "path"),
            ("oci:-:v1", "oci-archive:-"),
            ("oci:dir:", "tag"),
            ("oci:dir:a:", "name"),
            ("oci:dir@sha256:1", "digest"),
            (&format!("oci:dir:v1@sha256:{}", "0".repeat(64)), "not both"),
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
