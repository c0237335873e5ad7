//! Upload sessions: the requests, one by one. What to do when one fails is `push`'s business.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderValue, Method, Uri};
use longshore_core::{BlobStream, Descriptor, Digest, Error, ErrorKind, Result};

use super::RemoteRepository;
use super::manifest::agree;
use super::range::{min_chunk_size, upload_offset};
use crate::endpoint::with_digest;
use crate::exchange::Ask;
use crate::origin::{check_hop, resolve};
use crate::reply::Reply;
use crate::transport::redirect::moved;
use crate::transport::{Body, protocol_error};

/// An upload session: a blob that is being sent, piece by piece, and not yet visible.
///
/// [`push_blob`](longshore_core::Target::push_blob) does all of this, failures included; this is for
/// those who need the single requests. None of them is sent twice: where a registry redirects one with
/// a body, that fails, and the same call with the same content goes there.
///
/// # Cancellation
/// Dropping it leaves the session to the registry, which forgets it in time; see
/// [`cancel`](Self::cancel).
pub struct Upload {
    repository: RemoteRepository,
    location: Uri,
    /// Where the last request was redirected to, if it has to be sent there once more.
    moved: Option<(Method, Uri)>,
    offset: u64,
    min_chunk_size: Option<u64>,
}

impl RemoteRepository {
    /// Begins an upload.
    ///
    /// Sends `POST /v2/<name>/blobs/uploads/`.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) or [`Unauthorized`](ErrorKind::Unauthorized) without the right
    /// to push; [`Protocol`](ErrorKind::Protocol) if the session's URL may not be used.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing blobs" (end-4a).
    pub async fn begin_upload(&self) -> Result<Upload> {
        let uri = self.endpoint().await?.uploads(self.path());
        let ask = Ask::new(Method::POST, uri, self.push(), self.upload_name());
        let reply = self.exchange().expect(ask, &[202]).await?;
        Upload::of(self, reply).await.map_err(|e| e.at(self.upload_name()))
    }

    /// Sends a blob in one request, where the registry takes that; where it would rather have a
    /// session, gives the session, which has nothing yet.
    ///
    /// Sends `POST /v2/<name>/blobs/uploads/?digest=<digest>` with the content. It is not sent twice:
    /// [`UploadMethod::SinglePost`](crate::UploadMethod::SinglePost) does what else may be needed.
    ///
    /// # Errors
    /// As [`begin_upload`](Self::begin_upload) and [`finish`](Upload::finish).
    ///
    /// Source: distribution-spec v1.1.1, "Single POST" (end-4b).
    pub async fn post_blob(
        &self,
        descriptor: &Descriptor,
        content: BlobStream,
    ) -> Result<Option<Upload>> {
        let digest = &descriptor.digest;
        let about = self.blob_name(digest);
        let uri = self.endpoint().await?.uploads(self.path());
        let uri = with_digest(&uri, digest)
            .ok_or_else(|| protocol_error(&uri, "cannot take a digest".to_owned()))?;
        let ask = Ask::new(Method::POST, uri, self.push(), &about)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM)
            .body(Body::Stream { stream: content, size: Some(descriptor.size) });
        let reply = self.exchange().expect(ask, &[201, 202]).await?;
        if reply.is(&[202]) {
            return Upload::of(self, reply).await.map(Some).map_err(|e| e.at(about));
        }
        stored(reply, digest).await.map_err(|e| e.at(about))?;
        Ok(None)
    }

    /// Goes on with an upload that was begun before, by this process or another.
    ///
    /// Sends `GET <location>`, to learn how far it is. Where the registry does not tell, as of a fresh
    /// session, it is taken to be at its start.
    ///
    /// - `location`: what [`Upload::location`] told, or a path at this registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the session is gone; [`Invalid`](ErrorKind::Invalid) if
    /// the URL may not be used.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-13).
    pub async fn resume_upload(&self, location: &str) -> Result<Upload> {
        let refused = |clause: &str| {
            let error = Error::new(ErrorKind::Invalid).at(self.upload_name());
            error.detail(format!("the session's URL {clause}"))
        };
        let root = self.endpoint().await?.root();
        let location = resolve(&root, location.as_bytes()).map_err(refused)?;
        check_hop(&root, &location).map_err(refused)?;
        let mut upload = Upload {
            repository: self.clone(),
            location,
            moved: None,
            offset: 0,
            min_chunk_size: None,
        };
        upload.status().await?;
        Ok(upload)
    }

    pub(super) fn upload_name(&self) -> String {
        format!("upload to {}", self.repository())
    }
}

