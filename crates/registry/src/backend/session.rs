//! Uploads on their way.
//!
//! Owns which uploads are open, whose they are, how far they got, and that only one request at a
//! time adds to one. Where the bytes lie is the backend's business, in a value of type `S`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use longshore_core::{Algorithm, Digest, Digester, Error, ErrorKind, RepositoryName, Result};
use tokio::sync::OwnedMutexGuard;

use super::UploadId;
use super::space::{Held, Space};

/// The open uploads of a backend.
pub(super) struct Sessions<S> {
    open: Mutex<HashMap<UploadId, Arc<Session<S>>>>,
    limit: usize,
    space: Space,
}

/// One open upload.
pub(super) struct Session<S> {
    repository: RepositoryName,
    /// A copy of the progress's size, to be read while a request is writing.
    size: AtomicU64,
    touched: Mutex<Instant>,
    progress: Arc<tokio::sync::Mutex<Progress<S>>>,
}

/// How far an upload got. Bytes beyond `size`, if the backend has any, do not count.
pub(super) struct Progress<S> {
    pub(super) digester: Digester,
    pub(super) size: u64,
    /// The room that its bytes take.
    pub(super) held: Held,
    pub(super) store: S,
}

impl<S> Sessions<S> {
    pub(super) fn new(space: Space) -> Self {
        Self { open: Mutex::default(), limit: OPEN_LIMIT, space }
    }

    /// Opens an upload.
    pub(super) fn begin(
        &self,
        repository: &RepositoryName,
        algorithm: Algorithm,
        store: impl FnOnce(&UploadId) -> S,
    ) -> Result<UploadId> {
        let id = UploadId::random()?;
        if self.open().len() >= self.limit {
            return Err(Error::new(ErrorKind::RateLimited)
                .detail(format!("{} uploads are open", self.limit))
                .with_retry_after(Duration::from_secs(60)));
        }
        let held = self.holding(0);
        let digester = algorithm.digester();
        let progress = Progress { digester, size: 0, held, store: store(&id) };
        self.restore(id.clone(), repository.clone(), progress);
        Ok(id)
    }

    /// The room of an upload that has these bytes already.
    pub(super) fn holding(&self, bytes: u64) -> Held {
        self.space.held(bytes)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open().len()
    }

    /// Adds an upload that was begun earlier.
    pub(super) fn restore(&self, id: UploadId, repository: RepositoryName, progress: Progress<S>) {
        let session = Session {
            repository,
            size: AtomicU64::new(progress.size),
            touched: Mutex::new(Instant::now()),
            progress: Arc::new(tokio::sync::Mutex::new(progress)),
        };
        self.open().insert(id, Arc::new(session));
    }

