//! Stores of all kinds, opened by their locations.
//!
//! Each kind of place has a file, which reads it as a [`Reader`] and writes it as a [`Writer`]. The two
//! matches over [`Place`] here are all that knows every kind.

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
    Delete, Descriptor, Digest, Error, ErrorKind, Layout, ParseError, Platform, RawManifest,
    Reference, Result, Source, Tag, TagOrDigest, Target, select_image,
};

use crate::client::Client;
use crate::location::{ImageName, Location, Place};

/// Opens the stores that locations lead to.
///
/// A place is opened for reading once and kept: an archive is indexed when it is opened, and standard
/// input can be read only once. So keep a value of this type for one piece of work, not for the life of
/// a program. Clones share what is open.
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

/// A store, and the manifest in it that a location means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Located {
    /// The store.
    pub source: Arc<dyn Source>,
    /// The manifest.
    pub selector: TagOrDigest,
    /// The names of an image in a docker-archive that was not chosen by name; empty otherwise.
    pub names: Vec<Reference>,
}

/// The name of an image in a store, and what it points at, if the store knows that without a request.
pub type Named = (ImageName, Option<Digest>);

impl Stores {
    /// Opens repositories at registries by this client.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::with_client(move || Ok(client.clone()))
    }

    /// Makes the client when a repository at a registry is first opened: what is local needs no
    /// credentials, so an error in loading them does not matter to it.
    pub fn with_client(client: impl Fn() -> Result<Client> + Send + Sync + 'static) -> Self {
        Self { client: Arc::new(client), default_tag: Tag::latest(), open: Arc::default() }
    }

    /// Sets the tag of an image at a registry whose location has neither tag nor digest. It is `latest`
    /// unless set.
    #[must_use]
    pub fn default_tag(mut self, tag: Tag) -> Self {
        self.default_tag = tag;
        self
    }

    /// Opens a location for reading. An entry of a layout or archive by its name is the only one there:
    /// every tag stands for it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such layout or archive;
    /// [`Invalid`](ErrorKind::Invalid) if it is damaged. A registry is not asked yet.
    pub async fn open(&self, location: &Location) -> Result<Arc<dyn Source>> {
        Ok(self.reader(location.place()).await?.source(location.name()))
    }

    /// Opens a location for reading, and settles which manifest of it is meant: the one that the
    /// location names, else the default tag at a registry, and the only image elsewhere.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`NotFound`](ErrorKind::NotFound) if a docker-archive has no such image;
    /// [`Conflict`](ErrorKind::Conflict) with the names to choose from if there are several.
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

    /// Lists the names of all images at a location, as they are: entries of a layout need not be tags.
    ///
    /// # Errors
    /// As [`open`](Self::open); those of the listing.
    pub async fn names(&self, location: &Location) -> Result<Vec<Named>> {
        self.reader(location.place()).await?.names(location.name()).await
    }

    /// Lists the tags of all images at a location. An entry of a layout that is a reference has its
    /// tag.
    ///
    /// # Errors
    /// As [`names`](Self::names); [`Conflict`](ErrorKind::Conflict) if two entries have the same tag;
    /// [`Unsupported`](ErrorKind::Unsupported) if one has none.
    pub async fn tags(&self, location: &Location) -> Result<Vec<Tag>> {
        let tags = self.reader(location.place()).await?.tags(location.name()).await;
        tags.map_err(|e| e.at(location))
    }

    /// Lists the whole names of all images in a docker-archive, in its order. Empty for other places.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn references(&self, location: &Location) -> Result<Vec<Reference>> {
        Ok(self.reader(location.place()).await?.references())
    }

    /// Opens a location for writing, and makes a layout or archive that does not exist. An archive
    /// appears when [`finish`](Target::finish) is called. What is written to a layout or archive under
    /// any tag gets the name in the location, if it has one.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder cannot be written; [`Invalid`](ErrorKind::Invalid) if
    /// something else is there. A registry is not asked yet.
    pub async fn create(&self, location: &Location) -> Result<Arc<dyn Target>> {
        Ok(self.writer(location.place()).await?.target(location.name()))
    }

    /// Checks that a target could be made, and makes nothing.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn check_target(&self, location: &Location) -> Result<()> {
        match location.place() {
            Place::Layout(path) => Layout::can_create(path).await,
            _ => Ok(()),
        }
    }

    /// Gives an image more names at its place, and returns its manifest's descriptor. Names that point
    /// elsewhere are moved.
    ///
    /// # Errors
    /// As [`locate`](Self::locate) and [`create`](Self::create); those of either store.
    pub async fn put_names(&self, location: &Location, names: &[ImageName]) -> Result<Descriptor> {
        let located = self.locate(location).await?;
        let manifest = located.source.manifest(&located.selector).await?;
        let writer = self.writer(location.place()).await?;
        for name in names {
            let named = if location.place().has_entries() { Some(name) } else { location.name() };
            let tag = name.tag();
            writer.target(named).push_manifest(&manifest, tag.as_ref()).await?;
        }
        writer.target(None).finish().await?;
        Ok(manifest.descriptor().clone())
    }

    /// Opens a location to remove content from it.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Unsupported`](ErrorKind::Unsupported) for an archive.
    pub async fn open_to_delete(&self, location: &Location) -> Result<Arc<dyn Delete>> {
        let reader = self.reader(location.place()).await?;
        reader.delete(location.name()).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .at(location)
                .detail("nothing can be removed from an archive")
                .with_hint("Copy the content to keep into a new archive.")
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

    /// The reader of a place that is open.
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

    /// A place to write to; every call for an archive begins it anew.
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
    /// Reads the manifest; of an index, its image for a platform, or for this machine's if none is
    /// given.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such manifest, or the index has no image for the
    /// platform.
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

/// A place that is read: its images by their names.
#[async_trait]
trait Reader: Send + Sync {
    /// Shows the images as a repository; with a name, those that have it.
    fn source(&self, name: Option<&ImageName>) -> Arc<dyn Source>;

    /// Shows the place as one that content is removed from, if that can be done.
    fn delete(&self, name: Option<&ImageName>) -> Option<Arc<dyn Delete>>;

    /// Finds the image of a name that is not a tag, or the only image if there is no name. `None` where
    /// the default tag is meant.
    async fn find(&self, name: Option<&ImageName>) -> Result<Option<TagOrDigest>>;

    /// Lists the tags of all images.
    async fn tags(&self, name: Option<&ImageName>) -> Result<Vec<Tag>> {
        self.source(name).tags(None).all().await
    }

    /// Lists the names of all images.
    async fn names(&self, name: Option<&ImageName>) -> Result<Vec<Named>> {
        let tags = self.tags(name).await?;
        Ok(tags.into_iter().map(|tag| (ImageName::Tag(tag), None)).collect())
    }

    /// Lists the whole names of all images, where they have such names.
    fn references(&self) -> Vec<Reference> {
        Vec::new()
    }

    /// Lists the whole names of one image, where it has such names.
    fn names_of(&self, _image: &TagOrDigest) -> Vec<Reference> {
        Vec::new()
    }
}

/// A place that is written. An archive appears when one of its targets is finished.
pub(crate) trait Writer: Send + Sync {
    /// Shows the place as a repository whose images get this name.
    fn target(&self, name: Option<&ImageName>) -> Arc<dyn Target>;
}

impl Default for Stores {
    /// Opens repositories by a client with default settings and no credentials.
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
