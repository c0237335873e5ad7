//! Upload sessions and their requests. `push` decides how to continue when a request fails.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderValue, Method, Uri};
use longshore_core::{BlobStream, Descriptor, Digest, Error, ErrorKind, Result};

use super::RemoteRepository;
use super::manifest::agree;
use super::range::{min_chunk_size, upload_offset};
use crate::attempts::may_pass;
use crate::endpoint::with_digest;
use crate::exchange::RegistryRequest;
use crate::origin::{check_hop, resolve};
use crate::reply::Reply;
use crate::transport::redirect::moved;
use crate::transport::{Body, protocol_error};
use crate::upload_records::UploadRecord;

/// An upload session: a blob that is being sent, chunk by chunk, and is not yet visible.
///
/// [`push_blob`](longshore_core::Target::push_blob) sends all requests of an upload and handles
/// failures. Use this type only to control the single requests. A request with content is sent only
/// once. If a registry redirects such a request, the call fails, and the next call with the same
/// content sends it to the new location.
///
/// # Cancellation
/// Dropping the upload leaves the session to the registry, which eventually removes it; see
/// [`cancel`](Self::cancel).
pub struct Upload {
    repository: RemoteRepository,
    location: Uri,
    /// The method and redirect target of the last request, if the request must be sent again.
    moved: Option<(Method, Uri)>,
    offset: u64,
    min_chunk_size: Option<u64>,
    /// True if the registry stated the digest of the stored blob.
    is_confirmed: bool,
}

impl RemoteRepository {
    /// Returns a request for an upload session.
    fn upload_request(&self, method: Method, uri: Uri) -> RegistryRequest {
        RegistryRequest::new(method, uri, self.push(), self.upload_name())
    }

    /// Begins an upload.
    ///
    /// Sends `POST /v2/<name>/blobs/uploads/`.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) or [`Unauthorized`](ErrorKind::Unauthorized) without
    /// permission to push; [`Protocol`](ErrorKind::Protocol) if the session's URL may not be used.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing blobs" (end-4a).
    pub async fn begin_upload(&self) -> Result<Upload> {
        let uri = self.endpoint().await?.uploads(self.path());
        let request = self.upload_request(Method::POST, uri);
        let reply = self.exchange().expect(request, &[202]).await?;
        Upload::of(self, reply).await.map_err(|e| e.at(self.upload_name()))
    }

    /// Sends a blob in one request, if the registry accepts such requests. If the registry requires
    /// a session, returns a session that has no content yet.
    ///
    /// Sends `POST /v2/<name>/blobs/uploads/?digest=<digest>` with the content. The content is sent
    /// only once. With [`UploadMethod::SinglePost`](crate::UploadMethod::SinglePost), `push_blob`
    /// also handles a returned session.
    ///
    /// # Errors
    /// Same as [`begin_upload`](Self::begin_upload) and [`finish`](Upload::finish).
    ///
    /// Source: distribution-spec v1.1.1, "Single POST" (end-4b).
    pub async fn post_blob(
        &self,
        descriptor: &Descriptor,
        content: BlobStream,
    ) -> Result<Option<Upload>> {
        self.post_body(descriptor, Body::Stream { stream: content, size: Some(descriptor.size) })
            .await
    }

    /// Same as [`post_blob`](Self::post_blob), with content in memory, which is sent again after a
    /// challenge.
    pub(super) async fn post_bytes(
        &self,
        descriptor: &Descriptor,
        content: Bytes,
    ) -> Result<Option<Upload>> {
        self.post_body(descriptor, Body::Bytes(content)).await
    }

    async fn post_body(&self, descriptor: &Descriptor, body: Body) -> Result<Option<Upload>> {
        let digest = &descriptor.digest;
        let about = self.blob_name(digest);
        let uri = self.endpoint().await?.uploads(self.path());
        let uri = with_digest(&uri, digest)
            .ok_or_else(|| protocol_error(&uri, "cannot take a digest".to_owned()))?;
        let request = RegistryRequest::new(Method::POST, uri, self.push(), &about)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM)
            .body(body);
        let reply = self.exchange().expect(request, &[201, 202]).await?;
        if reply.is(&[202]) {
            return Upload::of(self, reply).await.map(Some).map_err(|e| e.at(about));
        }
        stored(reply, digest).await.map_err(|e| e.at(about))?;
        Ok(None)
    }

    /// Resumes an upload that was begun in this process or another.
    ///
    /// Sends `GET <location>` to query the offset. If the registry does not state the offset, as
    /// for a new session, the offset is assumed to be zero.
    ///
    /// - `location`: the value of [`Upload::location`], or a path at this registry.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the session no longer exists;
    /// [`Invalid`](ErrorKind::Invalid) if the URL may not be used.
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
        check_session(&location).map_err(refused)?;
        let mut upload = Upload::at(self, location, None);
        upload.status().await?;
        Ok(upload)
    }

    pub(super) fn upload_name(&self) -> String {
        format!("upload to {}", self.repository())
    }
}

