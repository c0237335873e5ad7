//! The repositories of a registry, stored as objects.
//!
//! Owns the structure of tags, manifests, referrers, links to blobs and upload sessions, which is
//! the same for every storage, and the locks that keep them consistent. The handlers use this
//! module, which contains no HTTP.

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
/// A blob is stored once, even if several repositories have it, and is removed with its last link.
#[derive(Clone)]
pub struct Repositories(Arc<Shared>);

struct Shared {
    objects: Objects,
    blobs: Blobs,
    sessions: Sessions,
    /// Manifests of a repository are written in parallel, but none is written during a removal.
    /// Otherwise, a manifest could be removed before its tag is written.
    turns: Locks<RwLock<()>>,
    names: Listing<RepositoryName>,
    tags: Mutex<HashMap<RepositoryName, Arc<Listing<Tag>>>>,
}

/// The current usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The number of open uploads.
    pub uploads: usize,
    /// The size of blobs (each once, even if several repositories have it), manifests, tags and
    /// uploads in bytes, or `None` if sizes are not counted.
    pub stored: Option<u64>,
}

impl Repositories {
    /// Opens the repositories of a storage, without counting or limiting their size.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self::with(storage, Space::new(None))
    }

    /// Opens the repositories of a storage, limited to `bytes` for blobs (each once), manifests,
    /// tags and uploads. Writes beyond the limit are refused. Existing content counts, and may
    /// exceed the limit.
    ///
    /// May block while the storage measures its content.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the [storage](Storage::stored) does not report
    /// its size, and errors of the storage.
    pub fn limited(storage: Arc<dyn Storage>, bytes: u64) -> Result<Self> {
        let Some(stored) = storage.stored()? else {
            let problem = "the storage does not report its size, so it cannot be limited";
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

    /// Returns a handle to a repository, which need not exist: its first content creates it.
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository::new(name.clone(), Arc::clone(&self.0))
    }

    /// Lists the repositories that have content, ordered by name, starting after `after`. The list
    /// may include repositories that no longer have content.
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

    /// Removes the uploads that received no bytes for the time `idle`, and returns their number.
    /// For an upload of an earlier process, the idle time starts with the first call, or with an
    /// earlier request for the upload.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the data of an upload cannot be removed.
    pub async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        self.0.expire_uploads(idle).await
    }

    /// Returns the current usage.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let Shared { sessions, objects, .. } = &*self.0;
        Usage { uploads: sessions.count(), stored: objects.space.used() }
    }
}

impl Shared {
    /// Returns the listing of a repository's tags. If many are cached, those that no request uses
    /// are dropped first.
    fn tags(&self, name: &RepositoryName) -> Arc<Listing<Tag>> {
        let mut tags = self.tags.lock().unwrap_or_else(PoisonError::into_inner);
        if tags.len() >= LISTINGS && !tags.contains_key(name) {
            tags.retain(|_, listing| Arc::strong_count(listing) > 1);
        }
        Arc::clone(tags.entry(name.clone()).or_default())
    }

    /// Returns the existing listing of a repository's tags, if any. Creates no listing, so that
    /// unknown names take no memory.
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

/// A future that runs to completion even if its caller is canceled. Writes that belong together are
/// therefore completed, and a lock is held until the work that it protects is done.
struct RunToCompletion<T: Send + 'static>(Option<BoxFuture<'static, T>>);

fn run_to_completion<T: Send>(
    work: impl Future<Output = T> + Send + 'static,
) -> RunToCompletion<T> {
    RunToCompletion(Some(work.boxed()))
}

impl<T: Send + 'static> Future for RunToCompletion<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Some(work) = &mut self.0 else { return Poll::Pending };
        let done = ready!(work.poll_unpin(cx));
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for RunToCompletion<T> {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

/// Runs a query for each item, several in parallel. Returns the results in order.
async fn query_all<A, B, F>(items: Vec<A>, query: impl Fn(A) -> F) -> Result<Vec<B>>
where
    F: Future<Output = Result<B>>,
{
    stream::iter(items.into_iter().map(query)).buffered(REQUESTS).try_collect().await
}

/// 1,000 listings of tags: at this number, unused listings are dropped.
const LISTINGS: usize = 1_000;

/// 16 small requests in parallel: an object store takes tens of milliseconds for each.
const REQUESTS: usize = 16;
