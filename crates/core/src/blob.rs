//! Blobs as streams: verified on the way out, openable again on the way in.
//!
//! Owns [`BlobReader`], through which every blob leaves a store, and [`BlobBody`], with which every
//! blob enters one. Both are bounded: no blob is ever held whole.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::descriptor::Descriptor;
use crate::digest::Verifier;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::store::Source;

/// What is told how many bytes went by.
pub(crate) type Meter = Arc<dyn Fn(u64) + Send + Sync>;

/// Pieces of a blob, in order, not verified.
pub struct BlobStream(BoxStream<'static, Result<Bytes>>);

impl BlobStream {
    /// Wraps a stream of pieces.
    pub fn new(stream: impl Stream<Item = Result<Bytes>> + Send + 'static) -> Self {
        Self(stream.boxed())
    }

    /// The bytes of an open file from `offset` to its end, read in pieces of [`PIECE`] bytes.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) at `path` if it cannot be positioned, and as the stream's last item if
    /// it cannot be read.
    pub async fn of_open_file(file: std::fs::File, path: PathBuf, offset: u64) -> Result<Self> {
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(PIECE);
        if offset > 0 {
            let start = std::io::SeekFrom::Start(offset);
            file.seek(start).await.map_err(|e| Error::io(&path, e))?;
        }
        Ok(Self::new(stream::try_unfold((file, path), |(mut file, path)| async move {
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            let n = file.read_buf(&mut piece).await.map_err(|e| Error::io(&path, e))?;
            Ok((n > 0).then(|| (piece.freeze(), (file, path))))
        })))
    }

    /// The first `size` bytes; the rest is not read.
    #[must_use]
    pub fn at_most(self, size: u64) -> Self {
        Self::new(stream::try_unfold((self, size), |(mut stream, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(mut piece) = stream.0.try_next().await? else {
                return Ok(None);
            };
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - piece.len() as u64;
            Ok(Some((piece, (stream, left))))
        }))
    }

    /// The same, telling `meter` the size of each piece in bytes as it goes by.
    #[must_use]
    pub(crate) fn metered(self, meter: Meter) -> Self {
        Self::new(self.0.inspect_ok(move |piece| meter(piece.len() as u64)))
    }

    /// At most `limit` bytes, in memory.
    ///
    /// # Errors
    /// The stream's error; [`TooLarge`](ErrorKind::TooLarge) beyond the limit.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = self.0.try_next().await? {
            if all.len() + piece.len() > limit {
                return Err(Error::new(ErrorKind::TooLarge)
                    .detail(format!("more than the {limit} bytes allowed here")));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
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
/// Yields exactly `descriptor.size` bytes, in order. The last piece is withheld until size and
/// digest are right, so whoever has all of it has the right thing.
///
/// # Errors
/// As the stream's last item: [`SizeMismatch`](ErrorKind::SizeMismatch),
/// [`DigestMismatch`](ErrorKind::DigestMismatch), or whatever broke the stream beneath.
///
/// # Cancellation
/// Dropping it closes what it reads from.
pub struct BlobReader {
    descriptor: Descriptor,
    inner: BlobStream,
    verifier: Option<Verifier>,
    held: Option<Bytes>,
    side: Option<Side>,
}

impl BlobReader {
    /// Verifies `stream` against `descriptor`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the digest's algorithm cannot be computed.
    pub fn new(descriptor: Descriptor, stream: BlobStream) -> Result<Self> {
        let verifier = Verifier::new(&descriptor.digest, descriptor.size)?;
        Ok(Self { descriptor, inner: stream, verifier: Some(verifier), held: None, side: None })
    }

    /// What is being read.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The whole blob in memory, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) before anything is read, or the reader's error.
    pub async fn bytes(self, limit: usize) -> Result<Bytes> {
        if self.descriptor.size > limit as u64 {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(&self.descriptor.digest)
                .detail(format!("{} bytes, where {limit} are allowed", self.descriptor.size)));
        }
        BlobStream::new(self).bytes(limit).await
    }

    /// Checks the next piece, and lets out the one before it.
    fn advance(&mut self, piece: Bytes) -> Result<Option<Bytes>> {
        if let Some(verifier) = &mut self.verifier {
            verifier.update(&piece)?;
        }
        Ok(self.held.replace(piece).filter(|piece| !piece.is_empty()))
    }

    /// Ends the stream, for good: with the verdict, or with the error that broke it.
    fn end(&mut self) -> Option<Result<Bytes>> {
        match self.verifier.take()?.finish() {
            Ok(()) => self.held.take().filter(|piece| !piece.is_empty()).map(Ok),
            Err(error) => Some(self.fail(error)),
        }
    }

    fn fail(&mut self, error: Error) -> Result<Bytes> {
        self.verifier = None;
        self.held = None;
        let error = error.at(&self.descriptor.digest);
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
                Some(piece) => piece.and_then(|piece| self.advance(piece)),
            };
            match advanced {
                Ok(None) => {}
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
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

/// A blob to be written: bytes, a file, another store's blob, or a stream that comes once.
///
/// A store opens it, perhaps more than once, perhaps from the middle: that is how a broken upload
/// goes on. Only a stream cannot be opened again.
pub struct BlobBody {
    body: Body,
    meter: Option<Meter>,
}

enum Body {
    Bytes(Bytes),
    File(PathBuf),
    Source(Arc<dyn Source>),
    Reader(Option<Box<BlobReader>>),
    Once(Option<BlobStream>),
}

impl BlobBody {
    /// The content of a file, which must not change while it is sent.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Body::File(path.into()).into()
    }

    /// The blob that `source` has under the digest to be written; errors in reading it say that they
    /// are the [source](Side::Source)'s.
    #[must_use]
    pub fn source(source: Arc<dyn Source>) -> Self {
        Body::Source(source).into()
    }

    /// A stream, which can be sent once only.
    #[must_use]
    pub fn stream(stream: BlobStream) -> Self {
        Body::Once(Some(stream)).into()
    }

    /// Whether it can be opened more than once.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        !matches!(self.body, Body::Once(_) | Body::Reader(_))
    }

    /// The same, telling `meter` of each piece that is read from it.
    pub(crate) fn metered(mut self, meter: Meter) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Opens it from the start, verified against what it should be.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) or the source's error; [`Unsupported`](ErrorKind::Unsupported) if a
    /// stream was opened before.
    pub async fn open(&mut self, descriptor: &Descriptor) -> Result<BlobReader> {
        let mut reader = match &mut self.body {
            Body::Source(source) => {
                let mut reader = source.blob(descriptor).await.map_err(|e| e.on(Side::Source))?;
                reader.side = Some(Side::Source);
                reader
            }
            // Verified already, if it is the same blob: hashing it twice would double the cost.
            Body::Reader(reader)
                if reader.as_ref().is_some_and(|r| r.descriptor.digest == descriptor.digest) =>
            {
                *reader.take().ok_or_else(|| sent_already(descriptor))?
            }
            body => BlobReader::new(descriptor.clone(), body.stream(descriptor, 0).await?)?,
        };
        if let Some(meter) = &self.meter {
            let unmetered = std::mem::replace(&mut reader.inner, BlobStream::new(stream::empty()));
            reader.inner = unmetered.metered(Arc::clone(meter));
        }
        Ok(reader)
    }

    /// Opens it from `offset` in bytes on, not verified: the receiver checks the whole.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_at(&mut self, descriptor: &Descriptor, offset: u64) -> Result<BlobStream> {
        let stream = self.body.stream(descriptor, offset).await?;
        Ok(match &self.meter {
            Some(meter) => stream.metered(Arc::clone(meter)),
            None => stream,
        })
    }
}