impl Upload {
    /// Returns the session in the reply to a POST.
    pub(super) async fn of(repository: &RemoteRepository, reply: Reply) -> Result<Self> {
        let location = session_url(&reply)?;
        let min_chunk_size = reply.header(OCI_CHUNK_MIN_LENGTH).and_then(min_chunk_size);
        reply.body.drain().await;
        Ok(Self::at(repository, location, min_chunk_size))
    }

    fn at(repository: &RemoteRepository, location: Uri, min_chunk_size: Option<u64>) -> Self {
        let repository = repository.clone();
        Self { repository, location, moved: None, offset: 0, min_chunk_size, is_confirmed: false }
    }

    /// Returns the number of bytes that the registry has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the session's URL, with which another process can
    /// [resume](RemoteRepository::resume_upload) the upload. The URL may change with each request.
    /// It may authorize any holder to continue the upload, so treat it as a secret.
    #[must_use]
    pub fn location(&self) -> String {
        self.location.to_string()
    }

    /// Returns the registry's minimum chunk size in bytes, if stated; the last chunk may be
    /// smaller.
    #[must_use]
    pub fn min_chunk_size(&self) -> Option<u64> {
        self.min_chunk_size
    }

    /// Sends the next `size` bytes.
    ///
    /// Sends `PATCH <location>`. Sends no request if `size` is zero, because `Content-Range` cannot
    /// express an empty range.
    ///
    /// # Errors
    /// Any error. The number of bytes that arrived is then unknown; see [`status`](Self::status).
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-5).
    pub async fn append(&mut self, chunk: BlobStream, size: u64) -> Result<()> {
        if size == 0 {
            return Ok(());
        }
        let range = self.range_of(size)?;
        let request = self.patch(chunk, Some(size)).header(CONTENT_RANGE.as_str(), range);
        self.append_with(request).await?;
        self.offset += size;
        Ok(())
    }

    /// Sends all bytes of a stream. Returns their number.
    ///
    /// Sends `PATCH <location>` without a `Content-Range`, as Docker's client does.
    ///
    /// # Errors
    /// Same as [`append`](Self::append).
    ///
    /// Source: Docker Registry HTTP API V2, "Streamed upload".
    pub async fn append_stream(&mut self, content: BlobStream) -> Result<u64> {
        let sent = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&sent);
        let content = content.on_progress(move |p| seen.store(p.done, Ordering::Relaxed));
        let request = self.patch(content, None);
        self.append_with(request).await?;
        let sent = sent.load(Ordering::Relaxed);
        self.offset += sent;
        Ok(sent)
    }

    async fn append_with(&mut self, request: RegistryRequest) -> Result<()> {
        // ECR answers 201. The `Range` of the reply is not used, because it is often wrong for a
        // whole stream.
        let reply = self.send(Method::PATCH, request, &[201, 202, 204]).await?;
        self.follow(&reply)?;
        reply.body.drain().await;
        Ok(())
    }

    /// Returns the number of bytes that the registry has, or `None` if its reply does not state it.
    ///
    /// Sends `GET <location>`, and then uses the new location. With distribution, the old location
    /// is invalid after a failure.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the session no longer exists.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-13).
    pub async fn status(&mut self) -> Result<Option<u64>> {
        let request = self.repository.upload_request(Method::GET, self.location.clone());
        let reply = self.repository.exchange().expect(request, &[200, 202, 204]).await?;
        self.follow(&reply)?;
        let offset = reply.header(RANGE.as_str()).and_then(upload_offset);
        reply.body.drain().await;
        if let Some(offset) = offset {
            self.offset = offset;
        }
        Ok(offset)
    }

    /// Completes the blob without sending more content.
    ///
    /// Sends `PUT <location>?digest=<digest>`.
    ///
    /// # Errors
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the registry received different content.
    ///
    /// Source: distribution-spec v1.1.1, "Pushing a blob in chunks" (end-6).
    pub async fn finish(&mut self, digest: &Digest) -> Result<()> {
        self.put(digest, Body::Empty).await
    }

    /// Completes the blob with its last `size` bytes, which may be the whole blob.
    ///
    /// Sends `PUT <location>?digest=<digest>`, with a `Content-Range` if earlier bytes were sent.
    ///
    /// # Errors
    /// Same as [`finish`](Self::finish).
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

    /// Completes the blob with its remaining bytes, whose number need not be known.
    ///
    /// Sends `PUT <location>?digest=<digest>` without a length, which some registries do not
    /// accept.
    ///
    /// # Errors
    /// Same as [`finish`](Self::finish).
    pub async fn finish_with_stream(&mut self, digest: &Digest, rest: BlobStream) -> Result<()> {
        self.put(digest, Body::Stream { stream: rest, size: None }).await
    }

    /// Cancels the session.
    ///
    /// Sends `DELETE <location>`, and waits for the reply for at most two seconds.
    ///
    /// # Errors
    /// Any error of the request. The registry then removes the session after its own timeout.
    ///
    /// Source: distribution-spec v1.1.1, draft, "Cancel a blob upload".
    pub async fn cancel(self) -> Result<()> {
        self.cancellation().await
    }

    /// Returns a future that cancels the session and does not borrow from it.
    pub(super) fn cancellation(&self) -> impl Future<Output = Result<()>> + Send + 'static {
        let (repository, location) = (self.repository.clone(), self.location.clone());
        async move {
            match tokio::time::timeout(CANCEL_WAIT, cancel(&repository, &location)).await {
                Ok(canceled) => canceled,
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
        let mut request = RegistryRequest::new(Method::PUT, uri, self.repository.push(), &about)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM);
        // The last of several requests with content states its range. zot requires this.
        if let Body::Stream { size: Some(size @ 1..), .. } = body
            && self.offset > 0
        {
            request = request.header(CONTENT_RANGE.as_str(), self.range_of(size)?);
        }
        let request = request.body(body);
        let reply = self.send(Method::PUT, request, &[201, 204]).await?;
        self.is_confirmed = stored(reply, digest).await.map_err(|e| e.at(about))?;
        Ok(())
    }

    /// Returns true if the reply to the last request stated the digest of the blob.
    pub(super) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Sends a request with a body. Stores the redirect target, if any.
    async fn send(
        &mut self,
        method: Method,
        request: RegistryRequest,
        statuses: &[u16],
    ) -> Result<Reply> {
        let sent = self.repository.exchange().expect(request, statuses).await;
        self.moved = sent.as_ref().err().and_then(moved).map(|to| (method, to.clone()));
        sent
    }

    /// Returns the `Content-Range` of the next `size` bytes.
    fn range_of(&self, size: u64) -> Result<HeaderValue> {
        let range = format!("{}-{}", self.offset, self.offset.saturating_add(size - 1));
        HeaderValue::from_str(&range).map_err(|e| self.unusable(e))
    }

    fn moved_to(&self, method: &Method) -> Option<Uri> {
        self.moved.as_ref().filter(|(moved, _)| moved == method).map(|(_, to)| to.clone())
    }

    fn patch(&self, content: BlobStream, size: Option<u64>) -> RegistryRequest {
        let to = self.moved_to(&Method::PATCH).unwrap_or_else(|| self.location.clone());
        self.repository
            .upload_request(Method::PATCH, to)
            .header(CONTENT_TYPE.as_str(), OCTET_STREAM)
            .body(Body::Stream { stream: content, size })
    }

    /// Uses the new location, if the reply has one.
    fn follow(&mut self, reply: &Reply) -> Result<()> {
        if reply.headers.contains_key(http::header::LOCATION) {
            self.location = session_url(reply)?;
        }
        Ok(())
    }

    fn unusable(&self, source: http::header::InvalidHeaderValue) -> Error {
        Error::new(ErrorKind::Invalid).at(self.repository.upload_name()).with_source(source)
    }
}

