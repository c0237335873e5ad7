//! The repositories of a registry, made of a storage's objects.
//!
//! Owns what tags, manifests, referrers, links to blobs and upload sessions are, the same for every
//! storage, and the locks that keep them together. The handlers use it; it knows no HTTP.

mod blobs;
mod listing;
mod manifests;
mod objects;
mod repository;
mod session;
mod space;
mod upload;

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use longshore_core::{Error, ErrorKind, Pages, RepositoryName, Result, Tag};
use tokio::runtime::Handle;
use tokio::sync::RwLock;

pub use self::repository::Repository;
pub use self::upload::Chunk;

use self::blobs::Blobs;
use self::listing::Listing;
use self::objects::Objects;
use self::session::Sessions;
use self::space::Space;
use crate::locks::Locks;
use crate::storage::Storage;

/// All repositories of a registry, in a [`Storage`]. Clones share everything.
///
/// A blob is stored once, however many repositories have it, and goes when the last one drops it.
#[derive(Clone)]
pub struct Repositories(Arc<Shared>);

struct Shared {
    objects: Objects,
    blobs: Blobs,
    sessions: Sessions,
    /// Manifests of a repository come in side by side, and go alone: between a manifest and its
    /// tag, the manifest must stay.
    turns: Locks<RwLock<()>>,
    names: Listing<RepositoryName>,
    tags: Mutex<HashMap<RepositoryName, Arc<Listing<Tag>>>>,
}

/// How much there is just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Uploads that were begun and have not ended.
    pub uploads: usize,
    /// Bytes of blobs (each once, however many repositories have it), manifests, tags and uploads,
    /// where they are counted.
    pub stored: Option<u64>,
}

impl Repositories {
    /// Repositories in a storage, without a limit and without a count.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self::with(storage, Space::new(None))
    }

    /// The same, for at most so many bytes: blobs (each once), manifests, tags and uploads. A write
    /// beyond that is refused. What is there already counts, and may be more.
    ///
    /// May block while the storage looks how much there is.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the [storage](Storage::stored) cannot tell how
    /// much it has; the storage's.
    pub fn limited(storage: Arc<dyn Storage>, bytes: u64) -> Result<Self> {
        let Some(stored) = storage.stored()? else {
            let problem = "the storage cannot tell how much it has, so it takes no limit";
            return Err(Error::new(ErrorKind::Unsupported).detail(problem));
        };
        let space = Space::new(Some(bytes));
        space.found(stored);
        Ok(Self::with(storage, space))
    }

    fn with(storage: Arc<dyn Storage>, space: Space) -> Self {
        Self(Arc::new(Shared {
            objects: Objects::new(storage, space),
            blobs: Blobs::new(),
            sessions: Sessions::new(),
            turns: Locks::new(),
            names: Listing::default(),
            tags: Mutex::default(),
        }))
    }

    /// A handle on a repository, whether or not it exists: one comes to be with its first content.
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository::new(name.clone(), Arc::clone(&self.0))
    }

    /// The repositories that have content, ordered by name; only those after `after`. Those that
    /// had content may be among them.
    #[must_use]
    pub fn names(&self, after: Option<&RepositoryName>) -> Pages<RepositoryName> {
        let (shared, after) = (Arc::clone(&self.0), after.cloned());
        Pages::new(move |token| {
            let (shared, after) = (Arc::clone(&shared), after.clone());
            async move {
                let scan = shared.scan_names();
                shared.names.page(token.as_ref(), after.as_ref(), scan).await
            }
        })
    }

    /// Drops the uploads that nothing was written to for as long as `idle`; returns how many. Those
    /// that an earlier process left begin to be idle with the first call.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if what they left behind cannot be removed.
    pub async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        self.0.expire_uploads(idle).await
    }

    /// How much there is just now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let Shared { sessions, objects, .. } = &*self.0;
        Usage { uploads: sessions.count(), stored: objects.space.used() }
    }
}

impl Shared {
    /// The listing of a repository's tags.
    fn tags(&self, name: &RepositoryName) -> Arc<Listing<Tag>> {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tags.entry(name.clone()).or_default())
    }

    /// The same, if anyone ever asked for it: one that nobody listed has nothing to forget, and
    /// unknown names leave nothing behind.
    fn listed_tags(&self, name: &RepositoryName) -> Option<Arc<Listing<Tag>>> {
        let tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        tags.get(name).map(Arc::clone)
    }
}

impl fmt::Debug for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repositories({:?})", self.0.objects.storage)
    }
}

/// Work that goes on when whoever waits for it goes away: nothing stops between two writes that belong
/// together, and no lock is let go before what it protects is done.
struct ToItsEnd<T: Send + 'static>(Option<BoxFuture<'static, T>>);

fn to_its_end<T: Send>(work: impl Future<Output = T> + Send + 'static) -> ToItsEnd<T> {
    ToItsEnd(Some(work.boxed()))
}

impl<T: Send + 'static> Future for ToItsEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = ready!(work.poll_unpin(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for ToItsEnd<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

/// Asks a storage about many things, some of them at once. The answers come in the order asked.
async fn ask_all<A, B, F>(about: Vec<A>, ask: impl Fn(A) -> F) -> Result<Vec<B>>
where
    F: Future<Output = Result<B>>,
{
    stream::iter(about.into_iter().map(ask)).buffered(REQUESTS).try_collect().await
}

/// 16 small requests at once: an object store takes tens of milliseconds for each.
const REQUESTS: usize = 16;
