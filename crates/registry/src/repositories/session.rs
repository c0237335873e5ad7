//! Upload sessions of this process.
//!
//! Owns which uploads are open, whose they are, how far they got, and that only one request at a
//! time adds to one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_core::{Digest, Digester, Error, ErrorKind, RepositoryName, Result};
use tokio::sync::OwnedMutexGuard;

use super::space::Held;
use crate::storage::{Checkpoint, UploadId, Version};

/// The open sessions.
pub(super) struct Sessions {
    open: Mutex<HashMap<UploadId, Arc<Session>>>,
    limit: usize,
    taking_up: tokio::sync::Mutex<()>,
}

/// One open upload.
pub(super) struct Session {
    repository: RepositoryName,
    /// How far it got, to be read while a request is writing.
    size: AtomicU64,
    touched: Mutex<Instant>,
    progress: Arc<tokio::sync::Mutex<Progress>>,
}

/// The right to write to an upload.
pub(super) type Writing = OwnedMutexGuard<Progress>;

/// What counts of an upload. It changes when a request has ended well, or broke off in a way that
/// leaves its bytes good.
pub(super) struct Progress {
    pub(super) checkpoint: Checkpoint,
    /// Of the bytes up to the checkpoint.
    pub(super) digester: Digester,
    /// The room that its bytes take, those of a request that is writing included.
    pub(super) held: Held,
    /// The session as it was stored last.
    pub(super) record: Option<Version>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), limit: OPEN_LIMIT, taking_up: tokio::sync::Mutex::default() }
    }

    /// Opens a session, if there are not too many.
    pub(super) fn begin(
        &self,
        id: UploadId,
        repository: RepositoryName,
        progress: Progress,
    ) -> Result<()> {
        if self.count() >= self.limit {
            return Err(Error::new(ErrorKind::RateLimited)
                .detail(format!("{} uploads are open", self.limit))
                .with_retry_after(Duration::from_secs(60)));
        }
        self.restore(id, repository, progress);
        Ok(())
    }

    /// Opens a session that was begun earlier, unless it is open.
    pub(super) fn restore(&self, id: UploadId, repository: RepositoryName, progress: Progress) {
        if let Entry::Vacant(vacant) = self.open().entry(id) {
            vacant.insert(Arc::new(Session {
                repository,
                size: AtomicU64::new(progress.size()),
                touched: Mutex::new(Instant::now()),
                progress: Arc::new(tokio::sync::Mutex::new(progress)),
            }));
        }
    }

    /// Takes the right to open sessions that were begun earlier. One that ends meanwhile is not
    /// opened again.
    pub(super) async fn taking_up(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.taking_up.lock().await
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    pub(super) fn is_open(&self, id: &UploadId) -> bool {
        self.open().contains_key(id)
    }

    /// An open session of this repository.
    pub(super) fn get(&self, repository: &RepositoryName, id: &UploadId) -> Result<Arc<Session>> {
        let open = self.open();
        let session = open.get(id).filter(|session| session.repository == *repository);
        let unknown = || Error::new(ErrorKind::NotFound).at(format!("upload {id}"));
        session.map(Arc::clone).ok_or_else(unknown)
    }

    /// Forgets a session whose progress the caller holds.
    pub(super) fn forget(&self, id: &UploadId) {
        self.open().remove(id);
    }

    /// The sessions that were idle for so long, with the right to end them.
    pub(super) fn idle(&self, idle: Duration) -> Vec<(UploadId, Writing)> {
        let open = self.open();
        let idle = open.iter().filter(|(_, session)| session.touched().elapsed() >= idle);
        idle.filter_map(|(id, session)| Some((id.clone(), session.lock(None).ok()?))).collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        // Each change is one insert or remove: a panic elsewhere left the map whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// How many bytes the upload has.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Takes the right to write, if nobody has it and the upload is where the client believes.
    pub(super) fn lock(&self, offset: Option<u64>) -> Result<Writing> {
        let Ok(progress) = Arc::clone(&self.progress).try_lock_owned() else {
            return Err(
                Error::new(ErrorKind::Conflict).detail("another request is adding to this upload")
            );
        };
        let size = progress.size();
        if offset.is_some_and(|offset| offset != size) {
            return Err(
                Error::new(ErrorKind::Conflict).detail(format!("the upload has {size} bytes"))
            );
        }
        Ok(progress)
    }

    /// Makes known how far the upload got.
    pub(super) fn advanced(&self, size: u64) {
        self.size.store(size, Ordering::Release);
        *self.touched() = Instant::now();
    }

    fn touched(&self) -> MutexGuard<'_, Instant> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// No bytes yet.
    pub(super) fn new(digester: Digester, held: Held) -> Self {
        Self { checkpoint: Checkpoint::default(), digester, held, record: None }
    }

    /// The bytes that count.
    pub(super) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Takes the algorithm of the digest that the content will be held against, while that costs
    /// nothing: a client names it late that begins an upload without saying.
    pub(super) fn expect(&mut self, digest: &Digest) {
        if let Some(algorithm) = digest.algorithm().filter(|_| self.size() == 0) {
            self.digester = algorithm.digester();
        }
    }
}

/// 10,000 open uploads: more than any fleet pushes at once.
const OPEN_LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use longshore_core::Algorithm;

    use super::super::space::Space;
    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    fn begin(sessions: &Sessions) -> Result<UploadId> {
        let id = UploadId::random()?;
        let progress = Progress::new(Algorithm::Sha256.digester(), Space::new(None).held(0));
        sessions.begin(id.clone(), name("a"), progress)?;
        Ok(id)
    }

    #[test]
    fn an_upload_is_known_in_its_repository_alone() {
        let sessions = Sessions::new();
        let id = begin(&sessions).unwrap();
        assert!(sessions.get(&name("a"), &id).is_ok());
        let kind = |name: &RepositoryName| sessions.get(name, &id).err().map(|e| e.kind());
        assert_eq!(kind(&name("b")), Some(ErrorKind::NotFound));
        sessions.forget(&id);
        assert_eq!(kind(&name("a")), Some(ErrorKind::NotFound));
    }

    #[test]
    fn one_request_writes_at_a_time_and_only_where_the_upload_is() {
        let sessions = Sessions::new();
        let id = begin(&sessions).unwrap();
        let session = sessions.get(&name("a"), &id).unwrap();
        let conflict = |offset| session.lock(offset).err().map(|e| e.kind());
        assert_eq!(conflict(Some(1)), Some(ErrorKind::Conflict));
        let held = session.lock(Some(0)).unwrap();
        assert_eq!(conflict(None), Some(ErrorKind::Conflict));
        assert!(sessions.idle(Duration::ZERO).is_empty(), "busy");
        drop(held);
        assert_eq!(sessions.idle(Duration::from_secs(60)).len(), 0);
        assert_eq!(sessions.idle(Duration::ZERO).len(), 1);
    }

    #[test]
    fn more_than_so_many_are_not_opened() {
        let sessions = Sessions { limit: 1, ..Sessions::new() };
        begin(&sessions).unwrap();
        assert_eq!(begin(&sessions).unwrap_err().kind(), ErrorKind::RateLimited);
    }
}
