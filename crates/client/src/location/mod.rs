//! Locations of images, as users write them.

mod canonical;
mod parse;

use std::fmt;
use std::path::{Path, PathBuf};

use longshore_core::listing::{check_name, tag_in};
use longshore_core::{Digest, Error, ParseError, Reference, Repository, Result, Tag, TagOrDigest};

/// A place that holds images, optionally with one of its images.
///
/// | text | place | image |
/// |---|---|---|
/// | `nginx`, `ghcr.io/a/b:v1`, `ghcr.io/a/b@sha256:…` | a repository at a registry | a tag, a digest, or both |
/// | `oci:DIR`, `oci:DIR:NAME`, `oci:DIR@sha256:…` | an OCI image layout in a folder | an entry by its name, or a digest |
/// | `oci-archive:FILE…` | an OCI image layout in a tar file | as above |
/// | `docker-archive:FILE`, `docker-archive:FILE:REPOSITORY:TAG`, `docker-archive:FILE:@0` | a tar file as `docker save` writes it | a reference, or a position from 0 |
///
/// The file `-` is standard input or output. Parsing adds Docker's defaults for a missing registry
/// or namespace; [`parse_with`](Self::parse_with) uses other defaults. Parsing never adds a tag: as
/// a target, `nginx` gets the tag of the source.
///
/// ```
/// use longshore::{Location, Place};
///
/// let location: Location = "nginx:1.27".parse()?;
/// assert_eq!(location.to_string(), "docker.io/library/nginx:1.27");
///
/// let location: Location = "oci:backup:v1".parse()?;
/// assert_eq!(*location.place(), Place::Layout("backup".into()));
/// assert_eq!(location.tag().unwrap().as_str(), "v1");
/// # Ok::<(), longshore::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    place: Place,
    name: Option<ImageName>,
    digest: Option<Digest>,
}

/// A place that holds images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A repository at a registry.
    Registry(Repository),
    /// An OCI image layout in a folder.
    Layout(PathBuf),
    /// An OCI image layout in a tar file; `-` is standard input or output.
    OciArchive(PathBuf),
    /// A tar file as `docker save` writes it; `-` is standard input or output.
    DockerArchive(PathBuf),
}

/// The name of an image at its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ImageName {
    /// A tag, at a registry or in a layout.
    Tag(Tag),
    /// The name of an entry in a layout, if it is not a tag, such as
    /// `docker.io/library/nginx:1.27`.
    Entry(String),
    /// The name of an image in a docker-archive.
    Reference(Reference),
    /// The position of an image in a docker-archive, counted from 0.
    Position(usize),
}

impl Place {
    /// Returns the repository, if the place is at a registry.
    #[must_use]
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(repository) => Some(repository),
            _ => None,
        }
    }

    /// Returns true if the place is standard input or output.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        match self {
            Self::OciArchive(path) | Self::DockerArchive(path) => path == Path::new("-"),
            Self::Registry(_) | Self::Layout(_) => false,
        }
    }

    /// Returns true if the place is a layout or an `oci-archive`, whose entries can have names that
    /// are not tags, such as `docker.io/library/app:v1`.
    #[must_use]
    pub fn has_entries(&self) -> bool {
        matches!(self, Self::Layout(_) | Self::OciArchive(_))
    }

    /// Returns true if the place is a tar file, which is written as a whole.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        matches!(self, Self::OciArchive(_) | Self::DockerArchive(_))
    }

    fn scheme(&self) -> &'static str {
        match self {
            Self::Registry(_) => "",
            Self::Layout(_) => "oci:",
            Self::OciArchive(_) => "oci-archive:",
            Self::DockerArchive(_) => "docker-archive:",
        }
    }
}

impl ImageName {
    /// Creates the name of an entry in a layout.
    #[must_use]
    pub fn entry(text: &str) -> Self {
        Tag::parse(text).map_or_else(|_| Self::Entry(text.to_owned()), Self::Tag)
    }

    /// Parses the name of a new entry in a layout: a tag, or a whole name such as `team/app:v1`.
    ///
    /// # Errors
    /// [`ParseError`] if the specification does not allow the name.
    ///
    /// Source: image-spec v1.1.1, "Pre-Defined Annotation Keys",
    /// `org.opencontainers.image.ref.name`.
    pub fn new_entry(text: &str) -> Result<Self, ParseError> {
        let reason = "expected a name such as v1 or team/app:v1";
        check_name(text).map_err(|_| ParseError::new("name", text, reason))?;
        Ok(Self::entry(text))
    }

    /// Returns the tag that the image gets at other places. For an entry whose name contains no
    /// tag, this is `latest`.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Tag(tag) => Some(tag.clone()),
            Self::Entry(text) => Some(tag_in(text).unwrap_or_else(Tag::latest)),
            Self::Reference(reference) => reference.tag().cloned(),
            Self::Position(_) => None,
        }
    }
}

