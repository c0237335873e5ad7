//! What every command works with: the client, the output, and locations made into stores.

mod destination;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use longshore::{
    Client, ClientBuilder, CredentialStore, Credentials, Delete, Descriptor, Digest, DockerConfig,
    Environment, Error, ErrorKind, Layout, ParseError, Platform, RawManifest, Reference,
    RemoteRepository, Result, Source, Tag, TagOrDigest, Target, layout_listing,
};
pub(crate) use longshore_image::{Append, FolderArchive, Limits, measure, unpack, unpack_folder};
use longshore_image::{DockerArchive, DockerArchiveWriter, OciArchive, OciArchiveWriter};

pub(crate) use destination::Destination;
use destination::Local;

use crate::global::Global;
use crate::input;
use crate::location::Location;
use crate::output::{self, Output};
use crate::progress::Style;

/// What every command works with.
pub(crate) struct Context {
    global: Global,
    /// Made when a registry is first asked for: what is local needs no credentials.
    client: OnceLock<Client>,
    /// The archives that were opened, by their files: pipes come once, and unpacking takes long.
    archives: Mutex<HashMap<PathBuf, Opened>>,
    /// Whether an archive goes to standard output, and results to stderr therefore.
    stdout: AtomicBool,
}

impl Context {
    pub(crate) fn new(global: Global) -> Self {
        let (client, archives, stdout) = Default::default();
        Self { global, client, archives, stdout }
    }