impl Upload {
    /// The session in the reply to a POST.
    pub(super) async fn of(repository: &RemoteRepository, reply: Reply) -> Result<Self> {
        let location = reply.location()?;
        let min_chunk_size = reply.header(OCI_CHUNK_MIN_LENGTH).and_then(min_chunk_size);
        reply.body.drain().await;
        let repository = repository.clone();
        Ok(Self { repository, location, moved: None, offset: 0, min_chunk_size })
    }

    /// How many bytes the registry has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The session's URL, with which another process can [go on](RemoteRepository::resume_upload). It
    /// changes with each request, and may hold what lets anybody go on: it is a secret of sorts.
    #[must_use]
    pub fn location(&self) -> String {
        self.location.to_string()
    }

    /// The smallest chunk in bytes that the registry accepts, the last one excepted, if it says so.
    #[must_use]
    pub fn min_chunk_size(&self) -> Option<u64> {
        self.min_chunk_size
    }

    /// Sends the next `size` bytes.
    ///
    /// Sends `PATCH <location>`; nothing where there is nothing to send, as no `Content-Range` can say
    /// that.
    ///
    /// # Errors
    /// Any; how much arrived is unknown then, see [`status`](Self::status).
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-5).
    pub async fn append(&mut self, chunk: BlobStream, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        let range = format!("{}-{}", self.offset, self.offset.saturating_add(size - 1));
        let range = HeaderValue::from_str(&range).map_err(|e| self.unusable(e))?;
        let ask = self.patch(chunk, Some(size)).header(CONTENT_RANGE.as_str(), range);
        self.append_with(ask).await?;
        self.offset += size;
        Ok(())
    }

    /// Sends what a stream yields, however much that is; says how much it was, in bytes.
    ///
    /// Sends `PATCH <location>` without a `Content-Range`, as docker's own client does.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    ///
    /// Source: Docker Registry HTTP API V2, "Streamed upload".
    pub async fn append_stream(&mut self, content: BlobStream) -> Result<u64> {
        let sent = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&sent);
        let content = content.on_progress(move |p| seen.store(p.done, Ordering::Relaxed));
        let ask = self.patch(content, None);
        self.append_with(ask).await?;
        let sent = sent.load(Ordering::Relaxed);
        self.offset += sent;
        Ok(sent)
    }

    async fn append_with(&mut self, ask: Ask) -> Result<()> {
        // 201: ECR. What was sent whole is there; its Range is wrong too often to be asked.
        let reply = self.send(Method::PATCH, ask, &[201, 202, 204]).await?;
        self.follow(&reply)?;
        reply.body.drain().await;
        Ok(())
    }

    /// Asks how many bytes the registry has; `None` where its answer leaves that open.
    ///
    /// Sends `GET <location>`, and takes the new location: the old one is void after a failure
    /// (distribution).
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the session is gone.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-13).
    pub async fn status(&mut self) -> Result<Option<u64>> {
        let ask = self.ask(Method::GET, self.location.clone());
        let reply = self.repository.exchange().expect(ask, &[200, 202, 204]).await?;
        self.follow(&reply)?;
        let offset = reply.header(RANGE.as_str()).and_then(upload_offset);
        reply.body.drain().await;
        if let Some(offset) = offset {
            self.offset = offset;
        }
        Ok(offset)
    }

    /// Completes the blob with nothing more to send.
    ///
    /// Sends `PUT <location>?digest=<digest>`.
    ///
    /// # Errors
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the registry got something else.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-6).
    pub async fn finish(&mut self, digest: &Digest) -> Result<()> {
        self.put(digest, Body::Empty).await
    }

    /// Completes the blob with its last, or all, `size` bytes.
    ///
    /// Sends `PUT <location>?digest=<digest>`.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob monolithically" (end-6).
    pub async fn finish_with(
        &mut self,
        digest: &Digest,
        rest: BlobStream,
        size: u64,
    ) -> Result<()> {
        self.put(digest, Body::Stream { stream: rest, size: Some(size) }).await
    }

    /// Completes the blob with its last, or all, bytes, however many there are.
    ///
    /// Sends `PUT <location>?digest=<digest>`, whose length is not told beforehand: not every registry
    /// takes that.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub async fn finish_with_stream(&mut self, digest: &Digest, rest: BlobStream) -> Result<()> {
        self.put(digest, Body::Stream { stream: rest, size: None }).await
    }

    /// Gives the session up.
    ///
    /// Sends `DELETE <location>`; waits for at most two seconds.
    ///
    /// # Errors
    /// Any; the registry forgets the session by itself then.
    ///
    /// Source: distribution-spec v1.1.1, draft, "Cancel a blob upload".
    pub async fn cancel(self) -> Result<()> {
        self.cancellation().await
    }

    /// What gives the session up, to be done whether or not the session is kept.
    pub(super) fn cancellation(&self) -> impl Future<Output = Result<()>> + Send + 'static {
        let repository = self.repository.clone();
        let ask = self.ask(Method::DELETE, self.location.clone());
        async move {
            let cancel = repository.exchange().expect(ask, &[200, 202, 204]);
            match tokio::time::timeout(CANCEL_WAIT, cancel).await {
                Ok(reply) => reply.map(drop),
                Err(_) => Err(Error::new(ErrorKind::Timeout).at(repository.upload_name())),
            }
        }
    }

    async fn put(&mut self, digest: &Digest, body: Body) -> Result<()> {
        let about = self.repository.blob_name(digest);
        let uri = match self.moved_to(&Method::PUT) {
            Some(uri) => uri,
            None => with_digest(&self.location, digest)
                .ok_or_else(|| protocol_error(&self.location, "cannot take a digest".to_owned()))?,
        };
        let ask = Ask::new(Method::PUT, uri, self.repository.push(), &about)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM)
            .body(body);
        let reply = self.send(Method::PUT, ask, &[201, 204]).await?;
        stored(reply, digest).await.map_err(|e| e.at(about))
    }

    /// Sends a request with a body; keeps where it was redirected to.
    async fn send(&mut self, method: Method, ask: Ask, statuses: &[u16]) -> Result<Reply> {
        let sent = self.repository.exchange().expect(ask, statuses).await;
        self.moved = sent.as_ref().err().and_then(moved).map(|to| (method, to.clone()));
        sent
    }

    fn moved_to(&self, method: &Method) -> Option<Uri> {
        self.moved.as_ref().filter(|(moved, _)| moved == method).map(|(_, to)| to.clone())
    }

    fn patch(&self, content: BlobStream, size: Option<u64>) -> Ask {
        let to = self.moved_to(&Method::PATCH).unwrap_or_else(|| self.location.clone());
        self.ask(Method::PATCH, to)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM)
            .body(Body::Stream { stream: content, size })
    }

    fn ask(&self, method: Method, uri: Uri) -> Ask {
        Ask::new(method, uri, self.repository.push(), self.repository.upload_name())
    }

    /// Takes the new location, where the reply has one.
    fn follow(&mut self, reply: &Reply) -> Result<()> {
        if reply.headers.contains_key(http::header::LOCATION) {
            self.location = reply.location()?;
        }
        Ok(())
    }

    fn unusable(&self, source: http::header::InvalidHeaderValue) -> Error {
        Error::new(ErrorKind::Invalid).at(self.repository.upload_name()).with_source(source)
    }
}

/// Ends with the reply to a blob's last request, and holds what it says was stored against the
/// digest of what was sent.
async fn stored(reply: Reply, digest: &Digest) -> Result<()> {
    let stated = reply.stated_digest();
    reply.body.drain().await;
    stated.map_or(Ok(()), |stated| agree(digest, &stated))
}

impl fmt::Debug for Upload {
    /// Without the location, whose query is a secret of sorts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?}, {} bytes)", self.repository, self.offset)
    }
}

/// An upload session that is given up if the push is dropped before its end.
pub(super) struct Session {
    pub(super) upload: Upload,
    /// Whether there is something to give up.
    open: bool,
}

impl Session {
    pub(super) fn of(upload: Upload) -> Self {
        Self { upload, open: true }
    }

    /// Leaves the session alone: it is complete, or gone.
    pub(super) fn forget(mut self) {
        self.open = false;
    }

    /// Gives the session up; whether that worked matters to nobody.
    pub(super) async fn cancel(mut self) {
        self.open = false;
        drop(self.upload.cancellation().await);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.upload.cancellation());
        }
    }
}

const OCI_CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
const CANCEL_WAIT: Duration = Duration::from_secs(2);
