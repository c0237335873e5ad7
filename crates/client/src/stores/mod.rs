//! Opens stores of all kinds by their locations.
//!
//! Each kind of place has a file that implements [`Reader`] and [`Writer`] for it. Only the two
//! matches over [`Place`] in this file list all kinds.

#[cfg(feature = "archive")]
mod docker_archive;
mod layout;
#[cfg(feature = "archive")]
mod oci_archive;
mod registry;
#[cfg(feature = "archive")]
mod standard_streams;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use longshore_core::{
    Delete, Descriptor, Digest, Error, ErrorKind, GuardMethod, Layout, Memory, ParseError,
    Platform, RawManifest, Reference, Result, Source, SourceExt as _, Tag, TagGuard, TagOrDigest,
    Target, TargetExt as _, select_image,
};

use crate::client::Client;
use crate::location::{ImageName, Location, Place};

/// Opens stores by their locations.
///
/// A place is opened for reading once and kept open, because opening an archive indexes it, and
/// standard input can be read only once. Create a new value of this type for each task. Clones
/// share the open places.
///
/// ```
/// use longshore::{Location, Memory, Pack, Stores, Tag};
///
/// # let folder = tempfile::tempdir()?;
/// # let at = folder.path().join("notes");
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
/// let stores = Stores::default();
/// let location: Location = format!("oci:{}:v1", at.display()).parse()?;
/// let target = stores.create(&location).await?;
/// let notes = Pack::artifact("text/plain".parse()?).file("notes", "hello");
/// notes.push(&*target, Some(&Tag::parse("v1")?)).await?;
/// target.finish().await?;
///
/// let located = stores.locate(&location).await?;
/// println!("{}", located.source.resolve(&located.selector).await?.digest);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Stores {
    client: Arc<dyn Fn() -> Result<Client> + Send + Sync>,
    default_tag: Tag,
    open: Arc<Mutex<HashMap<Place, Arc<dyn Reader>>>>,
}

/// A store, and the manifest in it that a location selects.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Located {
    /// The store.
    pub source: Arc<dyn Source>,
    /// The manifest.
    pub selector: TagOrDigest,
    /// The names of the image, if it is in a docker-archive and was not selected by name; empty
    /// otherwise.
    pub names: Vec<Reference>,
}

/// An image in the listing of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedImage {
    /// The name of the image.
    pub name: ImageName,
    /// The digest of the image's manifest. Only listings of layouts, in folders or archives,
    /// contain digests.
    pub digest: Option<Digest>,
}

/// A manifest that got names.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamedManifest {
    /// The manifest.
    pub manifest: Descriptor,
    /// How the guard protected the changes, if there was a guard: the weakest protection of all
    /// names.
    pub guard: Option<GuardMethod>,
}

