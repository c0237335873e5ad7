//! Chunked uploads: from the network into the storage, and finally to a blob.
//!
//! Owns the effect of a request on an upload session. If the client disconnects, the work for its
//! request continues in the background: it detects the broken connection and keeps the received
//! bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join;
use longshore_core::{
    Algorithm, BlobStream, CHUNK_SIZE, Digest, Digester, Error, ErrorKind, RepositoryName, Result,
};
use serde::{Deserialize, Serialize};

use super::blobs::{Found, digest_of};
use super::session::{Progress, Session, Writing};
use super::{Repository, Shared, run_to_completion};
use crate::storage::{Checkpoint, Condition, Key, SESSION_SUFFIX, Upload, UploadId};

/// Bytes to add to an upload.
#[derive(Debug)]
pub struct Chunk {
    /// The offset that the client expects, in bytes, or `None` for the current offset.
    pub offset: Option<u64>,
    /// The number of bytes to come, if the client declared it.
    pub size: Option<u64>,
    /// The bytes.
    pub bytes: BlobStream,
}

/// The stored form of a session, from which another process can continue it.
#[derive(Serialize, Deserialize)]
struct Record {
    repository: RepositoryName,
    algorithm: String,
    /// The state of the digester, in hex. Stored bytes therefore need not be read again.
    state: String,
    checkpoint: Checkpoint,
}

/// Bytes that a request has added and that are not accepted yet.
struct Added {
    upload: Box<dyn Upload>,
    digester: Digester,
    size: u64,
}

impl Repository {
    /// Begins an upload whose digest is expected to have this algorithm.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) if too many uploads are open; [`Io`](ErrorKind::Io)
    /// if the system's random source fails.
    pub fn begin_upload(&self, algorithm: Algorithm) -> Result<UploadId> {
        let id = UploadId::random()?;
        let progress = Progress::new(algorithm.digester(), self.shared.objects.space.held(0));
        self.shared.sessions.begin(id.clone(), self.name.clone(), progress)?;
        Ok(id)
    }

    /// Adds bytes to an upload, and returns its new size in bytes.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if this repository has no such upload;
    /// [`Conflict`](ErrorKind::Conflict), with nothing written, if the offset differs or the upload
    /// is busy; [`TooLarge`](ErrorKind::TooLarge), with the code `DENIED`, if the registry is full;
    /// errors of the stream and of the storage.
    ///
    /// After a broken or stalled connection, the received bytes are kept and the upload can
    /// continue. After any other error, the upload is unchanged.
    pub async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64> {
        let (session, mut progress) = self.write_to(id, chunk.offset).await?;
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        run_to_completion(async move {
            let added = shared.add(&id, &session, &mut progress, chunk).await?;
            shared.keep(&id, &session, &mut progress, added).await
        })
        .await
    }

    /// Returns the size of an upload in bytes.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if this repository has no such upload.
    pub async fn upload_size(&self, id: &UploadId) -> Result<u64> {
        Ok(self.session(id).await?.size())
    }

    /// Adds the last bytes, if any, and turns the upload into a blob.
    ///
    /// An existing blob is kept if it is known to be undamaged, and replaced otherwise.
    ///
    /// # Errors
    /// Same as [`append`](Self::append); [`DigestMismatch`](ErrorKind::DigestMismatch) if the
    /// content does not match `digest`. In this case the upload is removed.
    pub async fn commit(&self, id: &UploadId, digest: &Digest, last: Chunk) -> Result<()> {
        let (session, mut progress) = self.write_to(id, last.offset).await?;
        let (this, id, digest) = (self.clone(), id.clone(), digest.clone());
        run_to_completion(async move {
            progress.expect(&digest);
            let mut added = this.shared.add(&id, &session, &mut progress, last).await?;
            if added.is(&digest).await? {
                this.publish(&digest, &mut *added.upload, &mut progress).await?;
                this.shared.end(&id, &progress).await
            } else {
                added.upload.abort().await?;
                this.shared.end(&id, &progress).await?;
                Err(mismatch(&digest))
            }
        })
        .await
    }

    /// Cancels an upload.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if this repository has no such upload;
    /// [`Conflict`](ErrorKind::Conflict) if the upload is busy.
    pub async fn cancel(&self, id: &UploadId) -> Result<()> {
        let (_, progress) = self.write_to(id, None).await?;
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        run_to_completion(async move { shared.drop_upload(&id, &progress).await }).await
    }