/// Returns the session's URL in a reply.
fn session_url(reply: &Reply) -> Result<Uri> {
    let location = reply.location()?;
    match check_session(&location) {
        Ok(()) => Ok(location),
        Err(clause) => Err(protocol_error(&location, clause.to_owned())),
    }
}

/// Checks that a URL is not a blob's, because canceling such a session would delete the blob.
fn check_session(location: &Uri) -> Result<(), &'static str> {
    let path = location.path().trim_end_matches('/').replace("%3A", ":").replace("%3a", ":");
    match path.rsplit('/').next().is_some_and(|last| Digest::parse(last).is_ok()) {
        true => Err("is a blob, not an upload"),
        false => Ok(()),
    }
}

/// Reads the reply to the last request of a blob. Checks the digest that the reply states against
/// the digest of the sent content. Returns false if the reply states none.
async fn stored(reply: Reply, digest: &Digest) -> Result<bool> {
    let stated = reply.stated_digest();
    reply.body.drain().await;
    stated.map_or(Ok(false), |stated| agree(digest, &stated).map(|()| true))
}

impl fmt::Debug for Upload {
    /// Omits the location, whose query is sensitive.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upload({:?}, {} bytes)", self.repository, self.offset)
    }
}

/// Cancels a session. A registry that answers 409 or 416 has not yet noticed that the request with
/// the content broke off, so the `DELETE` is sent again. The caller limits the time.
async fn cancel(repository: &RemoteRepository, location: &Uri) -> Result<()> {
    let mut pause = CANCEL_PAUSE;
    loop {
        let request = repository.upload_request(Method::DELETE, location.clone());
        match repository.exchange().expect(request, &[200, 202, 204]).await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.status(), Some(409 | 416)) => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(error),
        }
    }
}

