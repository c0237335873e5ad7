//! Blobs on their way out: HEAD, GET, and the download that goes on where it broke off.

use std::ops::Range;

use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, RANGE, TRANSFER_ENCODING};
use http::{HeaderValue, Method};
use longshore_core::{BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, Result};

use super::RemoteRepository;
use super::range::{asked, check_content_range};
use crate::exchange::{Ask, is_broken};
use crate::reply::Reply;

impl RemoteRepository {
    /// Sends `HEAD /v2/<name>/blobs/<digest>`; where that is not allowed, or does not tell the size,
    /// `GET`, of which the head is read only.
    ///
    /// Source: distribution-spec v1.1.1, "Checking if content exists in the registry" (end-2).
    pub(super) async fn told_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let uri = self.endpoint()?.blob(self.path(), digest);
        for method in [Method::HEAD, Method::GET] {
            let is_head = method == Method::HEAD;
            let ask = Ask::new(method, uri.clone(), self.pull(), self.blob_name(digest));
            let reply = self.exchange().send(ask).await?;
            let size = whole_size(&reply);
            match (reply.status.as_u16(), size) {
                (200, Some(size)) => return Ok(Some(size)),
                (404, _) => return Ok(None),
                // A signed URL of a storage is good for GET only: HEAD answers 403 there.
                (200 | 400 | 403 | 405 | 501, _) if is_head => {}
                (200, None) => break,
                _ => return Err(reply.into_error().await.at(self.blob_name(digest))),
            }
        }
        let error = Error::new(ErrorKind::Protocol).at(self.blob_name(digest));
        Err(error.detail("the registry does not tell the size"))
    }

    /// Whether the blob is there. One of another size is not the one, and one whose size is not told
    /// may not be: it is sent once more then.
    pub(super) async fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        match self.told_size(&descriptor.digest).await {
            Err(e) if e.kind() == ErrorKind::Protocol && e.status().is_none() => Ok(false),
            size => Ok(size? == Some(descriptor.size)),
        }
    }

    pub(super) async fn blob_reader(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let stream = Download::start(self, descriptor, 0..descriptor.size).await?;
        BlobReader::new(descriptor.clone(), stream)
    }

    pub(super) async fn blob_part(
        &self,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<BlobStream> {
        if range.start > range.end || range.end > descriptor.size {
            let clause = format!("no such range: {}..{}", range.start, range.end);
            let error = Error::new(ErrorKind::Invalid).at(self.blob_name(&descriptor.digest));
            return Err(error.detail(clause));
        }
        if range.is_empty() && range.start > 0 {
            return Ok(BlobStream::new(stream::empty()));
        }
        let size = range.end - range.start;
        Ok(Download::start(self, descriptor, range).await?.at_most(size))
    }

    /// Asks for a blob, or a part of it. Any status is a reply.
    async fn get_blob(&self, digest: &Digest, range: Option<&Range<u64>>) -> Result<Reply> {
        let uri = self.endpoint()?.blob(self.path(), digest);
        let mut ask = Ask::new(Method::GET, uri, self.pull(), self.blob_name(digest));
        if let Some(value) = range.and_then(|range| HeaderValue::from_str(&asked(range)).ok()) {
            ask = ask.header(RANGE.as_str(), value);
        }
        self.exchange().send(ask).await
    }
}

/// A download that survives its connections.
///
/// Where a body breaks off or stalls, the rest is asked for through the registry again: the URL it
/// came from may have been signed for a short time. A reply that ignores the range is taken from
/// its start, and what is known already left out; one with another range is refused. A whole blob of
/// another size is not asked for again: it would have that size again. Whether it was all right, the
/// reader's digest decides.
struct Download {
    repository: RemoteRepository,
    descriptor: Descriptor,
    range: Range<u64>,
    /// The next byte to yield.
    position: u64,
    body: BlobStream,
    /// Bytes of the body to leave out.
    skip: u64,
    /// Whether the end of the body is the end of the blob, and not of a connection.
    ends_the_blob: bool,
    /// Whether the registry answered a range with another one.
    ranges_fail: bool,
    failures: usize,
    /// Where the last failure was.
    failed_at: u64,
}

