//! Upload sessions, request by request.

use std::io::Read;

use longshore_core::{Digest, Result};

use super::blob::stream;
use super::runtime::wait;
use crate::repository::Upload as AsyncUpload;

/// An upload session: a blob that is being sent, piece by piece, and not yet visible.
///
/// Content comes from readers, which are read off the thread that sends. Dropping it leaves the session
/// to the registry, which forgets it in time.
///
/// ```no_run
/// # fn example(repository: &longshore::blocking::RemoteRepository) -> longshore::Result<()> {
/// let content = b"0123456789";
/// let mut upload = repository.begin_upload()?;
/// upload.append(&content[..4], 4)?;
/// upload.append_reader(&content[4..])?;
/// upload.finish(&longshore::Digest::sha256(content))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Upload {
    inner: AsyncUpload,
}

impl Upload {
    /// How many bytes the registry has.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.inner.offset()
    }

    /// The session's URL; see [`Upload::location`](AsyncUpload::location).
    #[must_use]
    pub fn location(&self) -> String {
        self.inner.location()
    }

    /// The smallest chunk in bytes that the registry accepts, the last one excepted, if it says so.
    #[must_use]
    pub fn least_chunk(&self) -> Option<u64> {
        self.inner.least_chunk()
    }

    /// Sends the next `size` bytes, which is all that the reader has.
    ///
    /// # Errors
    /// As [`Upload::append`](AsyncUpload::append).
    pub fn append(&mut self, chunk: impl Read + Send + 'static, size: u64) -> Result<()> {
        wait(self.inner.append(stream(chunk), size))
    }

    /// Sends what a reader yields, however much that is; says how much it was, in bytes.
    ///
    /// # Errors
    /// As [`Upload::append_stream`](AsyncUpload::append_stream).
    pub fn append_reader(&mut self, content: impl Read + Send + 'static) -> Result<u64> {
        wait(self.inner.append_stream(stream(content)))
    }

    /// Asks how many bytes the registry has; `None` where its answer leaves that open.
    ///
    /// # Errors
    /// As [`Upload::status`](AsyncUpload::status).
    pub fn status(&mut self) -> Result<Option<u64>> {
        wait(self.inner.status())
    }

    /// Completes the blob with nothing more to send.
    ///
    /// # Errors
    /// As [`Upload::finish`](AsyncUpload::finish).
    pub fn finish(&mut self, digest: &Digest) -> Result<()> {
        wait(self.inner.finish(digest))
    }

    /// Completes the blob with its last, or all, `size` bytes.
    ///
    /// # Errors
    /// As [`Upload::finish_with`](AsyncUpload::finish_with).
    pub fn finish_with(
        &mut self,
        digest: &Digest,
        rest: impl Read + Send + 'static,
        size: u64,
    ) -> Result<()> {
        wait(self.inner.finish_with(digest, stream(rest), size))
    }

    /// Completes the blob with its last, or all, bytes, however many there are.
    ///
    /// # Errors
    /// As [`Upload::finish_with_stream`](AsyncUpload::finish_with_stream).
    pub fn finish_with_reader(
        &mut self,
        digest: &Digest,
        rest: impl Read + Send + 'static,
    ) -> Result<()> {
        wait(self.inner.finish_with_stream(digest, stream(rest)))
    }

    /// Gives the session up.
    ///
    /// # Errors
    /// As [`Upload::cancel`](AsyncUpload::cancel).
    pub fn cancel(self) -> Result<()> {
        wait(self.inner.cancel())
    }
}

impl From<AsyncUpload> for Upload {
    fn from(inner: AsyncUpload) -> Self {
        Self { inner }
    }
}
