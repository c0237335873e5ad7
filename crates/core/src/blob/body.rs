//! Blobs to be written.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};

use super::{BlobReader, BlobStream, Progress};
use crate::descriptor::Descriptor;
use crate::digest::Verifier;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::reference::Repository;
use crate::store::Source;

/// Receives the progress of a body.
pub(super) type Listener = Arc<dyn Fn(Progress) + Send + Sync>;

/// A blob to be written: bytes, a file, another store's blob, a stream that can be read only once,
/// or only a repository from which the blob is mounted.
///
/// A store may open a body again, at any offset, to resume a broken upload. This is not possible
/// with a stream.
pub struct BlobBody {
    body: Body,
    origin: Option<Repository>,
    listener: Option<Listener>,
}

enum Body {
    Bytes(Bytes),
    File(PathBuf),
    Source(Arc<dyn Source>),
    Nothing,
    Reader(Option<Box<BlobReader>>),
    Once(Option<BlobStream>),
}

impl BlobBody {
    /// Creates a body from the content of a file, which must not change while it is sent.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Body::File(path.into()).into()
    }

    /// Creates a body that reads the blob from `source`, by its digest. Read errors have the side
    /// [`Source`](Side::Source).
    #[must_use]
    pub fn source(source: Arc<dyn Source>) -> Self {
        Body::Source(source).into()
    }

    /// Creates a body without content, for a blob to be mounted from the repository `from`.
    ///
    /// Only a target at the same registry can mount the blob. At any other target, the push fails
    /// with [`Unsupported`](ErrorKind::Unsupported). The push also fails if the registry declines
    /// the mount, unless the target already holds the blob.
    #[must_use]
    pub fn mount(from: Repository) -> Self {
        Self::from(Body::Nothing).with_origin(from)
    }

    /// Creates a body from a stream, which can be sent only once.
    #[must_use]
    pub fn stream(stream: BlobStream) -> Self {
        Body::Once(Some(stream)).into()
    }

    /// Sets another repository that has the blob. A target at the same registry first tries to
    /// mount the blob from there. It sends the content only if the registry declines the mount and
    /// the target does not hold the blob.
    #[must_use]
    pub fn with_origin(mut self, repository: Repository) -> Self {
        self.origin = Some(repository);
        self
    }

    /// Returns another repository that has the blob: the one set by the caller, or else the
    /// repository of the source.
    #[must_use]
    pub fn origin(&self) -> Option<&Repository> {
        self.origin.as_ref().or_else(|| match &self.body {
            Body::Source(source) => source.origin(),
            _ => None,
        })
    }

    /// Returns true if there is content to send, and false if the blob can only be mounted.
    #[must_use]
    pub fn has_content(&self) -> bool {
        !matches!(self.body, Body::Nothing)
    }

    /// Returns false if the body is a stream, which can be opened only once, and true otherwise.
    #[must_use]
    pub fn is_replayable(&self) -> bool {
        !matches!(self.body, Body::Once(_) | Body::Reader(_))
    }

    pub(super) fn with_listener(mut self, listener: Option<Listener>) -> Self {
        self.listener = listener;
        self
    }

    /// Reports progress to `listener` after each chunk that is read from the body. Bytes that are
    /// sent again after a failure are reported again.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// Opens the body from the start, verified against `descriptor`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) or the source's error; [`Unsupported`](ErrorKind::Unsupported) if a
    /// stream was opened before, if there is no content, or if the digest's algorithm cannot be
    /// computed.
    pub async fn open(&mut self, descriptor: &Descriptor) -> Result<BlobReader> {
        let reader = match &mut self.body {
            Body::Source(source) => {
                let mut reader = source.blob(descriptor).await.map_err(|e| e.on(Side::Source))?;
                reader.side = Some(Side::Source);
                reader
            }
            // The reader already verifies the same blob. Hashing it twice would double the cost.
            Body::Reader(reader)
                if reader.as_ref().is_some_and(|r| r.descriptor.digest == descriptor.digest) =>
            {
                *reader.take().ok_or_else(|| sent_already(descriptor))?
            }
            body => BlobReader::new(descriptor.clone(), body.stream(descriptor, 0).await?)?,
        };
        Ok(match self.listener.clone() {
            Some(listener) => reader.on_progress(move |progress| listener(progress)),
            None => reader,
        })
    }

    /// Opens the body at `offset`, in bytes. The stream is not verified, because the receiver
    /// checks the whole blob.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub async fn open_at(&mut self, descriptor: &Descriptor, offset: u64) -> Result<BlobStream> {
        let stream = self.body.stream(descriptor, offset).await?;
        Ok(match self.listener.clone() {
            Some(listener) => {
                stream.counted(offset, Some(descriptor.size), move |progress| listener(progress))
            }
            None => stream,
        })
    }

    /// Opens the rest of the body after the bytes that `verifier` has seen. The reader verifies the
    /// whole blob.
    ///
    /// # Errors
    /// Same as [`open`](Self::open).
    pub(crate) async fn open_after(
        &mut self,
        descriptor: &Descriptor,
        verifier: Verifier,
    ) -> Result<BlobReader> {
        let rest = match verifier.seen() {
            0 => return self.open(descriptor).await,
            seen if seen == descriptor.size => BlobStream::new(stream::empty()),
            offset => self.open_at(descriptor, offset).await?,
        };
        let side = matches!(self.body, Body::Source(_)).then_some(Side::Source);
        Ok(BlobReader { side, ..BlobReader::after(descriptor.clone(), verifier, rest) })
    }
}

