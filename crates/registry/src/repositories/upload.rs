//! Blobs in parts: from the network into an upload of the storage, and on to a blob.
//!
//! Owns what a request does to an upload session. A request's work goes on when its client goes
//! away: it sees the connection broken, and keeps what came.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::join;
use longshore_core::{
    Algorithm, BlobStream, Digest, Digester, Error, ErrorKind, PIECE, RepositoryName, Result,
};
use serde::{Deserialize, Serialize};

use super::blobs::{Found, sum};
use super::session::{Progress, Session, Writing};
use super::{Repository, Shared, to_its_end};
use crate::storage::{Checkpoint, Condition, Key, SESSION_SUFFIX, Upload, UploadId};

/// Bytes on their way to an upload.
#[derive(Debug)]
pub struct Chunk {
    /// Where the client believes the upload to be, in bytes; `None` for wherever it is.
    pub offset: Option<u64>,
    /// How many bytes will come, where the client said so.
    pub size: Option<u64>,
    /// The bytes.
    pub bytes: BlobStream,
}

/// A session as it is stored, so that another process can go on with it.
#[derive(Serialize, Deserialize)]
struct Record {
    repository: RepositoryName,
    algorithm: String,
    /// The digester's, in hex: what is stored is not read again.
    state: String,
    checkpoint: Checkpoint,
}

/// What a request has added to an upload, and nobody counts yet.
struct Added {
    upload: Box<dyn Upload>,
    digester: Digester,
    size: u64,
}

impl Repository {
    /// Begins an upload of content whose digest will be of this algorithm.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) if too many are open.
    pub fn begin_upload(&self, algorithm: Algorithm) -> Result<UploadId> {
        let id = UploadId::random()?;
        let progress = Progress::new(algorithm.digester(), self.shared.objects.space.held(0));
        self.shared.sessions.begin(id.clone(), self.name.clone(), progress)?;
        Ok(id)
    }

    /// Adds bytes to an upload; returns how many it has now.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such upload here;
    /// [`Conflict`](ErrorKind::Conflict), nothing written, if it is elsewhere or busy;
    /// [`TooLarge`](ErrorKind::TooLarge), with the code `DENIED`, if the registry is full; the
    /// stream's error. Where a connection broke or stalled, the bytes that came are kept and the
    /// upload can go on; after any other error it is as before.
    pub async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64> {
        let (session, mut progress) = self.write_to(id, chunk.offset).await?;
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        to_its_end(async move {
            let added = shared.add(&id, &session, &mut progress, chunk).await?;
            shared.keep(&id, &session, &mut progress, added).await
        })
        .await
    }

    /// How many bytes an upload has.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such upload here.
    pub async fn upload_size(&self, id: &UploadId) -> Result<u64> {
        Ok(self.session(id).await?.size())
    }

