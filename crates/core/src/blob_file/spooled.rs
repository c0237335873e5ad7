//! Spools streams whose digest and size must be known before they are written to a store.

use std::path::Path;

use tempfile::NamedTempFile;

use super::write_chunks;
use crate::blob::BlobStream;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::run_blocking::run_blocking;

/// The bytes of a stream, in a temporary file that is removed on drop.
#[derive(Debug)]
pub struct Spooled {
    file: NamedTempFile,
    descriptor: Descriptor,
}

impl Spooled {
    /// Reads a stream to its end. If `digest` is given, the bytes must match it.
    ///
    /// # Errors
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the digest differs;
    /// [`Io`](crate::ErrorKind::Io) if the file cannot be written; the errors of the stream.
    pub async fn write(stream: BlobStream, digest: Option<&Digest>) -> Result<Self> {
        let (stream, digest_so_far) = stream.digested(digest)?;
        let at = |e| Error::io(&std::env::temp_dir(), e);
        let file = run_blocking(move || NamedTempFile::new().map_err(at)).await?;
        let writer = file.as_file().try_clone().map_err(at)?;
        write_chunks(writer, file.path(), stream).await?;
        Ok(Self { file, descriptor: digest_so_far.finish()? })
    }

    /// Returns the digest and size of the bytes.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the path of the temporary file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.file.path()
    }
}