impl Download {
    async fn start(
        repository: &RemoteRepository,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<BlobStream> {
        let mut download = Self {
            repository: repository.clone(),
            descriptor: descriptor.clone(),
            position: range.start,
            failed_at: range.start,
            range,
            body: BlobStream::new(stream::empty()),
            skip: 0,
            ends_the_blob: false,
            ranges_fail: false,
            failures: 0,
        };
        download.open().await?;
        Ok(BlobStream::new(stream::try_unfold(download, |mut download| async move {
            Ok(download.next().await?.map(|piece| (piece, download)))
        })))
    }

    /// Asks for the bytes from the position on.
    async fn open(&mut self) -> Result<()> {
        let rest = self.position..self.range.end;
        let whole = rest == (0..self.descriptor.size);
        if !whole && !self.ranges_fail {
            let reply = self.repository.get_blob(&self.descriptor.digest, Some(&rest)).await?;
            match reply.status.as_u16() {
                200 => return self.take_whole(reply),
                206 => match check_content_range(&reply.headers, &rest, self.descriptor.size) {
                    Ok(()) => {
                        (self.body, self.skip) = (reply.body.into_stream(), 0);
                        self.ends_the_blob = false;
                        return Ok(());
                    }
                    Err(clause) => {
                        tracing::debug!(digest = %self.descriptor.digest, clause, "a bad partial reply");
                        self.ranges_fail = true;
                    }
                },
                416 => self.ranges_fail = true,
                _ => return Err(reply.into_error().await.at(self.name())),
            }
        }
        let reply = self.repository.get_blob(&self.descriptor.digest, None).await?;
        let reply = reply.expect(&[200]).await.map_err(|e| e.at(self.name()))?;
        self.take_whole(reply)
    }

    /// Takes the whole blob, and leaves out what is known already.
    fn take_whole(&mut self, reply: Reply) -> Result<()> {
        if let Some(size) = whole_size(&reply).filter(|size| *size != self.descriptor.size) {
            return Err(self.other_size(size));
        }
        self.ends_the_blob = reply.headers.contains_key(TRANSFER_ENCODING)
            && !reply.headers.contains_key(CONTENT_ENCODING);
        (self.body, self.skip) = (reply.body.into_stream(), self.position);
        Ok(())
    }

    fn other_size(&self, size: u64) -> Error {
        let clause =
            format!("the manifest says {} bytes, the registry has {size}", self.descriptor.size);
        Error::new(ErrorKind::SizeMismatch).at(self.name()).detail(clause)
    }

    /// The next piece, also of what is more than the range: the reader of a whole blob refuses it.
    async fn next(&mut self) -> Result<Option<bytes::Bytes>> {
        loop {
            match self.body.next().await {
                Some(Ok(mut piece)) => {
                    let skipped = self.skip.min(piece.len() as u64);
                    self.skip -= skipped;
                    drop(piece.split_to(usize::try_from(skipped).unwrap_or(usize::MAX)));
                    self.position += piece.len() as u64;
                    if !piece.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                None if self.position >= self.range.end => return Ok(None),
                // What is left to skip did not come either.
                None if self.ends_the_blob => {
                    return Err(self.other_size(self.position - self.skip));
                }
                None => {
                    let error = Error::new(ErrorKind::Transport).at(self.name());
                    self.recover(error.detail("the reply ended early")).await?;
                }
                Some(Err(error)) if is_broken(&error) => self.recover(error).await?,
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Opens the rest after a failure; gives up after several without progress.
    async fn recover(&mut self, error: Error) -> Result<()> {
        let policy = &self.repository.shared().retry;
        if self.position - self.failed_at >= PROGRESS {
            self.failures = 0;
        }
        self.failed_at = self.position;
        self.failures += 1;
        // What ends with the last byte in place has not failed.
        if self.position >= self.range.end {
            self.body = BlobStream::new(stream::empty());
            return Ok(());
        }
        if self.failures >= policy.attempts.get() {
            return Err(error);
        }
        let wait = policy.wait(self.failures, fastrand::f64());
        tracing::debug!(digest = %self.descriptor.digest, position = self.position, %error, "resuming");
        tokio::time::sleep(wait).await;
        self.open().await
    }

    fn name(&self) -> String {
        self.repository.blob_name(&self.descriptor.digest)
    }
}

/// The size of the whole blob by its reply's head, if that tells it: an encoded one has another.
fn whole_size(reply: &Reply) -> Option<u64> {
    let encoded = reply.headers.contains_key(CONTENT_ENCODING);
    let size = reply.header(CONTENT_LENGTH.as_str()).filter(|_| !encoded);
    size.and_then(|text| text.parse().ok())
}

/// 1 MiB: with less than this between failures, they count as one series.
const PROGRESS: u64 = 1 << 20;