impl Body {
    async fn stream(&mut self, descriptor: &Descriptor, offset: u64) -> Result<BlobStream> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let rest = bytes.slice(start..);
                Ok(BlobStream::new(stream::iter([Ok(rest)])))
            }
            Self::File(path) => open_file(path, offset).await,
            Self::Source(source) => {
                let rest = source.blob_range(descriptor, offset..descriptor.size).await;
                let rest = rest.map_err(|e| e.on(Side::Source))?;
                Ok(BlobStream::new(rest.map_err(|e| e.on(Side::Source))))
            }
            Self::Reader(_) | Self::Once(_) if offset > 0 => Err(sent_already(descriptor)),
            Self::Reader(reader) => {
                reader.take().map(|r| BlobStream::new(*r)).ok_or_else(|| sent_already(descriptor))
            }
            Self::Once(stream) => stream.take().ok_or_else(|| sent_already(descriptor)),
        }
    }
}

impl From<Body> for BlobBody {
    fn from(body: Body) -> Self {
        Self { body, meter: None }
    }
}

/// A user's own file, where links are theirs to make.
async fn open_file(path: &std::path::Path, offset: u64) -> Result<BlobStream> {
    let file = tokio::fs::File::open(path).await.map_err(|e| Error::io(path, e))?;
    BlobStream::of_open_file(file.into_std().await, path.to_owned(), offset).await
}

