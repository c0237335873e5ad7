//! Blobs as streams, which are verified when read.
//!
//! Owns [`BlobReader`], which reads every blob of a store, and [`BlobBody`], from which every blob
//! is written. Blobs are read and written in chunks, so memory use is bounded.

mod body;
mod file;
mod stream_digest;

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::digest::Verifier;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::run_blocking::run_blocking;

pub use self::body::BlobBody;
pub use self::file::FileBody;
pub use self::stream_digest::StreamDigest;

/// The chunks of a blob, in order and unverified.
pub struct BlobStream(BoxStream<'static, Result<Bytes>>);

impl BlobStream {
    /// Wraps a stream of chunks.
    pub fn new(stream: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self(stream.boxed())
    }

    /// Reads an open file from `offset` to its end on blocking threads, in chunks of 128 KiB.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) at `path` if the seek fails, and as the stream's last item if a read
    /// fails.
    pub fn from_file(mut file: File, path: PathBuf, offset: u64) -> Result<Self> {
        file.seek(SeekFrom::Start(offset)).map_err(|e| Error::io(&path, e))?;
        Ok(Self::in_chunks(file, FILE_CHUNK, move |e| Error::io(&path, e)))
    }

    /// Reads a blocking reader on blocking threads, in chunks of [`CHUNK_SIZE`] bytes. Errors refer
    /// to the reader as `name`.
    ///
    /// # Errors
    /// As the stream's last item: [`Io`](ErrorKind::Io), or the longshore error that the reader's
    /// own error wraps.
    pub fn from_reader(name: &'static str, reader: impl Read + Send + 'static) -> Self {
        Self::in_chunks(reader, CHUNK_SIZE, move |e| failed_read(name, e))
    }

    fn in_chunks<R, F>(reader: R, size: usize, failed: F) -> Self
    where
        R: Read + Send + 'static,
        F: Fn(std::io::Error) -> Error + Send + 'static,
    {
        Self::new(stream::try_unfold((reader, failed), move |(mut reader, failed)| {
            run_blocking(move || {
                let mut chunk = Vec::with_capacity(size);
                let read = reader.by_ref().take(size as u64).read_to_end(&mut chunk);
                read.map_err(&failed)?;
                Ok((!chunk.is_empty()).then(|| (chunk.into(), (reader, failed))))
            })
        }))
    }

    /// Limits the stream to its first `size` bytes. The rest is not read.
    #[must_use]
    pub fn at_most(self, size: u64) -> Self {
        Self::new(stream::try_unfold((self, size), |(mut stream, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(mut chunk) = stream.0.try_next().await? else {
                return Ok(None);
            };
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - chunk.len() as u64;
            Ok(Some((chunk, (stream, left))))
        }))
    }

    /// Reports progress to `listener` after each chunk.
    #[must_use]
    pub fn on_progress(self, listener: impl FnMut(Progress) + Send + 'static) -> Self {
        self.counted(0, None, listener)
    }

    /// Reports the progress of a stream that starts at byte `done` of `size`.
    fn counted(
        self,
        mut done: u64,
        size: Option<u64>,
        mut listener: impl FnMut(Progress) + Send + 'static,
    ) -> Self {
        Self::new(self.0.inspect_ok(move |chunk| {
            let chunk = chunk.len() as u64;
            done += chunk;
            listener(Progress { chunk, done, size });
        }))
    }

    /// Reads at most `limit` bytes into memory.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limit; the errors of the stream.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(chunk) = self.0.try_next().await? {
            if all.len() + chunk.len() > limit {
                return Err(Error::larger_than(limit));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}

impl From<Bytes> for BlobStream {
    fn from(bytes: Bytes) -> Self {
        Self::new(stream::iter([Ok(bytes)]))
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobStream(..)")
    }
}

/// A blob being read, verified as it streams.
///
/// Yields exactly `descriptor.size` bytes, in order. The last chunk is withheld until size and
/// digest are checked, so content is verified if the stream ends without an error.
///
/// # Errors
/// As the stream's last item: [`SizeMismatch`](ErrorKind::SizeMismatch),
/// [`DigestMismatch`](ErrorKind::DigestMismatch), or the error of the underlying stream.
///
/// # Cancellation
/// Dropping the reader closes the underlying stream.
pub struct BlobReader {
    descriptor: Descriptor,
    inner: BlobStream,
    verifier: Option<Verifier>,
    held: Option<Bytes>,
    side: Option<Side>,
    /// The name for errors, if it is not the digest.
    name: Option<String>,
}

impl BlobReader {
    /// Verifies `stream` against `descriptor`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the digest's algorithm cannot be computed.
    pub fn new(descriptor: Descriptor, stream: BlobStream) -> Result<Self> {
        let verifier = Verifier::new(&descriptor.digest, descriptor.size)?;
        Ok(Self::after(descriptor, verifier, stream))
    }

    /// Verifies `stream`, which has the bytes after those that `verifier` has seen.
    fn after(descriptor: Descriptor, verifier: Verifier, stream: BlobStream) -> Self {
        Self {
            descriptor,
            inner: stream,
            verifier: Some(verifier),
            held: None,
            side: None,
            name: None,
        }
    }

    /// Names the blob in errors. Without a name, errors contain the digest.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Returns the descriptor of the blob being read.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Reports progress to `listener` after each chunk that arrives.
    #[must_use]
    pub fn on_progress(mut self, listener: impl FnMut(Progress) + Send + 'static) -> Self {
        let inner = std::mem::replace(&mut self.inner, BlobStream::new(stream::empty()));
        self.inner = inner.counted(0, Some(self.descriptor.size), listener);
        self
    }

    /// Reads the whole blob into memory, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if the blob is larger, before anything is read; the errors
    /// of the reader.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        if self.descriptor.size > limit as u64 {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(&self.descriptor.digest)
                .detail(format!("{} bytes, but only {limit} are allowed", self.descriptor.size)));
        }
        BlobStream::new(self).bytes(limit).await
    }

    /// Checks the next chunk and releases the one before it.
    fn advance(&mut self, chunk: Bytes) -> Result<Option<Bytes>> {
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&chunk)?;
        }
        Ok(self.held.replace(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Checks size and digest, and ends the stream with the last chunk or with an error.
    fn end(&mut self) -> Option<Result<Bytes>> {
        match self.verifier.take()?.finish() {
            Ok(()) => self.held.take().filter(|chunk| !chunk.is_empty()).map(Ok),
            Err(error) => Some(self.fail(error)),
        }
    }

    fn fail(&mut self, error: Error) -> Result<Bytes> {
        self.verifier = None;
        self.held = None;
        let error = match self.name.take() {
            Some(name) => error.at(name),
            None => error.at(&self.descriptor.digest),
        };
        Err(match self.side {
            Some(side) => error.on(side),
            None => error,
        })
    }
}

impl Stream for BlobReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.verifier.is_some() {
            let advanced = match ready!(self.inner.poll_next_unpin(cx)) {
                None => return Poll::Ready(self.end()),
                Some(chunk) => chunk.and_then(|chunk| self.advance(chunk)),
            };
            match advanced {
                Ok(None) => {}
                Ok(Some(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Err(error) => return Poll::Ready(Some(self.fail(error))),
            }
        }
        Poll::Ready(None)
    }
}

impl fmt::Debug for BlobReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobReader({})", self.descriptor.digest)
    }
}