    /// Takes write access to an upload if it is free and the upload has the size that the client
    /// expects.
    async fn write_to(
        &self,
        id: &UploadId,
        offset: Option<u64>,
    ) -> Result<(Arc<Session>, Writing)> {
        let session = self.session(id).await?;
        let writing = session.lock(offset)?;
        Ok((session, writing))
    }

    /// Returns a session of this repository, either open or restored from an earlier process.
    async fn session(&self, id: &UploadId) -> Result<Arc<Session>> {
        let sessions = &self.shared.sessions;
        if !sessions.is_open(id) {
            self.shared.restore_session(id).await?;
        }
        sessions.get(&self.name, id)
    }

    /// Turns verified content into a blob of this repository.
    ///
    /// An existing blob is kept if it is known to be undamaged, and replaced otherwise.
    async fn publish(
        &self,
        digest: &Digest,
        upload: &mut dyn Upload,
        progress: &mut Progress,
    ) -> Result<()> {
        let (shared, key) = (&self.shared, Key::blob(digest));
        let link = Key::link(&self.name, digest);
        let _changing = shared.blobs.change(digest).await;
        let version = match upload.complete(&key, &link, Condition::Absent).await {
            Err(e) if e.kind() == ErrorKind::Conflict => {
                if let Found::Intact(_) = shared.look(digest, SHARE_LIMIT).await? {
                    self.link(digest).await?;
                    return upload.abort().await;
                }
                let damaged = shared.objects.size(&key).await?;
                let version = upload.complete(&key, &link, Condition::Always).await?;
                shared.objects.space.freed(damaged);
                version
            }
            completed => completed?,
        };
        shared.names.added(&self.name);
        progress.held.keep();
        shared.remember(digest, version);
        Ok(())
    }
}

impl Shared {
    /// Adds a stream to an upload. Receives the next batch while hashing and writing the current
    /// batch.
    async fn add(
        &self,
        id: &UploadId,
        session: &Session,
        progress: &mut Progress,
        chunk: Chunk,
    ) -> Result<Added> {
        let mut reserved = progress.held.reserve(chunk.size.unwrap_or(0))?;
        let upload = self.objects.storage.upload(id, &progress.checkpoint).await?;
        let (digester, size) = (progress.digester.clone(), progress.size());
        let mut added = Added { upload, digester, size };
        let mut batches = Batches::new(chunk.bytes);
        let mut next = batches.next().await;
        let failed = loop {
            let batch = match next {
                Ok(Some(batch)) => batch,
                Ok(None) => return Ok(added),
                Err(e) => break e,
            };
            let bytes = batch.iter().map(|chunk| chunk.len() as u64).sum();
            if let Err(e) = progress.held.draw(bytes, &mut reserved) {
                break e;
            }
            let (written, following) = join(added.write(batch), batches.next()).await;
            if let Err(e) = written {
                break e;
            }
            session.advanced(added.size);
            next = following;
        };
        match keeps_bytes(&failed) {
            true => drop(self.keep(id, session, progress, added).await?),
            false => give_back(session, progress),
        }
        Err(failed)
    }

    /// Accepts the added bytes, in this process and in the stored session. Returns the size of the
    /// upload in bytes.
    ///
    /// If two processes continue the same session, the first one to store the session wins.
    async fn keep(
        &self,
        id: &UploadId,
        session: &Session,
        progress: &mut Progress,
        added: Added,
    ) -> Result<u64> {
        let kept = self.store_session(id, session, progress, added).await;
        if kept.is_err() {
            give_back(session, progress);
        }
        kept
    }

    async fn store_session(
        &self,
        id: &UploadId,
        session: &Session,
        progress: &mut Progress,
        mut added: Added,
    ) -> Result<u64> {
        let state = added.upload.checkpoint().await?;
        let checkpoint = Checkpoint { size: added.size, state };
        let record = Record {
            repository: session.repository().clone(),
            algorithm: added.digester.algorithm().name().to_owned(),
            state: added.digester.state().iter().map(|byte| format!("{byte:02x}")).collect(),
            checkpoint: checkpoint.clone(),
        };
        let json = serde_json::to_vec(&record)
            .map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
        let condition = progress.record.clone().map_or(Condition::Absent, Condition::Unchanged);
        let stored = self.objects.storage.put(&Key::session(id), json.into(), condition).await?;
        progress.record = Some(stored);
        (progress.checkpoint, progress.digester) = (checkpoint, added.digester);
        session.advanced(added.size);
        Ok(added.size)
    }

