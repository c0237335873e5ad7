//! Repositories in a folder: for one machine, for as long as its disk lasts.
//!
//! Owns the folder as a whole: its lock, what is shared between repositories, and what a start
//! finds of the process before. `place` says where things lie; the other modules write them.
//!
//! Content shows under its name only when it is whole, verified and synced, so whatever a killed
//! process leaves is either complete or removed at the next start.

mod blobs;
mod listing;
mod locks;
mod manifests;
mod measure;
mod place;
mod repository;
mod turns;
mod uploads;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use longshore_core::{
    Error, ErrorKind, Page, PageToken, Pages, RepositoryName, Result, Tag, blob_file, offload,
};

use self::blobs::Blobs;
use self::listing::Listing;
use self::manifests::Files;
use self::place::Place;
use self::repository::DiskRepository;
use self::turns::Turns;
use self::uploads::UploadFile;
use super::session::Sessions;
use super::space::Space;
use super::{Backend, RepositoryStore, Usage};

/// Repositories in a folder. Clones share it.
///
/// A blob that several repositories have is one file with several names, where the file system has
/// hard links. Blobs are checked against their digest when they come, and once more by each process
/// before it serves them whole; a part of a blob is served unchecked, as it cannot be checked.
#[derive(Clone)]
pub struct Disk(Arc<Shared>);

struct Shared {
    place: Place,
    blobs: Blobs,
    files: Files,
    space: Space,
    sessions: Sessions<UploadFile>,
    turns: Turns,
    names: Listing<RepositoryName>,
    tags: Mutex<HashMap<RepositoryName, Arc<Listing<Tag>>>>,
    /// Held as long as anyone uses the folder.
    _lock: File,
}

impl Disk {
    /// Opens a folder, made if need be, and takes up the uploads that were left in it.
    ///
    /// Blocks while it looks through them; content is not read.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another process has it open; [`Io`](ErrorKind::Io) if
    /// it cannot be made or read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        Self::open_with(root.into(), Space::new(None))
    }

    /// The same, for at most so many bytes: blobs (each once, however many repositories have it),
    /// manifests with what lists them, and uploads. A write beyond that is refused. What is there
    /// already is counted now, and may be more.
    ///
    /// Blocks while it looks at the size of every file. Where the system does not tell how many
    /// names a file has (other than on Unix), what is deleted counts until the next start.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_limited(root: impl Into<PathBuf>, bytes: u64) -> Result<Self> {
        Self::open_with(root.into(), Space::new(Some(bytes)))
    }

    fn open_with(root: PathBuf, space: Space) -> Result<Self> {
        let place = Place::new(root);
        blob_file::create_folder(place.root())?;
        let lock = lock(&place)?;
        blob_file::create_folder(&place.repositories())?;
        let sessions = Sessions::new(space.clone());
        uploads::restore(&place, &sessions)?;
        if space.is_counted() {
            space.found(measure::measure(&place)?);
        }
        Ok(Self(Arc::new(Shared {
            blobs: Blobs::new(place.clone(), space.clone()),
            files: Files::new(place.clone(), space.clone()),
            place,
            space,
            sessions,
            turns: Turns::new(),
            names: Listing::default(),
            tags: Mutex::default(),
            _lock: lock,
        })))
    }
}

fn lock(place: &Place) -> Result<File> {
    let path = place.lock();
    let at = |e| Error::io(&path, e);
    let file = File::create(&path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Conflict)
            .at(place.root().display())
            .detail("another registry serves this folder")),
        Err(std::fs::TryLockError::Error(e)) => Err(at(e)),
    }
}

impl Shared {
    /// The listing of a repository's tags.
    fn tags(&self, name: &RepositoryName) -> Arc<Listing<Tag>> {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tags.entry(name.clone()).or_default())
    }

    /// Notes that a repository's tags are others now. A repository that nobody listed has nothing
    /// to forget, and unknown names leave nothing behind.
    fn tags_changed(&self, name: &RepositoryName) {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listing) = tags.get(name) {
            listing.changed();
        }
    }

    fn repositories(
        &self,
        token: Option<&PageToken>,
        after: Option<&RepositoryName>,
    ) -> Result<Page<RepositoryName>> {
        self.names.page(token, after, || manifests::repositories(&self.place))
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Disk({})", self.0.place.root().display())
    }
}

#[async_trait]
impl Backend for Disk {
    fn repository(&self, name: &RepositoryName) -> Arc<dyn RepositoryStore> {
        Arc::new(DiskRepository::new(name.clone(), Arc::clone(&self.0)))
    }

    fn repositories(&self, after: Option<&RepositoryName>) -> Pages<RepositoryName> {
        let (shared, after) = (Arc::clone(&self.0), after.cloned());
        Pages::new(move |token| {
            let (shared, after) = (Arc::clone(&shared), after.clone());
            offload(move || shared.repositories(token.as_ref(), after.as_ref()))
        })
    }

    async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        let expired = self.0.sessions.expire(idle);
        offload(move || {
            let count = expired.len();
            for (_, mut writing) in expired {
                writing.store.remove()?;
            }
            Ok(count)
        })
        .await
    }

    fn usage(&self) -> Usage {
        Usage { uploads: Some(self.0.sessions.count()), stored: self.0.space.used() }
    }
}