/// The progress of a blob that is read or sent, reported after each chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// The size in bytes of the latest chunk.
    pub chunk: u64,
    /// The number of bytes transferred so far, including this chunk.
    pub done: u64,
    /// The total size in bytes, if it is known.
    pub size: Option<u64>,
}

/// Converts the error of a reader, which may wrap a longshore error.
fn failed_read(name: &'static str, error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::new(ErrorKind::Io).at(name).with_source(error),
    }
}

/// 256 KiB: large enough that the overhead per chunk is negligible, small enough that many
/// transfers fit in memory.
pub const CHUNK_SIZE: usize = 256 << 10;
/// 128 KiB: a server holds one chunk in memory for each client. 64 KiB doubles the CPU time per
/// blob, and 256 KiB does not reduce it further.
const FILE_CHUNK: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    fn reader(content: &[u8], chunks: &[&'static [u8]]) -> BlobReader {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, content);
        let chunks: Vec<_> = chunks.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        BlobReader::new(descriptor, BlobStream::new(stream::iter(chunks))).unwrap()
    }

    async fn read(mut reader: BlobReader) -> (Vec<u8>, Option<ErrorKind>) {
        let mut got = Vec::new();
        while let Some(chunk) = reader.next().await {
            match chunk {
                Ok(chunk) => got.extend_from_slice(&chunk),
                Err(e) => {
                    assert!(reader.next().await.is_none(), "the error is the last item");
                    return (got, Some(e.kind()));
                }
            }
        }
        (got, None)
    }

    #[tokio::test]
    async fn correct_content_is_returned_whole() {
        assert_eq!(read(reader(b"abc", &[b"a", b"", b"bc"])).await, (b"abc".to_vec(), None));
        assert_eq!(read(reader(b"", &[])).await, (Vec::new(), None));
        assert_eq!(read(reader(b"", &[b""])).await, (Vec::new(), None));
    }

    #[tokio::test]
    async fn a_mismatch_is_the_last_item_and_the_last_chunk_is_withheld() {
        let (got, kind) = read(reader(b"abc", &[b"ab", b"d"])).await;
        assert_eq!((got.as_slice(), kind), (&b"ab"[..], Some(ErrorKind::DigestMismatch)));
        let (got, kind) = read(reader(b"abc", &[b"abd"])).await;
        assert_eq!((got.as_slice(), kind), (&b""[..], Some(ErrorKind::DigestMismatch)));
    }

    #[tokio::test]
    async fn content_that_is_too_short_or_too_long_is_a_size_mismatch() {
        assert_eq!(read(reader(b"abc", &[b"ab"])).await.1, Some(ErrorKind::SizeMismatch));
        let (got, kind) = read(reader(b"abc", &[b"abc", b"d"])).await;
        assert_eq!((got.as_slice(), kind), (&b""[..], Some(ErrorKind::SizeMismatch)));
    }

    #[tokio::test]
    async fn a_blob_beyond_the_limit_is_refused_before_it_is_read() {
        let e = reader(b"abc", &[b"abc"]).bytes(2).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        assert_eq!(reader(b"abc", &[b"abc"]).bytes(3).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn progress_is_reported_after_each_chunk() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = reader(b"abc", &[b"ab", b"c"]).on_progress(move |p| sender.send(p).unwrap());
        assert_eq!(reader.bytes(9).await.unwrap(), "abc");
        let progress = |chunk, done| Progress { chunk, done, size: Some(3) };
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [progress(2, 2), progress(1, 3)]);
    }
}