impl Stores {
    /// Creates an opener of stores that uses this client for repositories at registries.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::with_client(move || Ok(client.clone()))
    }

    /// Creates an opener of stores that calls `client` only when it opens a repository at a
    /// registry. An error in loading credentials therefore does not affect local places.
    pub fn with_client(client: impl Fn() -> Result<Client> + Send + Sync + 'static) -> Self {
        Self { client: Arc::new(client), default_tag: Tag::latest(), open: Arc::default() }
    }

    /// Sets the tag for a location at a registry if the location has no tag or digest. Default:
    /// `latest`.
    #[must_use]
    pub fn default_tag(mut self, tag: Tag) -> Self {
        self.default_tag = tag;
        self
    }

    /// Returns the tag for a location at a registry that has no tag or digest.
    pub(crate) fn tag_by_default(&self) -> &Tag {
        &self.default_tag
    }

    /// Opens a location for reading. If the location names an entry of a layout or `oci-archive`,
    /// every tag of the returned store resolves to this entry. For a reference to an image in a
    /// docker-archive, the store has only the tags of its repository.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such layout or archive;
    /// [`Invalid`](ErrorKind::Invalid) if it is damaged. Sends no request to a registry.
    pub async fn open(&self, location: &Location) -> Result<Arc<dyn Source>> {
        Ok(self.reader(location.place()).await?.source(location.name()))
    }

    /// Opens a location for reading, and determines its manifest: the manifest that the location
    /// names, or else the default tag at a registry, or the only image of a layout or archive.
    ///
    /// # Errors
    /// Same as [`open`](Self::open); [`NotFound`](ErrorKind::NotFound) if a docker-archive has no
    /// such image; [`Conflict`](ErrorKind::Conflict), with the names, if there are several images
    /// to choose from.
    pub async fn locate(&self, location: &Location) -> Result<Located> {
        let reader = self.reader(location.place()).await?;
        let selector = match location.selector() {
            Some(selector) => selector,
            None => match reader.find(location.name()).await? {
                Some(found) => found,
                None => self.default_tag.clone().into(),
            },
        };
        let names = match location.reference() {
            None => reader.names_of(&selector),
            Some(_) => Vec::new(),
        };
        Ok(Located { source: reader.source(location.name()), selector, names })
    }

    /// Lists the names of all images at a location. Entries of a layout may have names that are not
    /// tags. For a docker-archive, the names are only tags; see [`references`](Self::references).
    ///
    /// # Errors
    /// Same as [`open`](Self::open); any error of the listing.
    pub async fn names(&self, location: &Location) -> Result<Vec<ListedImage>> {
        self.reader(location.place()).await?.names(location.name()).await
    }

    /// Lists the tags of all images at a location. For an entry of a layout whose name is a
    /// reference, this is the tag in the reference.
    ///
    /// # Errors
    /// Same as [`names`](Self::names); [`Conflict`](ErrorKind::Conflict) if two entries have the
    /// same tag; [`Unsupported`](ErrorKind::Unsupported) if an entry has no tag.
    pub async fn tags(&self, location: &Location) -> Result<Vec<Tag>> {
        let tags = self.reader(location.place()).await?.tags(location.name()).await;
        tags.map_err(|e| e.at(location))
    }

    /// Lists the full names of all images in a docker-archive, in its order. Empty for other
    /// places.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub async fn references(&self, location: &Location) -> Result<Vec<Reference>> {
        Ok(self.reader(location.place()).await?.references())
    }

    /// Opens a location for writing, and creates the layout or archive if it does not exist. An
    /// archive appears when [`finish`](Target::finish) is called. If the location names an entry of
    /// a layout or `oci-archive`, the image gets this name, whatever tag it is written under. In a
    /// docker-archive, images are named after the repository in the location.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder cannot be written; [`Invalid`](ErrorKind::Invalid) if
    /// the path exists and has other content. Sends no request to a registry.
    pub async fn create(&self, location: &Location) -> Result<Arc<dyn Target>> {
        Ok(self.writer(location.place()).await?.target(location.name()))
    }

    /// Checks that the layout of a target can be created. Creates nothing, and checks no other
    /// places.
    ///
    /// # Errors
    /// Same as [`create`](Self::create).
    pub async fn check_target(&self, location: &Location) -> Result<()> {
        match location.place() {
            Place::Layout(path) => Layout::can_create(path).await,
            _ => Ok(()),
        }
    }

    /// Adds names to an image at its place, and returns its manifest. Names that point at another
    /// manifest are moved. With a guard, no name is set unless all names meet the guard.
    ///
    /// # Errors
    /// Same as [`locate`](Self::locate) and [`create`](Self::create); any error of either store;
    /// [`Conflict`](ErrorKind::Conflict) if a name does not meet the guard.
    pub async fn put_names(
        &self,
        location: &Location,
        names: &[ImageName],
        guard: Option<&TagGuard>,
    ) -> Result<NamedManifest> {
        let located = self.locate(location).await?;
        let manifest = located.source.manifest(&located.selector).await?;
        let writer = self.writer(location.place()).await?;
        let target = |name| {
            let named = if location.place().has_entries() { Some(name) } else { location.name() };
            writer.target(named)
        };
        let tagged: Vec<_> =
            names.iter().filter_map(|name| Some((target(name), name.tag()?))).collect();
        if let Some(guard) = guard {
            for (target, tag) in &tagged {
                target.check_tag(tag, guard).await?;
            }
        }
        let mut weakest = None;
        for (target, tag) in &tagged {
            let method = target.push_tagged(&manifest, tag, guard).await?;
            weakest = weakest.into_iter().chain(method).min();
        }
        writer.target(None).finish().await?;
        Ok(NamedManifest { manifest: manifest.descriptor().clone(), guard: weakest })
    }

    /// Opens a location to remove content from it.
    ///
    /// # Errors
    /// Same as [`open`](Self::open); [`Unsupported`](ErrorKind::Unsupported) for an archive.
    pub async fn open_to_delete(&self, location: &Location) -> Result<Arc<dyn Delete>> {
        let reader = self.reader(location.place()).await?;
        reader.delete(location.name()).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .at(location)
                .detail("an archive does not support the removal of content")
                .with_hint("Copy the images that you want to keep to a new archive.")
        })
    }

    async fn reader(&self, place: &Place) -> Result<Arc<dyn Reader>> {
        if let Some(reader) = self.opened(place)? {
            return Ok(reader);
        }
        let reader: Arc<dyn Reader> = match place {
            Place::Registry(repository) => Arc::new((self.client)()?.repository(repository)),
            Place::Layout(path) => Arc::new(Layout::open(path).await?),
            #[cfg(feature = "archive")]
            Place::OciArchive(path) => Arc::new(oci_archive::open(path).await?),
            #[cfg(feature = "archive")]
            Place::DockerArchive(path) => Arc::new(docker_archive::open(path).await?),
            #[cfg(not(feature = "archive"))]
            Place::OciArchive(_) | Place::DockerArchive(_) => return Err(without_archives(place)),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(open.entry(place.clone()).or_insert(reader)))
    }

    /// Returns the reader of a place that is already open.
    fn opened(&self, place: &Place) -> Result<Option<Arc<dyn Reader>>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = open.get(place) {
            return Ok(Some(Arc::clone(reader)));
        }
        if place.is_stream() && open.keys().any(Place::is_stream) {
            let reason = "standard input can be read only once";
            return Err(ParseError::new("location", "-", reason).into());
        }
        Ok(None)
    }

    /// Returns a writer of a place that is only queried. Creates no layout: if there is none, the
    /// writer is an empty store in memory. For an archive, a temporary folder exists beside it until
    /// the writer is dropped.
    pub(crate) async fn preview_writer(&self, place: &Place) -> Result<Arc<dyn Writer>> {
        match place {
            Place::Layout(path) => match Layout::open(path).await {
                Ok(layout) => Ok(Arc::new(layout)),
                // The transfer would create the layout.
                Err(_) => Layout::can_create(path).await.map(|()| Arc::new(Memory::new()) as _),
            },
            _ => self.writer(place).await,
        }
    }

    /// Returns the writer of a place. Each call for an archive starts a new version of the file,
    /// with its existing content.
    pub(crate) async fn writer(&self, place: &Place) -> Result<Arc<dyn Writer>> {
        Ok(match place {
            Place::Registry(repository) => Arc::new((self.client)()?.repository(repository)),
            Place::Layout(path) => Arc::new(Layout::create(path).await?),
            #[cfg(feature = "archive")]
            Place::OciArchive(path) => Arc::new(oci_archive::create(path).await?),
            #[cfg(feature = "archive")]
            Place::DockerArchive(path) => Arc::new(docker_archive::create(path).await?),
            #[cfg(not(feature = "archive"))]
            Place::OciArchive(_) | Place::DockerArchive(_) => return Err(without_archives(place)),
        })
    }
}