    /// The client, with the stored credentials.
    pub(crate) fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self.builder()?.credentials(self.credentials()?).build();
        Ok(self.client.get_or_init(|| client))
    }

    /// A client with other credentials, and everything else the same.
    pub(crate) fn client_with(
        &self,
        credentials: impl CredentialStore + 'static,
    ) -> Result<Client> {
        Ok(self.builder()?.credentials(credentials).build())
    }

    /// A client's settings, from the command line.
    fn builder(&self) -> Result<ClientBuilder> {
        Ok(self.global.authentication.apply(self.global.network.builder()?))
    }

    pub(crate) fn output(&self) -> Output {
        let output = Output::new(self.global.json);
        if self.stdout.load(Ordering::Relaxed) { output.aside() } else { output }
    }

    /// Whether results are printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.global.json
    }

    /// Whether as little as possible is to be said.
    pub(crate) fn is_quiet(&self) -> bool {
        self.global.quiet
    }

    pub(crate) fn style(&self) -> Style {
        self.global.style()
    }

    /// The file that logging in writes.
    pub(crate) fn config(&self) -> Result<DockerConfig> {
        match self.auth_file() {
            Some(file) => DockerConfig::load_from(file),
            None => DockerConfig::from_environment(&self.environment()),
        }
    }

    /// All places where people keep credentials, or the one file that was named.
    pub(crate) fn credentials(&self) -> Result<Credentials> {
        let environment = self.environment();
        match self.auth_file() {
            Some(file) => Ok(Credentials::from_file(file, &environment)),
            None => {
                // A damaged file is told before anything is sent, whatever the registry asks for.
                self.config()?;
                Credentials::from_environment(&environment)
            }
        }
    }

    fn auth_file(&self) -> Option<&Path> {
        self.global.authentication.auth_file.as_ref()?.0.as_deref()
    }

    fn environment(&self) -> Environment {
        let environment = Environment::of_process();
        match self.global.authentication.config.as_ref().and_then(|given| given.0.as_ref()) {
            Some(folder) => environment.with("DOCKER_CONFIG", folder),
            None => environment,
        }
    }

    /// Opens a location for reading.
    pub(crate) async fn open(&self, location: &Location) -> Result<Arc<dyn Source>> {
        self.opened(location).await.map(Opened::source)
    }

    /// Opens a location for reading, and settles which manifest of it is meant: the one in its
    /// text, else the only one there.
    pub(crate) async fn named(&self, location: &Location) -> Result<Named> {
        let opened = self.opened(location).await?;
        let selector = match (location.selector(), &opened) {
            (Some(selector), _) => selector,
            (None, Opened::Layout(layout)) => layout.only_manifest().await?,
            (None, Opened::OciArchive(archive)) => archive.only_manifest()?,
            (None, Opened::DockerArchive(archive)) => {
                match (location.reference(), location.place()) {
                    (Some(reference), _) => archive.selector(reference)?,
                    (None, Some(place)) => archive.image_at(place)?,
                    (None, None) => archive.only_image()?,
                }
            }
            (None, Opened::Registry(_)) => Tag::latest().into(),
        };
        let names = match (&opened, location.reference()) {
            (Opened::DockerArchive(archive), None) => names_of(archive, &selector),
            _ => Vec::new(),
        };
        Ok(Named { source: opened.source(), selector, names })
    }

    /// Opens a location for reading, with all of its tags. Names of a layout that are references give
    /// theirs, if no two give the same.
    pub(crate) async fn tagged(&self, location: &Location) -> Result<(Arc<dyn Source>, Names)> {
        let opened = self.opened(location).await?;
        let entries = opened.entries().await?;
        let source = opened.source();
        let tags = match entries {
            Some(entries) => {
                let tags = layout_listing::distinct_tags(&entries).map_err(|e| {
                    e.at(location).with_hint("Copy each by its whole name to a separate tag.")
                })?;
                tags.into_keys().collect()
            }
            None => source.tags(None).all().await?,
        };
        Ok((source, Names { tags, whole: Vec::new() }))
    }

    /// Opens a location for reading, with all of its names as they are.
    pub(crate) async fn whole_names(
        &self,
        location: &Location,
    ) -> Result<(Arc<dyn Source>, Names)> {
        let opened = self.opened(location).await?;
        let Some(entries) = opened.entries().await? else {
            return self.tagged(location).await;
        };
        let mut names = Names::default();
        for (name, entry) in layout_listing::names(&entries) {
            match Tag::parse(name) {
                Ok(tag) => names.tags.push(tag),
                Err(_) => names.whole.push((name.to_owned(), entry.digest.clone())),
            }
        }
        Ok((opened.source(), names))
    }

    /// The entries of a layout's index; `None` of a location that has none.
    pub(crate) async fn entries(&self, location: &Location) -> Result<Option<Vec<Descriptor>>> {
        match location {
            Location::Layout { .. } | Location::OciArchive { .. } => {
                self.opened(location).await?.entries().await
            }
            Location::Registry(_) | Location::DockerArchive { .. } => Ok(None),
        }
    }

    /// Refuses a target that could not be made, before anything is fetched for it.
    pub(crate) async fn check_target(&self, location: &Location) -> Result<()> {
        match location {
            Location::Layout { path, .. } => Layout::can_create(path).await,
            _ => Ok(()),
        }
    }

    /// The names of all images of a docker-archive, in its order.
    pub(crate) async fn names_in(&self, location: &Location) -> Result<Vec<Reference>> {
        match self.opened(location).await? {
            Opened::DockerArchive(archive) => Ok(archive.references().cloned().collect()),
            _ => Ok(Vec::new()),
        }
    }

    /// An archive. It is read at first, and after that is at hand.
    async fn archive(&self, location: &Location, path: &Path) -> Result<Opened> {
        let known = || self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        let there = known().get(path).cloned();
        let opened = match (location, there) {
            (Location::OciArchive { .. }, Some(Opened::OciArchive(archive))) => {
                Opened::OciArchive(archive)
            }
            (Location::DockerArchive { .. }, Some(Opened::DockerArchive(archive))) => {
                Opened::DockerArchive(archive)
            }
            (_, Some(_)) if location.is_stream() => {
                return Err(ParseError::new(
                    "location",
                    "-",
                    "standard input can be read only once",
                )
                .into());
            }
            (Location::OciArchive { .. }, _) => Opened::OciArchive(match location.is_stream() {
                true => OciArchive::read(input::stream()?).await?,
                false => OciArchive::open(path).await?,
            }),
            _ => Opened::DockerArchive(match location.is_stream() {
                true => DockerArchive::read(input::stream()?).await?,
                false => DockerArchive::open(path).await?,
            }),
        };
        known().insert(path.to_owned(), opened.clone());
        Ok(opened.of(location))
    }

    /// Standard output for an archive; results go to stderr from now on.
    fn stdout(&self) -> Result<impl std::io::Write + Send + 'static + use<>> {
        let stream = output::stream()?;
        self.stdout.store(true, Ordering::Relaxed);
        Ok(stream)
    }

    async fn opened(&self, location: &Location) -> Result<Opened> {
        Ok(match location {
            Location::Registry(reference) => {
                Opened::Registry(self.client()?.repository(reference.repository()))
            }
            Location::Layout { path, .. } => {
                Opened::Layout(layout(location, Layout::open(path).await?))
            }
            Location::OciArchive { path, .. } | Location::DockerArchive { path, .. } => {
                self.archive(location, path).await?
            }
        })
    }

    /// Opens a location for writing, making it where it is not there.
    pub(crate) async fn target(&self, location: &Location) -> Result<Destination> {
        Ok(match location {
            Location::Registry(reference) => {
                Destination::of(Arc::new(self.client()?.repository(reference.repository())))
            }
            Location::Layout { path, .. } => {
                let layout = Arc::new(layout(location, Layout::create(path).await?));
                let store: Arc<dyn Target> = Arc::<Layout>::clone(&layout);
                Destination { store, local: Some(Local::Layout(layout)) }
            }
            Location::OciArchive { path, .. } => {
                let writer = match location.is_stream() {
                    true => OciArchiveWriter::stream(self.stdout()?).await?,
                    false => OciArchiveWriter::create(path).await?,
                };
                let writer = Arc::new(match location.entry_name() {
                    Some(name) => writer.under(name),
                    None => writer,
                });
                let store: Arc<dyn Target> = Arc::<OciArchiveWriter>::clone(&writer);
                Destination { store, local: Some(Local::OciArchive(writer)) }
            }
            Location::DockerArchive { path, .. } => {
                let repository = location.reference().map(|r| r.repository().clone());
                let writer = match location.is_stream() {
                    true => DockerArchiveWriter::stream(self.stdout()?, repository).await?,
                    false => DockerArchiveWriter::create(path, repository).await?,
                };
                let writer = Arc::new(writer);
                let store: Arc<dyn Target> = Arc::<DockerArchiveWriter>::clone(&writer);
                Destination { store, local: Some(Local::DockerArchive(writer)) }
            }
        })
    }

    /// Opens a location that things are to be removed from.
    pub(crate) async fn deletable(&self, location: &Location) -> Result<Arc<dyn Delete>> {
        match location {
            Location::Registry(reference) => {
                Ok(Arc::new(self.client()?.repository(reference.repository())))
            }
            Location::Layout { path, .. } => {
                Ok(Arc::new(layout(location, Layout::open(path).await?)))
            }
            Location::OciArchive { .. } | Location::DockerArchive { .. } => {
                Err(Error::new(ErrorKind::Unsupported)
                    .at(location)
                    .detail("nothing can be removed from an archive")
                    .with_hint("Copy the content to keep into a new archive."))
            }
        }
    }
}

