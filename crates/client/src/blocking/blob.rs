//! Blobs as readers, and functions for blobs in files.

use std::io::{self, BufRead, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use futures_util::stream::Fuse;
use longshore_core::{
    BlobBody, BlobReader as AsyncReader, BlobStream as AsyncStream, Descriptor, Error, ErrorKind,
    Result,
};

use super::runtime::wait;

/// A blob that is verified as it is read.
///
/// Yields exactly `descriptor.size` bytes. The last bytes and the end are returned only if size and
/// digest are correct, so content that was read to its end is verified. A failure is an
/// [`io::Error`] that wraps the [`Error`]. Every read after a failure fails too.
///
/// Dropping the reader before its end closes the connection.
#[derive(Debug)]
pub struct BlobReader {
    descriptor: Descriptor,
    stream: BlobStream,
}

impl BlobReader {
    /// Returns the descriptor of the blob.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Reads the rest of the blob into memory, if the blob has at most `limit` bytes.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) before any byte is read, or the reader's error.
    pub fn bytes(self, limit: usize) -> Result<Bytes> {
        if self.descriptor.size > limit as u64 {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(&self.descriptor.digest)
                .detail(format!("{} bytes, but only {limit} are allowed", self.descriptor.size)));
        }
        self.stream.bytes(limit)
    }
}

impl From<AsyncReader> for BlobReader {
    fn from(reader: AsyncReader) -> Self {
        let descriptor = reader.descriptor().clone();
        Self { descriptor, stream: AsyncStream::new(reader).into() }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl BufRead for BlobReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.stream.fill_buf()
    }

    fn consume(&mut self, size: usize) {
        self.stream.consume(size);
    }
}

/// A stream of bytes, such as a part of a blob, the body of a reply, or the content of an unpacked
/// layer. Of these, only the content of a layer is verified.
///
/// Dropping the stream before its end closes the connection.
#[derive(Debug)]
pub struct BlobStream {
    /// Fused, because a reader may be read again after its end, but a stream must not be polled
    /// again.
    stream: Fuse<AsyncStream>,
    chunk: Bytes,
    broken: bool,
}

impl BlobStream {
    /// Reads the rest into memory, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// Same as [`BlobStream::bytes`](AsyncStream::bytes).
    pub fn bytes(mut self, limit: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while !self.fill()?.is_empty() {
            if self.chunk.len() > limit.saturating_sub(all.len()) {
                return Err(Error::larger_than(limit));
            }
            all.extend_from_slice(&std::mem::take(&mut self.chunk));
        }
        Ok(all.freeze())
    }

    /// Returns the available bytes, or no bytes at the end.
    fn fill(&mut self) -> Result<&Bytes> {
        while self.chunk.is_empty() {
            if self.broken {
                return Err(Error::new(ErrorKind::Canceled).detail("an earlier read failed"));
            }
            match wait(async { self.stream.next().await.transpose() }) {
                Ok(Some(chunk)) => self.chunk = chunk,
                Ok(None) => break,
                Err(error) => {
                    self.broken = true;
                    return Err(error);
                }
            }
        }
        Ok(&self.chunk)
    }
}

impl From<AsyncStream> for BlobStream {
    fn from(stream: AsyncStream) -> Self {
        Self { stream: stream.fuse(), chunk: Bytes::new(), broken: false }
    }
}

impl Read for BlobStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.fill_buf()?.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..size]);
        Ok(size)
    }
}

impl BufRead for BlobStream {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.fill() {
            Ok(chunk) => Ok(chunk),
            Err(error) => Err(io::Error::new(io_kind(error.kind()), error)),
        }
    }

    fn consume(&mut self, size: usize) {
        self.chunk.advance(size.min(self.chunk.len()));
    }
}

/// Returns a blob body from a reader, which is read once, in chunks, on a separate thread.
pub fn body(reader: impl Read + Send + 'static) -> BlobBody {
    BlobBody::stream(stream(reader))
}

/// Returns the bytes of a reader as a stream, for [`Body::Stream`](crate::Body::Stream) and for
/// futures passed to [`wait`](fn@wait). The reader is read once, in chunks, on a separate thread.
pub fn stream(reader: impl Read + Send + 'static) -> AsyncStream {
    AsyncStream::from_reader("the blob's reader", reader)
}

/// Blocking functions that write, verify and describe files; see
/// [`blob_file`](longshore_core::blob_file). That module also has the functions that never wait,
/// such as [`replace_now`](longshore_core::blob_file::replace_now) and
/// [`open`](longshore_core::blob_file::open).
pub mod blob_file {
    use std::io::Read;
    use std::path::Path;

    use longshore_core::{Descriptor, Digest, MediaType, Result, blob_file};

    use super::{stream, wait};
    use crate::blocking::forward::forward;

    /// Writes a reader's bytes to a file, which appears only when it is complete and on disk.
    ///
    /// The content of a [`BlobReader`](super::BlobReader) is verified while it is written.
    ///
    /// # Errors
    /// Same as [`write`](fn@blob_file::write).
    pub fn write(path: &Path, reader: impl Read + Send + 'static) -> Result<()> {
        wait(blob_file::write(path, stream(reader)))
    }

    forward! { blob_file:
        /// Checks that a file holds exactly the content of the descriptor. Reads the whole file.
        pub fn verify(path: &Path, descriptor: &Descriptor) -> Result<bool>;
        /// Returns the digest and size of a file as a descriptor. Reads the whole file.
        pub fn describe(
            path: &Path,
            media_type: MediaType,
            expected: Option<&Digest>,
        ) -> Result<Descriptor>;
    }
}

/// Returns the closest `std` error kind.
fn io_kind(kind: ErrorKind) -> io::ErrorKind {
    match kind {
        ErrorKind::DigestMismatch | ErrorKind::SizeMismatch | ErrorKind::Protocol => {
            io::ErrorKind::InvalidData
        }
        ErrorKind::NotFound => io::ErrorKind::NotFound,
        ErrorKind::Denied | ErrorKind::Unauthorized => io::ErrorKind::PermissionDenied,
        ErrorKind::Timeout => io::ErrorKind::TimedOut,
        ErrorKind::Transport => io::ErrorKind::ConnectionAborted,
        ErrorKind::Unsupported => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn reading_after_the_end_returns_the_end_again() {
        let once = stream::unfold(Some(Bytes::from_static(b"abc")), |chunk| async move {
            chunk.map(|chunk| (Ok(chunk), None))
        });
        let mut reader = BlobStream::from(AsyncStream::new(once));
        let mut text = String::new();
        assert_eq!(reader.read_to_string(&mut text).unwrap(), 3);
        for _ in 0..2 {
            assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        }
    }

    #[test]
    fn reading_after_an_error_does_not_return_the_end() {
        let chunks = [Ok(Bytes::from_static(b"ab")), Err(Error::new(ErrorKind::Timeout))];
        let mut reader = BlobStream::from(AsyncStream::new(stream::iter(chunks)));
        let e = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        assert!(reader.read(&mut [0; 8]).is_err());
        assert!(reader.fill_buf().is_err());
    }
}