impl Located {
    /// Reads the manifest. If it is an index, reads its image for a platform. Default: the platform
    /// of this machine.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such manifest, or if the index has no image
    /// for the platform.
    pub async fn image(&self, platform: Option<&Platform>) -> Result<RawManifest> {
        let manifest = self.source.manifest(&self.selector).await?;
        let local = Platform::local();
        match platform {
            Some(platform) => select_image(&*self.source, manifest, platform).await,
            None if manifest.media_type().is_index() => {
                select_image(&*self.source, manifest, &local).await
            }
            None => Ok(manifest),
        }
    }
}

#[cfg(not(feature = "archive"))]
fn without_archives(place: &Place) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(place)
        .detail("this program was built without the feature `archive` of longshore")
}

/// A place that is open for reading. Finds its images by their names.
#[async_trait]
trait Reader: Send + Sync {
    /// Returns the images as a repository. A name restricts a layout to the entry of this name, and
    /// a docker-archive to the repository in the name.
    fn source(&self, name: Option<&ImageName>) -> Arc<dyn Source>;

    /// Returns the place as a store from which content can be removed, if the place supports
    /// removal.
    fn delete(&self, name: Option<&ImageName>) -> Option<Arc<dyn Delete>>;

    /// Finds the image of a location without a [selector](Location::selector): the image with this
    /// name, or the only image if there is no name. `None` means the default tag.
    async fn find(&self, name: Option<&ImageName>) -> Result<Option<TagOrDigest>>;

    /// Lists the tags of all images.
    async fn tags(&self, name: Option<&ImageName>) -> Result<Vec<Tag>> {
        self.source(name).tags(None).all().await
    }

    /// Lists the names of all images.
    async fn names(&self, name: Option<&ImageName>) -> Result<Vec<ListedImage>> {
        let tags = self.tags(name).await?;
        let listed = |tag| ListedImage { name: ImageName::Tag(tag), digest: None };
        Ok(tags.into_iter().map(listed).collect())
    }

    /// Lists the full names of all images, if the place has full names.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// Lists the full names of one image, if the place has full names.
    fn names_of(&self, _image: &TagOrDigest) -> Vec<Reference> {
        Vec::new()
    }
}

/// A place that is open for writing. An archive appears when one of its targets is finished.
pub(crate) trait Writer: Send + Sync {
    /// Returns the place as a repository. In a layout, a name becomes the name of the entry. In a
    /// docker-archive, the repository in the name becomes the repository of the images.
    fn target(&self, name: Option<&ImageName>) -> Arc<dyn Target>;
}

impl Writer for Memory {
    fn target(&self, _: Option<&ImageName>) -> Arc<dyn Target> {
        Arc::new(self.clone())
    }
}

impl Default for Stores {
    /// Uses a client with default settings and no credentials.
    fn default() -> Self {
        Self::new(Client::new())
    }
}

impl fmt::Debug for Stores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Stores").field("open", &open.keys()).finish_non_exhaustive()
    }
}