/// The layout, for the entry that the location names.
fn layout(location: &Location, layout: Layout) -> Layout {
    match location.entry_name() {
        Some(name) => layout.under(name),
        None => layout,
    }
}

/// The names of an image of a docker-archive, each once.
fn names_of(archive: &DockerArchive, selector: &TagOrDigest) -> Vec<Reference> {
    let images = archive.images().filter(|(image, _)| image == selector);
    let mut names: Vec<Reference> = images.flat_map(|(_, names)| names).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// A location, opened once: archives may be pipes, and unpacking them may take long.
#[derive(Clone)]
enum Opened {
    Registry(RemoteRepository),
    Layout(Layout),
    OciArchive(OciArchive),
    DockerArchive(DockerArchive),
}

impl Opened {
    /// An archive, for what the location names of it.
    fn of(self, location: &Location) -> Self {
        match (self, location.entry_name(), location.reference()) {
            (Self::OciArchive(archive), Some(name), _) => Self::OciArchive(archive.under(name)),
            (Self::DockerArchive(archive), _, Some(reference)) => {
                Self::DockerArchive(archive.within(reference.repository().clone()))
            }
            (other, ..) => other,
        }
    }

    async fn entries(&self) -> Result<Option<Vec<Descriptor>>> {
        match self {
            Self::Layout(layout) => layout.entries().await.map(Some),
            Self::OciArchive(archive) => Ok(Some(archive.entries().to_vec())),
            Self::Registry(_) | Self::DockerArchive(_) => Ok(None),
        }
    }

    fn source(self) -> Arc<dyn Source> {
        match self {
            Self::Registry(repository) => Arc::new(repository),
            Self::Layout(layout) => Arc::new(layout),
            Self::OciArchive(archive) => Arc::new(archive),
            Self::DockerArchive(archive) => Arc::new(archive),
        }
    }
}

/// The names of all images of a store.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) tags: Vec<Tag>,
    /// Those that are no tags, and their images.
    pub(crate) whole: Vec<(String, Digest)>,
}

/// A store, and which of its manifests is meant.
pub(crate) struct Named {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) selector: TagOrDigest,
    /// Its names in a docker-archive, where it was not chosen by one.
    pub(crate) names: Vec<Reference>,
}

impl Named {
    /// The manifest itself; of an index, its image for a platform, this machine's if none is given.
    pub(crate) async fn image(&self, platform: Option<&Platform>) -> Result<RawManifest> {
        let manifest = self.source.manifest(&self.selector).await?;
        let local = Platform::local();
        match platform {
            Some(platform) => longshore::image_for(&*self.source, manifest, platform).await,
            None if manifest.media_type().is_index() => {
                longshore::image_for(&*self.source, manifest, &local).await
            }
            None => Ok(manifest),
        }
    }
}
