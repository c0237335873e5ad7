//! Upload sessions of this process.
//!
//! Owns the open uploads with their repositories and sizes, and ensures that only one request at a
//! time writes to an upload.

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
    restoring: tokio::sync::Mutex<()>,
}

/// One open upload.
pub(super) struct Session {
    repository: RepositoryName,
    /// The current size, readable while a request is writing.
    size: AtomicU64,
    touched: Mutex<Instant>,
    progress: Arc<tokio::sync::Mutex<Progress>>,
}

/// Exclusive write access to an upload.
pub(super) type Writing = OwnedMutexGuard<Progress>;

/// The accepted state of an upload. It changes when a request succeeds, or is interrupted in a way
/// that leaves its bytes valid.
pub(super) struct Progress {
    pub(super) checkpoint: Checkpoint,
    /// The digest state of the bytes up to the checkpoint.
    pub(super) digester: Digester,
    /// The space that the upload takes, including the bytes of a request in progress.
    pub(super) held: Held,
    /// The version of the last stored session record.
    pub(super) record: Option<Version>,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), limit: OPEN_LIMIT, restoring: tokio::sync::Mutex::default() }
    }

    /// Opens a session, unless too many are open.
    pub(super) fn begin(
        &self,
        id: UploadId,
        repository: RepositoryName,
        progress: Progress,
    ) -> Result<()> {
        if self.count() >= self.limit {
            return Err(Error::new(ErrorKind::RateLimited)
                .detail(format!("too many open uploads; the limit is {}", self.limit))
                .with_retry_after(Duration::from_secs(60)));
        }
        self.restore(id, repository, progress);
        Ok(())
    }

    /// Opens a new session or a session of an earlier process, unless it is already open.
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

    /// Serializes the restoring of earlier sessions. Otherwise, a slow task could restore a session
    /// that another task has restored and ended in the meantime.
    pub(super) async fn restoring(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.restoring.lock().await
    }

    /// Returns the number of open sessions.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    pub(super) fn is_open(&self, id: &UploadId) -> bool {
        self.open().contains_key(id)
    }

    /// Returns an open session of this repository.
    pub(super) fn get(&self, repository: &RepositoryName, id: &UploadId) -> Result<Arc<Session>> {
        let open = self.open();
        let session = open.get(id).filter(|session| session.repository == *repository);
        let unknown = || Error::new(ErrorKind::NotFound).at(format!("upload {id}"));
        session.map(Arc::clone).ok_or_else(unknown)
    }

    /// Removes a session whose write access the caller holds.
    pub(super) fn forget(&self, id: &UploadId) {
        self.open().remove(id);
    }

    /// Returns the sessions that were idle for at least `idle`, with write access to end them.
    pub(super) fn idle(&self, idle: Duration) -> Vec<(UploadId, Writing)> {
        let open = self.open();
        let idle = open.iter().filter(|(_, session)| session.touched().elapsed() >= idle);
        idle.filter_map(|(id, session)| Some((id.clone(), session.lock(None).ok()?))).collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        // Each change is one insert or remove, so the map is consistent after a panic elsewhere.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(super) fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// Returns the size of the upload in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Takes write access if it is free and the upload has the size that the client expects.
    pub(super) fn lock(&self, offset: Option<u64>) -> Result<Writing> {
        let Ok(progress) = Arc::clone(&self.progress).try_lock_owned() else {
            return Err(
                Error::new(ErrorKind::Conflict).detail("another request is writing to this upload")
            );
        };
        let size = progress.size();
        if offset.is_some_and(|offset| offset != size) {
            return Err(
                Error::new(ErrorKind::Conflict).detail(format!("wrong offset; expected {size}"))
            );
        }
        Ok(progress)
    }

    /// Publishes the new size of the upload.
    pub(super) fn advanced(&self, size: u64) {
        self.size.store(size, Ordering::Release);
        *self.touched() = Instant::now();
    }

    fn touched(&self) -> MutexGuard<'_, Instant> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    /// Creates the state of an empty upload.
    pub(super) fn new(digester: Digester, held: Held) -> Self {
        Self { checkpoint: Checkpoint::default(), digester, held, record: None }
    }

    /// Returns the number of accepted bytes.
    pub(super) fn size(&self) -> u64 {
        self.checkpoint.size
    }

    /// Switches to the algorithm of the expected digest if the upload is empty. A client that
    /// begins an upload without an algorithm names the algorithm only at the end.
    pub(super) fn expect(&mut self, digest: &Digest) {
        if let Some(algorithm) = digest.algorithm().filter(|_| self.size() == 0) {
            self.digester = algorithm.digester();
        }
    }
}

/// 10,000 open uploads: more than large fleets of clients push at the same time.
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
    fn an_upload_exists_only_in_its_repository() {
        let sessions = Sessions::new();
        let id = begin(&sessions).unwrap();
        assert!(sessions.get(&name("a"), &id).is_ok());
        let kind = |name: &RepositoryName| sessions.get(name, &id).err().map(|e| e.kind());
        assert_eq!(kind(&name("b")), Some(ErrorKind::NotFound));
        sessions.forget(&id);
        assert_eq!(kind(&name("a")), Some(ErrorKind::NotFound));
    }

    #[test]
    fn an_upload_accepts_one_request_at_a_time_and_only_at_its_current_size() {
        let sessions = Sessions::new();
        let id = begin(&sessions).unwrap();
        let session = sessions.get(&name("a"), &id).unwrap();
        let conflict = |offset| session.lock(offset).err().map(|e| e.kind());
        assert_eq!(conflict(Some(1)), Some(ErrorKind::Conflict));
        let held = session.lock(Some(0)).unwrap();
        assert_eq!(conflict(None), Some(ErrorKind::Conflict));
        assert!(sessions.idle(Duration::ZERO).is_empty(), "an upload in progress is not idle");
        drop(held);
        assert_eq!(sessions.idle(Duration::from_secs(60)).len(), 0);
        assert_eq!(sessions.idle(Duration::ZERO).len(), 1);
    }

    #[test]
    fn the_number_of_open_sessions_is_limited() {
        let sessions = Sessions { limit: 1, ..Sessions::new() };
        begin(&sessions).unwrap();
        assert_eq!(begin(&sessions).unwrap_err().kind(), ErrorKind::RateLimited);
    }
}