    /// Opens the session of an earlier process, if it exists.
    async fn restore_session(&self, id: &UploadId) -> Result<()> {
        let _restoring = self.sessions.restoring().await;
        if self.sessions.is_open(id) {
            return Ok(());
        }
        let Some(object) = self.objects.storage.get(&Key::session(id)).await? else {
            return Ok(());
        };
        let Ok(record) = serde_json::from_slice::<Record>(&object.content) else {
            return Ok(());
        };
        let algorithm = Algorithm::named(&record.algorithm);
        let state = from_hex(&record.state);
        let digester = algorithm.zip(state).and_then(|(of, state)| of.resume(&state));
        let Some(digester) = digester else { return Ok(()) };
        let held = self.objects.space.held(record.checkpoint.size);
        let progress = Progress {
            checkpoint: record.checkpoint,
            record: Some(object.version),
            ..Progress::new(digester, held)
        };
        self.sessions.restore(id.clone(), record.repository, progress);
        Ok(())
    }

    pub(super) async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        for name in self.objects.storage.list(&Key::uploads()).await? {
            let id = name.strip_suffix(SESSION_SUFFIX).and_then(UploadId::parse);
            if let Some(id) = id.filter(|id| !self.sessions.is_open(id)) {
                self.restore_session(&id).await?;
            }
        }
        let expired = self.sessions.idle(idle);
        for (id, progress) in &expired {
            self.drop_upload(id, progress).await?;
        }
        Ok(expired.len())
    }

    async fn drop_upload(&self, id: &UploadId, progress: &Progress) -> Result<()> {
        let mut upload = self.objects.storage.upload(id, &progress.checkpoint).await?;
        upload.abort().await?;
        self.end(id, progress).await
    }

    /// Closes the session of a completed or removed upload.
    async fn end(&self, id: &UploadId, progress: &Progress) -> Result<()> {
        if progress.record.is_some() {
            self.objects.storage.delete(&Key::session(id)).await?;
        }
        self.sessions.forget(id);
        Ok(())
    }
}

impl Added {
    /// Writes the next bytes, and hashes them at the same time.
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<()> {
        let hash = async {
            for chunk in &batch {
                self.digester.update(chunk);
                self.size += chunk.len() as u64;
            }
        };
        join(self.upload.write(batch.clone()), hash).await.0
    }

    /// Returns true if the content matches a digest. Reads the content again if the client named
    /// the algorithm only at the end.
    async fn is(&mut self, digest: &Digest) -> Result<bool> {
        let found = match digest.algorithm() {
            Some(algorithm) if algorithm == self.digester.algorithm() => {
                self.digester.clone().finish()
            }
            Some(algorithm) => digest_of(self.upload.content().await?, algorithm).await?,
            None => return Ok(false),
        };
        Ok(found == *digest)
    }
}

/// Groups the chunks of a stream into batches that are large enough to write.
struct Batches {
    stream: Option<BlobStream>,
    failed: Option<Error>,
}

impl Batches {
    fn new(stream: BlobStream) -> Self {
        Self { stream: Some(stream), failed: None }
    }

    /// Returns the next batch. If the stream fails, returns the bytes received before the error,
    /// and then the error.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(stream) = self.stream.as_mut().filter(|_| size < CHUNK_SIZE) {
            match stream.try_next().await {
                Ok(Some(chunk)) => {
                    size += chunk.len();
                    batch.push(chunk);
                }
                Ok(None) => self.stream = None,
                Err(e) => {
                    self.stream = None;
                    self.failed = Some(e);
                }
            }
        }
        match self.failed.take() {
            Some(e) if batch.is_empty() => Err(e),
            failed => {
                self.failed = failed;
                Ok((!batch.is_empty()).then_some(batch))
            }
        }
    }
}

/// Returns true if the bytes received before this error are valid: the connection failed, not the
/// content.
fn keeps_bytes(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Transport | ErrorKind::Timeout)
}

/// Restores the size and the space of an upload whose added bytes are not kept.
fn give_back(session: &Session, progress: &mut Progress) {
    progress.held.shrink_to(progress.size());
    session.advanced(progress.size());
}

fn mismatch(digest: &Digest) -> Error {
    Error::new(ErrorKind::DigestMismatch)
        .at(digest)
        .detail("the uploaded content has another digest")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// 1 GiB: a second of hashing, to avoid storing a blob twice. Larger blobs that were not verified
/// since the registry started are stored again.
const SHARE_LIMIT: u64 = 1 << 30;