    /// An open upload of this repository.
    pub(super) fn get(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<Arc<Session<S>>> {
        let open = self.open();
        let session = open.get(id).filter(|s| s.repository == *repository);
        session.map(Arc::clone).ok_or_else(|| unknown(id))
    }

    /// Closes an upload that no request is busy with.
    pub(super) fn close(
        &self,
        repository: &RepositoryName,
        id: &UploadId,
    ) -> Result<OwnedMutexGuard<Progress<S>>> {
        let progress = self.get(repository, id)?.lock(None)?;
        self.forget(id);
        Ok(progress)
    }

    /// Forgets an upload whose progress the caller holds.
    pub(super) fn forget(&self, id: &UploadId) {
        self.open().remove(id);
    }

    /// Closes the uploads that were idle for so long, and hands out what they had.
    pub(super) fn expire(&self, idle: Duration) -> Vec<(UploadId, OwnedMutexGuard<Progress<S>>)> {
        let mut open = self.open();
        let idle: Vec<_> = open
            .iter()
            .filter(|(_, session)| session.touched().elapsed() >= idle)
            .filter_map(|(id, session)| Some((id.clone(), session.lock(None).ok()?)))
            .collect();
        for (id, _) in &idle {
            open.remove(id);
        }
        idle
    }

    fn open(&self) -> MutexGuard<'_, HashMap<UploadId, Arc<Session<S>>>> {
        // Each change is one insert or remove: a panic elsewhere left the map whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Session<S> {
    /// How many bytes the upload has. A request that was dropped while it wrote could not say so.
    pub(super) fn size(&self) -> u64 {
        match self.progress.try_lock() {
            Ok(progress) => progress.size,
            Err(_) => self.size.load(Ordering::Acquire),
        }
    }

    /// Takes the right to write, if nobody has it and the upload is where the client believes.
    pub(super) fn lock(&self, offset: Option<u64>) -> Result<OwnedMutexGuard<Progress<S>>> {
        let Ok(progress) = Arc::clone(&self.progress).try_lock_owned() else {
            return Err(
                Error::new(ErrorKind::Conflict).detail("another request is adding to this upload")
            );
        };
        if offset.is_some_and(|offset| offset != progress.size) {
            return Err(Error::new(ErrorKind::Conflict)
                .detail(format!("the upload has {} bytes", progress.size)));
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

impl<S> Progress<S> {
    /// Goes back to an earlier state.
    pub(super) fn go_back(&mut self, digester: Digester, size: u64) {
        (self.digester, self.size) = (digester, size);
        self.held.shrink_to(size);
    }

    /// Takes the algorithm of the digest that the content will be held against, while that costs
    /// nothing: a client names it late that begins an upload without saying.
    pub(super) fn expect(&mut self, digest: &Digest) {
        if let Some(algorithm) = digest.algorithm().filter(|_| self.size == 0) {
            self.digester = algorithm.digester();
        }
    }

    /// Holds the content against a digest, if the running sum is of its algorithm.
    pub(super) fn matches(&self, digest: &Digest) -> Option<bool> {
        (digest.algorithm() == Some(self.digester.algorithm()))
            .then(|| self.digester.clone().finish() == *digest)
    }
}

/// Whether what came before this error is still good: the connection failed, not the content.
pub(super) fn keeps_bytes(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Transport | ErrorKind::Timeout)
}

pub(super) fn mismatch(digest: &Digest) -> Error {
    Error::new(ErrorKind::DigestMismatch)
        .at(digest)
        .detail("the uploaded content has another digest")
}

fn unknown(id: &UploadId) -> Error {
    Error::new(ErrorKind::NotFound).at(format!("upload {id}"))
}

/// 10,000 open uploads: more than any fleet pushes at once.
const OPEN_LIMIT: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        RepositoryName::parse(text).unwrap()
    }

    #[test]
    fn an_upload_is_known_in_its_repository_alone() {
        let sessions = Sessions::new(Space::new(None));
        let id = sessions.begin(&name("a"), Algorithm::Sha256, |_| ()).unwrap();
        assert!(sessions.get(&name("a"), &id).is_ok());
        let kind = |name: &RepositoryName| sessions.get(name, &id).err().map(|e| e.kind());
        assert_eq!(kind(&name("b")), Some(ErrorKind::NotFound));
        sessions.close(&name("a"), &id).unwrap();
        assert_eq!(kind(&name("a")), Some(ErrorKind::NotFound));
    }

    #[test]
    fn one_request_writes_at_a_time_and_only_where_the_upload_is() {
        let sessions = Sessions::new(Space::new(None));
        let id = sessions.begin(&name("a"), Algorithm::Sha256, |_| ()).unwrap();
        let session = sessions.get(&name("a"), &id).unwrap();
        let conflict = |offset| session.lock(offset).err().map(|e| e.kind());
        assert_eq!(conflict(Some(1)), Some(ErrorKind::Conflict));
        let held = session.lock(Some(0)).unwrap();
        assert_eq!(conflict(None), Some(ErrorKind::Conflict));
        assert!(sessions.expire(Duration::ZERO).is_empty(), "busy");
        drop(held);
        assert_eq!(sessions.expire(Duration::from_secs(60)).len(), 0);
        assert_eq!(sessions.expire(Duration::ZERO).len(), 1);
    }

    #[test]
    fn what_a_dropped_request_wrote_counts() {
        let sessions = Sessions::new(Space::new(None));
        let id = sessions.begin(&name("a"), Algorithm::Sha256, |_| ()).unwrap();
        let session = sessions.get(&name("a"), &id).unwrap();
        let mut writing = session.lock(Some(0)).unwrap();
        writing.size = 5;
        assert_eq!(session.size(), 0, "not known before it ends");
        drop(writing);
        assert_eq!(session.size(), 5);
        assert!(session.lock(Some(5)).is_ok());
    }

    #[test]
    fn more_than_so_many_are_not_opened() {
        let sessions = Sessions { limit: 1, ..Sessions::new(Space::new(None)) };
        let begin = || sessions.begin(&name("a"), Algorithm::Sha256, |_| ());
        begin().unwrap();
        assert_eq!(begin().unwrap_err().kind(), ErrorKind::RateLimited);
    }
}