fn sent_already(descriptor: &Descriptor) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(&descriptor.digest)
        .detail("the blob comes from a stream, which cannot be sent again")
}

impl From<Bytes> for BlobBody {
    fn from(bytes: Bytes) -> Self {
        Body::Bytes(bytes).into()
    }
}

impl From<BlobReader> for BlobBody {
    fn from(reader: BlobReader) -> Self {
        Body::Reader(Some(Box::new(reader))).into()
    }
}

impl fmt::Debug for BlobBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Bytes(bytes) => write!(f, "BlobBody({} bytes)", bytes.len()),
            Body::File(path) => write!(f, "BlobBody({})", path.display()),
            Body::Source(source) => write!(f, "BlobBody({source:?})"),
            Body::Reader(_) | Body::Once(_) => f.write_str("BlobBody(stream)"),
        }
    }
}

/// 256 KiB: large enough that a piece costs nothing, small enough that many transfers fit in memory.
pub const PIECE: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    fn reader(content: &[u8], pieces: &[&'static [u8]]) -> BlobReader {
        let descriptor = Descriptor::of(MediaType::OCTET_STREAM, content);
        let pieces: Vec<_> = pieces.iter().map(|p| Ok(Bytes::from_static(p))).collect();
        BlobReader::new(descriptor, BlobStream::new(stream::iter(pieces))).unwrap()
    }

    async fn read(mut reader: BlobReader) -> (Vec<u8>, Option<ErrorKind>) {
        let mut got = Vec::new();
        while let Some(piece) = reader.next().await {
            match piece {
                Ok(piece) => got.extend_from_slice(&piece),
                Err(e) => {
                    assert!(reader.next().await.is_none(), "an error is the last item");
                    return (got, Some(e.kind()));
                }
            }
        }
        (got, None)
    }

    #[tokio::test]
    async fn right_content_comes_whole() {
        assert_eq!(read(reader(b"abc", &[b"a", b"", b"bc"])).await, (b"abc".to_vec(), None));
        assert_eq!(read(reader(b"", &[])).await, (Vec::new(), None));
        assert_eq!(read(reader(b"", &[b""])).await, (Vec::new(), None));
    }

    #[tokio::test]
    async fn mismatch_is_the_last_item_and_the_last_piece_is_withheld() {
        let (got, kind) = read(reader(b"abc", &[b"ab", b"d"])).await;
        assert_eq!((got.as_slice(), kind), (&b"ab"[..], Some(ErrorKind::DigestMismatch)));
        let (got, kind) = read(reader(b"abc", &[b"abd"])).await;
        assert_eq!((got.as_slice(), kind), (&b""[..], Some(ErrorKind::DigestMismatch)));
    }

    #[tokio::test]
    async fn short_and_long_content_is_a_size_mismatch() {
        assert_eq!(read(reader(b"abc", &[b"ab"])).await.1, Some(ErrorKind::SizeMismatch));
        let (got, kind) = read(reader(b"abc", &[b"abc", b"d"])).await;
        assert_eq!((got.as_slice(), kind), (&b""[..], Some(ErrorKind::SizeMismatch)));
    }

    #[tokio::test]
    async fn a_limit_is_known_before_anything_is_read() {
        let e = reader(b"abc", &[b"abc"]).bytes(2).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        assert_eq!(reader(b"abc", &[b"abc"]).bytes(3).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_stream_opens_once_and_bytes_open_anywhere() {
        let descriptor = Descriptor::of(MediaType::OCTET_STREAM, b"abc");
        let mut bytes = BlobBody::from(Bytes::from_static(b"abc"));
        assert!(bytes.is_replayable());
        assert_eq!(bytes.open_at(&descriptor, 2).await.unwrap().bytes(9).await.unwrap(), "c");
        assert_eq!(bytes.open(&descriptor).await.unwrap().bytes(9).await.unwrap(), "abc");
        let mut once = BlobBody::from(reader(b"abc", &[b"abc"]));
        assert!(!once.is_replayable());
        assert_eq!(once.open(&descriptor).await.unwrap().bytes(9).await.unwrap(), "abc");
        assert_eq!(once.open(&descriptor).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