impl Body {
    async fn stream(&mut self, descriptor: &Descriptor, offset: u64) -> Result<BlobStream> {
        match self {
            Self::Bytes(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(start..).into())
            }
            Self::File(path) => open_file(path, offset).await,
            Self::Source(source) => {
                let rest = source.blob_range(descriptor, offset..descriptor.size).await;
                let rest = rest.map_err(|e| e.on(Side::Source))?;
                Ok(BlobStream::new(rest.map_err(|e| e.on(Side::Source))))
            }
            Self::Nothing => Err(Error::new(ErrorKind::Unsupported)
                .at(&descriptor.digest)
                .detail("the blob cannot be mounted, and there is no content to send")),
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
        Self { body, origin: None, listener: None }
    }
}

/// Opens a file that the user named. Follows symbolic links, because the user chose the path.
pub(super) async fn open_file(path: &std::path::Path, offset: u64) -> Result<BlobStream> {
    let file = tokio::fs::File::open(path).await.map_err(|e| Error::io(path, e))?;
    BlobStream::from_file(file.into_std().await, path.to_owned(), offset)
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
            Body::Nothing => f.write_str("BlobBody(mount)"),
            Body::Reader(_) | Body::Once(_) => f.write_str("BlobBody(stream)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    #[tokio::test]
    async fn a_stream_can_be_opened_only_once_and_bytes_again_at_any_offset() {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"abc");
        let mut bytes = BlobBody::from(Bytes::from_static(b"abc"));
        assert!(bytes.is_replayable());
        assert_eq!(bytes.open_at(&descriptor, 2).await.unwrap().bytes(9).await.unwrap(), "c");
        assert_eq!(bytes.open(&descriptor).await.unwrap().bytes(9).await.unwrap(), "abc");
        let reader = bytes.open(&descriptor).await.unwrap();
        let mut once = BlobBody::from(reader);
        assert!(!once.is_replayable());
        assert_eq!(once.open(&descriptor).await.unwrap().bytes(9).await.unwrap(), "abc");
        assert_eq!(once.open(&descriptor).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn a_mount_has_an_origin_and_no_content() {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"abc");
        let from: Repository = "r.example/a".parse().unwrap();
        let bytes = BlobBody::from(Bytes::from_static(b"abc"));
        assert!(bytes.has_content() && bytes.origin().is_none());
        assert_eq!(bytes.with_origin(from.clone()).origin(), Some(&from));
        let mut mount = BlobBody::mount(from.clone());
        assert!(!mount.has_content());
        assert_eq!(mount.origin(), Some(&from));
        assert_eq!(mount.open(&descriptor).await.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn progress_starts_at_the_offset_where_the_body_was_opened() {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"abc");
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut body = BlobBody::from(Bytes::from_static(b"abc"))
            .on_progress(move |progress| sender.send(progress).unwrap());
        drop(body.open(&descriptor).await.unwrap().bytes(9).await.unwrap());
        drop(body.open_at(&descriptor, 2).await.unwrap().bytes(9).await.unwrap());
        let progress_of = |chunk| Progress { chunk, done: 3, size: Some(3) };
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [progress_of(3), progress_of(1)]);
    }
}