impl Location {
    /// Creates the location of a place, without a name for an image.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place, name: None, digest: None }
    }

    /// Returns the place.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the name of the image, if the location has one.
    #[must_use]
    pub fn name(&self) -> Option<&ImageName> {
        self.name.as_ref()
    }

    /// Returns the digest of the manifest, if the location has one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// Returns the [tag](ImageName::tag) of the image's name, if it has one.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        self.name.as_ref()?.tag()
    }

    /// Returns the digest, or else the tag, if the location has one. Always `None` for a
    /// docker-archive, where images are selected by name or position.
    #[must_use]
    pub fn selector(&self) -> Option<TagOrDigest> {
        match (&self.digest, &self.place) {
            (Some(digest), _) => Some(digest.clone().into()),
            (None, Place::DockerArchive(_)) => None,
            (None, _) => self.tag().map(TagOrDigest::from),
        }
    }

    /// Returns the name of the image in a docker-archive, if the location has one.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match &self.name {
            Some(ImageName::Reference(reference)) => Some(reference),
            _ => None,
        }
    }

    /// Returns the location of another image at the same place, or of the place alone.
    ///
    /// Does not check whether the place supports names of this kind.
    #[must_use]
    pub fn with_name(&self, name: Option<ImageName>) -> Self {
        Self { place: self.place.clone(), name, digest: None }
    }

    /// Returns the location of the image with this tag at the same place. In a docker-archive, the
    /// tag is combined with the repository in the name. Without a repository, the result has no
    /// name.
    #[must_use]
    pub fn with_tag(&self, tag: &Tag) -> Self {
        let name = match (&self.place, self.reference()) {
            (Place::DockerArchive(_), None) => None,
            (Place::DockerArchive(_), Some(reference)) => {
                let repository = reference.repository().clone();
                Some(ImageName::Reference(Reference::new(repository).with_tag(tag.clone())))
            }
            _ => Some(ImageName::Tag(tag.clone())),
        };
        self.with_name(name)
    }

    /// Returns the location of an image that is written to this location with this tag.
    pub(crate) fn written_as(&self, tag: Option<&Tag>) -> Self {
        match (tag, &self.name) {
            (Some(tag), None | Some(ImageName::Reference(_))) => self.with_tag(tag),
            _ => self.clone(),
        }
    }

    /// Returns this location with an absolute path. A location at a registry has no path.
    ///
    /// # Errors
    /// [`Io`](longshore_core::ErrorKind::Io) if the current folder cannot be determined.
    pub(crate) fn absolute(&self) -> Result<Self> {
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|e| Error::io(path, e));
        let place = match &self.place {
            Place::Registry(repository) => Place::Registry(repository.clone()),
            Place::Layout(path) => Place::Layout(absolute(path)?),
            Place::OciArchive(path) => Place::OciArchive(absolute(path)?),
            Place::DockerArchive(path) => Place::DockerArchive(absolute(path)?),
        };
        Ok(Self { place, ..self.clone() })
    }

    /// Returns this location as a target for an image of `source`. A docker-archive without a name
    /// for its image gets the name of the source's repository.
    #[must_use]
    pub fn named_after(&self, source: &Self) -> Self {
        match (&self.place, &self.name, source.place.repository()) {
            (Place::DockerArchive(_), None, Some(repository)) => {
                self.with_name(Some(ImageName::Reference(Reference::new(repository.clone()))))
            }
            _ => self.clone(),
        }
    }

    /// Returns true if images at this location can have tags. In a docker-archive, tags are parts
    /// of names, so the location must have a repository.
    #[must_use]
    pub fn has_tags(&self) -> bool {
        !matches!(self.place, Place::DockerArchive(_)) || self.reference().is_some()
    }

    /// Returns true if images of several repositories can be written to this location, each under
    /// its own name.
    #[must_use]
    pub fn takes_many(&self) -> bool {
        matches!(self.place, Place::DockerArchive(_)) && self.name.is_none()
    }

    /// Returns the tag for a written image: the tag in the location, or else `default`.
    ///
    /// # Errors
    /// [`ParseError`] if the location has only a digest, because the digest of new content cannot
    /// be chosen.
    pub fn tag_or(&self, default: &Tag) -> Result<Tag, ParseError> {
        match (self.tag(), &self.digest) {
            (Some(tag), _) => Ok(tag),
            (None, None) => Ok(default.clone()),
            (None, Some(_)) => {
                Err(ParseError::new("location", &self.to_string(), "expected a tag, not a digest"))
            }
        }
    }
}

impl From<Reference> for Location {
    fn from(reference: Reference) -> Self {
        Self {
            place: Place::Registry(reference.repository().clone()),
            name: reference.tag().cloned().map(ImageName::Tag),
            digest: reference.digest().cloned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())?;
        match self {
            Self::Registry(repository) => repository.fmt(f),
            Self::Layout(path) | Self::OciArchive(path) | Self::DockerArchive(path) => {
                path.display().fmt(f)
            }
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Entry(text) => f.write_str(text),
            Self::Reference(reference) => reference.fmt(f),
            Self::Position(position) => write!(f, "@{position}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        if let Some(name) = &self.name {
            write!(f, ":{name}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}
