//! Stores blobs as files in a temporary folder until the archive is written.
//!
//! Owns the folder, which is removed with the writer, and the adapter that passes an async stream
//! to blocking work. Content is stored under random names.

use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_core::blob_file::TempFolder;
use longshore_core::{BlobReader, CHUNK_SIZE, Error, ErrorKind, Result};
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::mpsc;

use crate::file_range::{OpenFile, Section};

/// A folder for staged blobs. Dropping the value removes the folder and its content.
#[derive(Debug)]
pub(crate) struct Staging {
    folder: TempFolder,
}

/// Staged content. Dropping the value removes the file.
#[derive(Debug)]
pub(crate) struct Staged {
    path: TempPath,
    size: u64,
}

impl Staging {
    /// Creates the folder beside `target`. Missing write access is therefore detected before any
    /// blob is fetched.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), which names the parent folder.
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        let above = target.parent().unwrap_or(target);
        Ok(Self { folder: TempFolder::create(above)? })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Staged {
    /// Writes everything that `content` yields to a new file in `folder`.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io), or the error of `content`. After an error, no file is left behind.
    pub(crate) fn write(folder: &Path, content: &mut dyn Read) -> Result<Self> {
        let (file, path) =
            NamedTempFile::new_in(folder).map_err(|e| Error::io(folder, e))?.into_parts();
        let mut writer = BufWriter::with_capacity(CHUNK_SIZE, file);
        let copied = io::copy(content, &mut writer).and_then(|n| writer.flush().map(|()| n));
        let size = copied.map_err(|e| match e.downcast::<Error>() {
            Ok(error) => error,
            Err(e) => Error::io(folder, e),
        })?;
        Ok(Self { path, size })
    }

    /// Returns the content as a section.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file cannot be opened.
    pub(crate) fn section(&self) -> Result<Section> {
        let file = std::fs::File::open(&self.path).map_err(|e| Error::io(&self.path, e))?;
        let file = OpenFile::new(file, &self.path);
        Ok(Section::new(file.into(), 0, self.size))
    }
}

/// Runs blocking work on a blob while it streams. The blob is always read to its end, even if the
/// work fails early. An error about the digest therefore takes precedence over an error of the
/// work.
///
/// # Errors
/// The error of the reader, if any. Otherwise, the error of the work.
///
/// # Cancellation
/// After the future is dropped, the work can read only the chunks that are already buffered. Then
/// its next read fails.
pub(crate) async fn work_over<T, F>(mut reader: BlobReader, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&mut ChunkReader) -> Result<T> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut chunks = ChunkReader { receiver, chunk: Bytes::new(), ended: false };
    let done = tokio::task::spawn_blocking(move || work(&mut chunks));
    let mut working = true;
    while let Some(chunk) = reader.try_next().await? {
        working = working && sender.send(Next::Chunk(chunk)).await.is_ok();
    }
    // This fails only if the work has already ended. The result of the work is returned below.
    sender.send(Next::End).await.ok();
    match done.await {
        Ok(result) => result,
        Err(e) => Err(Error::new(ErrorKind::Canceled).with_source(e)),
    }
}

/// A reader of the bytes of a blob, for blocking work.
pub(crate) struct ChunkReader {
    receiver: mpsc::Receiver<Next>,
    chunk: Bytes,
    ended: bool,
}

/// A message to the work. An explicit message for the end distinguishes it from a dropped sender.
enum Next {
    Chunk(Bytes),
    End,
}

impl Read for ChunkReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Next::Chunk(chunk)) => self.chunk = chunk,
                Some(Next::End) => self.ended = true,
                None => return Err(io::Error::other(Error::new(ErrorKind::Canceled))),
            }
        }
        let n = self.chunk.len().min(into.len());
        into[..n].copy_from_slice(&self.chunk.split_to(n));
        Ok(n)
    }
}

/// The number of chunks buffered between network and work, so that both can proceed.
const AHEAD: usize = 2;

#[cfg(test)]
mod tests {
    use longshore_core::{BlobStream, Descriptor, MediaType};

    use super::*;

    fn reader(expected: &[u8], actual: &'static [u8]) -> BlobReader {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, expected);
        let chunks = actual.chunks(2).map(|chunk| Ok(Bytes::from_static(chunk)));
        let stream = BlobStream::new(futures_util::stream::iter(chunks));
        BlobReader::new(descriptor, stream).unwrap()
    }

    #[tokio::test]
    async fn staged_content_exists_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::beside(&folder.path().join("x.tar")).unwrap();
        let into = staging.path().to_owned();
        let staged =
            work_over(reader(b"abcde", b"abcde"), move |chunks| Staged::write(&into, chunks))
                .await
                .unwrap();
        assert_eq!(staged.section().unwrap().bytes(9).unwrap(), "abcde");
        drop(staged);
        assert_eq!(std::fs::read_dir(staging.path()).unwrap().count(), 0);
        drop(staging);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_digest_error_takes_precedence_over_an_error_of_the_work() {
        let work = |_: &mut ChunkReader| -> Result<()> { Err(Error::new(ErrorKind::Invalid)) };
        let e = work_over(reader(b"abcde", b"abcdx"), work).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
        let e = work_over(reader(b"abcde", b"abcde"), work).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid);

        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().to_owned();
        let e = work_over(reader(b"abcde", b"abcdx"), move |chunks| Staged::write(&into, chunks))
            .await
            .unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    }
}
