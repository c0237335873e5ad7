//! Files to be written as blobs.

use std::fmt;
use std::path::{Path, PathBuf};

use super::body::{BlobBody, Listener, open_file};
use super::{BlobStream, Progress};
use crate::blob_file;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::media_type::MediaType;
use crate::run_blocking::run_blocking;

/// A file to write as a blob. Its digest need not be known in advance.
///
/// [`Target::push_file`](crate::Target::push_file) writes it, and a registry receives a large file
/// while its digest is computed. The file must not change meanwhile.
#[derive(Clone)]
pub struct FileBody {
    path: PathBuf,
    media_type: MediaType,
    expected: Option<Digest>,
    listener: Option<Listener>,
}

impl FileBody {
    /// Creates a body from the content of a file.
    pub fn new(path: impl Into<PathBuf>, media_type: MediaType) -> Self {
        Self { path: path.into(), media_type, expected: None, listener: None }
    }

    /// Sets the digest that the content must have.
    #[must_use]
    pub fn expected_digest(mut self, digest: Option<Digest>) -> Self {
        self.expected = digest;
        self
    }

    /// Reports progress to `listener` after each chunk that is sent. Bytes that are sent again after
    /// a failure are reported again.
    #[must_use]
    pub fn on_progress(mut self, listener: impl Fn(Progress) + Send + Sync + 'static) -> Self {
        self.listener = Some(std::sync::Arc::new(listener));
        self
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the size of the file in bytes.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the file does not exist or is not accessible.
    pub async fn size(&self) -> Result<u64> {
        let path = self.path.clone();
        let size = move || std::fs::metadata(&path).map_err(|e| Error::io(&path, e));
        run_blocking(move || Ok(size()?.len())).await
    }

    /// Reads the file to compute its descriptor.
    ///
    /// # Errors
    /// Same as [`blob_file::describe`].
    pub async fn describe(&self) -> Result<Descriptor> {
        blob_file::describe(&self.path, self.media_type.clone(), self.expected.as_ref()).await
    }

    /// Returns the content as a body for a push with a known digest.
    #[must_use]
    pub fn body(&self) -> BlobBody {
        BlobBody::file(&self.path).with_listener(self.listener.clone())
    }

    /// Opens the content as a stream that is not verified.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be opened. Later errors are the stream's last
    /// item.
    pub async fn stream(&self) -> Result<BlobStream> {
        let stream = open_file(&self.path, 0).await?;
        let Some(listener) = self.listener.clone() else { return Ok(stream) };
        let size = Some(self.size().await?);
        Ok(stream.counted(0, size, move |progress| listener(progress)))
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileBody({})", self.path.display())
    }
}
