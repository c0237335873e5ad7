//! Parses locations.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use longshore_core::{Defaults, Digest, ParseError, Tag};

use super::{ImageName, Location, Place};

impl Location {
    /// Parses a location, with defaults for the parts that a short name omits.
    ///
    /// The path of a layout or an `oci-archive` ends at the first colon that is not followed by a
    /// slash or backslash, unless a longer path exists. The longest existing path takes precedence.
    /// The path of a `docker-archive` always ends at the first colon.
    ///
    /// # Errors
    /// [`ParseError`] that describes the defect, and quotes the text unless it contains a password.
    pub fn parse_with(text: &str, defaults: &Defaults) -> Result<Self, ParseError> {
        let bad = |reason: &str| Err(ParseError::new("location", text, reason.to_owned()));
        if let Some(rest) = text.strip_prefix("oci:") {
            let layout = with_entry(text, rest, Path::is_dir, Place::Layout)?;
            return match &layout.place {
                Place::Layout(path) if path == Path::new("-") => {
                    bad("a layout is a folder; write oci-archive:-, or oci:./- for the folder")
                }
                _ => Ok(layout),
            };
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let is_file = |path: &Path| path.exists() && !path.is_dir();
            return with_entry(text, rest, is_file, Place::OciArchive);
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            return docker_archive(text, rest, defaults);
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            // Parse the rest first, because the error for a text with a password does not show the
            // password.
            defaults.parse(rest)?;
            return bad(&format!("a registry needs no scheme here; write {rest}"));
        }
        if text.starts_with(['.', '/']) {
            return bad("a path needs a kind: oci:DIR, oci-archive:FILE or docker-archive:FILE");
        }
        defaults.parse(text).map(Self::from)
    }
}

impl FromStr for Location {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse_with(text, &Defaults::docker())
    }
}

/// Parses `PATH[:NAME|@DIGEST]`.
///
/// Both the name and the path may contain colons. The longest existing path takes precedence. If no
/// path exists, the path ends at the first colon. A colon before a slash or backslash belongs to
/// the path (`C:\dir`), because no name begins with a slash or backslash.
fn with_entry(
    text: &str,
    rest: &str,
    exists: impl Fn(&Path) -> bool,
    place: fn(PathBuf) -> Place,
) -> Result<Location, ParseError> {
    let bad = |reason: &'static str| ParseError::new("location", text, reason);
    let within = |e: ParseError| ParseError::new("location", text, e.to_string());
    let (before, digest) = match rest.rsplit_once('@') {
        Some((before, digest)) if !digest.contains(['/', '\\']) => {
            (before, Some(Digest::parse(digest).map_err(within)?))
        }
        _ => (rest, None),
    };
    let (path, name) = path_and_name(before, exists);
    if path.is_empty() {
        return Err(bad("the path is missing"));
    }
    let (name, digest) = match (name, digest) {
        (Some(name), _) if name.is_empty() || name.ends_with(':') => {
            return Err(bad("nothing after the last ':'; expected a tag or another name"));
        }
        (Some(name), Some(_)) if Tag::parse(name).is_ok() => {
            return Err(bad("expected a tag or a digest, not both"));
        }
        // A name that is a reference may contain a digest.
        (Some(name), Some(digest)) => (Some(ImageName::Entry(format!("{name}@{digest}"))), None),
        (Some(name), None) => (Some(ImageName::entry(name)), None),
        (None, digest) => (None, digest),
    };
    Ok(Location { place: place(path.into()), name, digest })
}

fn path_and_name(text: &str, exists: impl Fn(&Path) -> bool) -> (&str, Option<&str>) {
    let splits = || {
        text.match_indices(':')
            .map(|(at, _)| (&text[..at], &text[at + 1..]))
            .filter(|(_, name)| !name.starts_with(['/', '\\']))
    };
    if exists(Path::new(text)) {
        return (text, None);
    }
    let longest = splits().filter(|(path, _)| exists(Path::new(path))).last();
    match longest.or_else(|| splits().next()) {
        Some((path, name)) => (path, Some(name)),
        None => (text, None),
    }
}

/// Parses `FILE[:REFERENCE|:@POSITION]`. The path ends at the first colon.
fn docker_archive(text: &str, rest: &str, defaults: &Defaults) -> Result<Location, ParseError> {
    let bad = |reason: &'static str| ParseError::new("location", text, reason);
    let within = |e: ParseError| ParseError::new("location", text, e.to_string());
    let (path, name) = match rest.split_once(':') {
        Some((path, name)) => match name.strip_prefix('@').map(str::parse) {
            Some(Ok(position)) => (path, Some(ImageName::Position(position))),
            Some(Err(_)) => {
                return Err(bad("expected a number after '@'; the first image is 0"));
            }
            None => (path, Some(ImageName::Reference(defaults.parse(name).map_err(within)?))),
        },
        None => (rest, None),
    };
    if path.is_empty() {
        return Err(bad("the file's path is missing"));
    }
    Ok(Location { place: Place::DockerArchive(path.into()), name, digest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_location_is_parsed() {
        let sha = format!("sha256:{}", "0".repeat(64));
        for (text, shown) in [
            ("nginx", "docker.io/library/nginx"),
            ("ghcr.io/a/b:v1", "ghcr.io/a/b:v1"),
            (&format!("ghcr.io/a/b:v1@{sha}"), &format!("ghcr.io/a/b:v1@{sha}")),
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
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown);
            assert_eq!(shown.parse::<Location>().unwrap(), location);
        }
    }

    #[test]
    fn a_path_ends_at_its_first_colon_unless_a_longer_path_exists() {
        let existing = |known: &'static [&'static str]| {
            move |path: &Path| known.iter().any(|known| Path::new(known) == path)
        };
        let digest = format!("sha256:{}", "0".repeat(64));
        let (at, name_at) = (format!("a@{digest}"), format!("a:b/c@{digest}"));
        let parsed = |rest, known| with_entry("", rest, existing(known), Place::Layout).unwrap();
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
            let place = Location::new(Place::Layout(path.into()));
            assert_eq!(parsed(rest, known), place.with_name(name.map(ImageName::entry)), "{rest}");
        }
        let by_digest = parsed(&at, &[]);
        assert_eq!(*by_digest.place(), Place::Layout("a".into()));
        assert_eq!(by_digest.digest().unwrap().as_str(), digest);
    }

    #[test]
    fn errors_describe_the_defect_or_the_expected_form() {
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