    /// Adds the last bytes, which may be none, and makes the upload a blob.
    ///
    /// A blob that is there already is kept if it is right, and replaced if it is damaged.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`DigestMismatch`](ErrorKind::DigestMismatch) if the content is
    /// other than `digest` says: the upload is gone then.
    pub async fn commit(&self, id: &UploadId, digest: &Digest, last: Chunk) -> Result<()> {
        let (session, mut progress) = self.write_to(id, last.offset).await?;
        let (this, id, digest) = (self.clone(), id.clone(), digest.clone());
        to_its_end(async move {
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

    /// Gives an upload up.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such upload here.
    pub async fn cancel(&self, id: &UploadId) -> Result<()> {
        let (_, progress) = self.write_to(id, None).await?;
        let (shared, id) = (Arc::clone(&self.shared), id.clone());
        to_its_end(async move { shared.drop_upload(&id, &progress).await }).await
    }

    /// Takes the right to write to an upload, if nobody has it and the upload is where the client
    /// believes.
    async fn write_to(
        &self,
        id: &UploadId,
        offset: Option<u64>,
    ) -> Result<(Arc<Session>, Writing)> {
        let session = self.session(id).await?;
        let writing = session.lock(offset)?;
        Ok((session, writing))
    }

    /// A session of this repository: an open one, or one that an earlier process left.
    async fn session(&self, id: &UploadId) -> Result<Arc<Session>> {
        let sessions = &self.shared.sessions;
        if !sessions.is_open(id) {
            self.shared.take_up(id).await?;
        }
        sessions.get(&self.name, id)
    }

    /// Makes verified content a blob of this repository.
    ///
    /// A blob that is there already stays, unless it is damaged.
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
                if let Found::Right(_) = shared.look(digest, SHARE_LIMIT).await? {
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
    /// Adds a stream to an upload. While one batch is hashed and written, the next one comes in.
    async fn add(
        &self,
        id: &UploadId,
        session: &Session,
        progress: &mut Progress,
        chunk: Chunk,
    ) -> Result<Added> {
        let mut aside = progress.held.aside(chunk.size.unwrap_or(0))?;
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
            let bytes = batch.iter().map(|piece| piece.len() as u64).sum();
            if let Err(e) = progress.held.draw(bytes, &mut aside) {
                break e;
            }
            let (written, following) = join(added.write(batch), batches.next()).await;
            if let Err(e) = written {
                break e;
            }
            session.advanced(added.size);
            next = following;
        };
        if keeps_bytes(&failed) {
            self.keep(id, session, progress, added).await?;
        } else {
            progress.held.shrink_to(progress.size());
            session.advanced(progress.size());
        }
        Err(failed)
    }

    /// Counts what was added: in this process, and for the next one. Returns how many bytes there
    /// are.
    ///
    /// Of two processes that go on from one record, the first one wins.
    async fn keep(
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

    /// Opens a session that an earlier process left, if there is one.
    async fn take_up(&self, id: &UploadId) -> Result<()> {
        let _taking = self.sessions.taking_up().await;
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
                self.take_up(&id).await?;
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

    /// Closes a session whose upload is gone.
    async fn end(&self, id: &UploadId, progress: &Progress) -> Result<()> {
        if progress.record.is_some() {
            self.objects.storage.delete(&Key::session(id)).await?;
        }
        self.sessions.forget(id);
        Ok(())
    }
}

impl Added {
    /// Writes the next bytes, and hashes them meanwhile.
    async fn write(&mut self, batch: Vec<Bytes>) -> Result<()> {
        let hash = async {
            for piece in &batch {
                self.digester.update(piece);
                self.size += piece.len() as u64;
            }
        };
        join(self.upload.write(batch.clone()), hash).await.0
    }

    /// Whether the content is what a digest says. Read again for an algorithm that came late.
    async fn is(&mut self, digest: &Digest) -> Result<bool> {
        let found = match digest.algorithm() {
            Some(algorithm) if algorithm == self.digester.algorithm() => {
                self.digester.clone().finish()
            }
            Some(algorithm) => sum(self.upload.content().await?, algorithm).await?,
            None => return Ok(false),
        };
        Ok(found == *digest)
    }
}

/// Pieces of a stream, gathered until they are worth a trip to the storage.
struct Batches {
    stream: Option<BlobStream>,
    failed: Option<Error>,
}

impl Batches {
    fn new(stream: BlobStream) -> Self {
        Self { stream: Some(stream), failed: None }
    }

    /// The next batch; what came before an error comes before the error.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(stream) = self.stream.as_mut().filter(|_| size < PIECE) {
            match stream.try_next().await {
                Ok(Some(piece)) => {
                    size += piece.len();
                    batch.push(piece);
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

/// Whether what came before this error is still good: the connection failed, not the content.
fn keeps_bytes(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Transport | ErrorKind::Timeout)
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

/// 1 GiB: a second of hashing, to not store a blob twice. Larger ones that no one has asked for since
/// the start are stored again.
const SHARE_LIMIT: u64 = 1 << 30;