/// An upload session that is canceled if the push is dropped before its end, unless it is recorded
/// for a later push.
pub(super) struct Session {
    pub(super) upload: Upload,
    /// True if there is a session to cancel.
    open: bool,
    /// The record for a later push. A recorded session is not canceled on drop.
    pub(super) record: Option<UploadRecord>,
}

impl Session {
    pub(super) fn of(upload: Upload) -> Self {
        Self { upload, open: true, record: None }
    }

    /// Finds the recorded session of an earlier push of a blob, and queries its offset.
    ///
    /// Sends `GET <location>`, if there is a record. Returns `None` if the session cannot be
    /// continued.
    pub(super) async fn recorded(
        repository: &RemoteRepository,
        descriptor: &Descriptor,
    ) -> Option<Self> {
        let uploads = &repository.shared().uploads;
        let record = uploads.find(repository.repository(), &descriptor.digest)?;
        let Some(location) = record.location() else {
            record.remove();
            return None;
        };
        match repository.resume_upload(&location).await {
            Ok(upload) => {
                let (digest, offset) = (&descriptor.digest, upload.offset);
                tracing::debug!(%digest, offset, "found a recorded upload session");
                let mut session = Self::of(upload);
                session.record = Some(record);
                // A session without content saves nothing.
                if (1..=descriptor.size).contains(&session.upload.offset) {
                    session.store_location();
                    return Some(session);
                }
                session.cancel().await;
            }
            // The session may still exist.
            Err(error) if may_pass(&error) => {}
            Err(_) => record.remove(),
        }
        None
    }

    /// Records the session, so that a later push can continue it.
    pub(super) fn record(&mut self, descriptor: &Descriptor) {
        let repository = &self.upload.repository;
        if self.record.is_none() && descriptor.size >= RECORDED_SIZE {
            let uploads = &repository.shared().uploads;
            self.record = uploads.open(repository.repository(), &descriptor.digest);
            self.store_location();
        }
    }

    /// Writes the session's URL to its record, if it has one. The URL may change with each request.
    pub(super) fn store_location(&mut self) {
        // Without a record, no later push can continue the session, so a drop cancels it.
        self.record = self.record.take().and_then(|record| record.store(self.upload.location()));
    }

    /// Drops the session without canceling it, because it is complete or no longer exists.
    pub(super) fn forget(mut self) {
        self.close();
    }

    /// Cancels the session and ignores the result. A task sends the request, so that it is sent even
    /// if this future is dropped.
    pub(super) async fn cancel(mut self) {
        self.close();
        drop(tokio::spawn(self.upload.cancellation()).await);
    }

    /// Marks the session as closed, and removes its record.
    fn close(&mut self) {
        self.open = false;
        if let Some(record) = self.record.take() {
            record.remove();
        }
    }

    /// Drops the session. A later push continues it if it is recorded. Otherwise, it is canceled.
    pub(super) async fn leave(self) {
        if self.record.is_none() {
            self.cancel().await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.open
            && self.record.is_none()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(self.upload.cancellation());
        }
    }
}

/// 1 MiB: sending a smaller blob again takes about as long as querying its session.
const RECORDED_SIZE: u64 = 1 << 20;
const OCI_CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
const OCTET_STREAM: HeaderValue = HeaderValue::from_static("application/octet-stream");
const CANCEL_WAIT: Duration = Duration::from_secs(2);
/// 50 ms, and twice as long each further time: the registry notices a closed connection after about
/// a round trip, but a connection that hangs only after its own time limit.
const CANCEL_PAUSE: Duration = Duration::from_millis(50);
