//! Sections of an archive's file, read in place.
//!
//! Owns reading at given positions, so that any number of readers can share one open file. If
//! another file replaces the archive, readers continue to read the old file. This module does not
//! interpret the content.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use longshore_core::run_blocking;
use longshore_core::{BlobStream, CHUNK_SIZE, Descriptor, Error, ErrorKind, Result, Verifier};

/// An open file, and its path for error messages.
pub(crate) struct OpenFile {
    file: File,
    path: PathBuf,
}

impl OpenFile {
    pub(crate) fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the file's length in bytes.
    pub(crate) fn length(&self) -> Result<u64> {
        let metadata = self.file.metadata().map_err(|e| Error::io(&self.path, e))?;
        Ok(metadata.len())
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub(crate) fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<()> {
        while !buffer.is_empty() {
            match read_at(&self.file, buffer, offset) {
                Ok(0) => {
                    return Err(Error::new(ErrorKind::Invalid)
                        .at(self.path.display())
                        .detail("the file is truncated"));
                }
                Ok(n) => {
                    buffer = &mut buffer[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::io(&self.path, e)),
            }
        }
        Ok(())
    }
}

/// A section of a file. Clones share the file.
#[derive(Clone)]
pub(crate) struct Section {
    file: Arc<OpenFile>,
    offset: u64,
    size: u64,
}

impl Section {
    pub(crate) fn new(file: Arc<OpenFile>, offset: u64, size: u64) -> Self {
        Self { file, offset, size }
    }

    /// Returns the size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the offset in the file, which identifies a section within one file.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the first bytes, at most `n`.
    pub(crate) fn start(&self, n: usize) -> Result<Vec<u8>> {
        let mut start = vec![0; usize::try_from(self.size).unwrap_or(n).min(n)];
        self.file.read_exact_at(&mut start, self.offset)?;
        Ok(start)
    }

    /// Returns a blocking reader of all bytes. Use the reader only on threads that may block.
    pub(crate) fn reader(&self) -> SectionReader {
        SectionReader { rest: self.clone() }
    }

    /// Reads the whole section into memory.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond `limit` bytes, before anything is read.
    pub(crate) fn bytes(&self, limit: usize) -> Result<Bytes> {
        match usize::try_from(self.size) {
            Ok(size) if size <= limit => self.start(size).map(Bytes::from),
            _ => Err(Error::new(ErrorKind::TooLarge)
                .detail(format!("{} bytes, but only {limit} are allowed", self.size))),
        }
    }

    /// Streams a range of the section. Offsets are in bytes from the start of the section.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the range is not within the section.
    pub(crate) fn stream(&self, range: Range<u64>) -> Result<BlobStream> {
        if range.start > range.end || range.end > self.size {
            return Err(Error::outside(&range, self.size));
        }
        let part = Self {
            file: Arc::clone(&self.file),
            offset: self.offset + range.start,
            size: range.end - range.start,
        };
        Ok(BlobStream::new(stream::try_unfold(part, |mut rest| async move {
            if rest.size == 0 {
                return Ok(None);
            }
            run_blocking(move || Ok(Some((rest.next_chunk()?, rest)))).await
        })))
    }

    fn next_chunk(&mut self) -> Result<Bytes> {
        let buffer = self.start(CHUNK_SIZE)?;
        self.skip(buffer.len());
        Ok(buffer.into())
    }

    fn skip(&mut self, n: usize) {
        self.offset += n as u64;
        self.size -= n as u64;
    }

    /// Returns true if the content of the section matches the descriptor. If the size matches,
    /// reads the whole section.
    pub(crate) fn verify(&self, descriptor: &Descriptor) -> Result<bool> {
        if self.size != descriptor.size {
            return Ok(false);
        }
        let mut verifier = Verifier::new(&descriptor.digest, descriptor.size)?;
        let mut rest = self.clone();
        while rest.size > 0 {
            verifier.update(&rest.next_chunk()?)?;
        }
        Ok(verifier.finish().is_ok())
    }
}

impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.offset + self.size;
        write!(f, "{}[{}..{end}]", self.file.path.display(), self.offset)
    }
}

/// A reader of a section from its start to its end.
pub(crate) struct SectionReader {
    rest: Section,
}

impl Read for SectionReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = usize::try_from(self.rest.size).map_or(buffer.len(), |left| left.min(buffer.len()));
        let (file, offset) = (&self.rest.file, self.rest.offset);
        file.read_exact_at(&mut buffer[..n], offset).map_err(io::Error::other)?;
        self.rest.skip(n);
        Ok(n)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}
