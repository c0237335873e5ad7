//! Blocking functions that write content to files: see [`blob_file`]. That module also has the
//! functions that never wait, such as [`replace_now`](blob_file::replace_now) and
//! [`open`](blob_file::open).

use std::io::Read;
use std::path::Path;

use longshore_core::{Descriptor, Digest, MediaType, Result, blob_file};

use super::blob::stream;
use super::runtime::wait;

/// Writes a reader's bytes to `path`, which appears only when it is complete and on the disk.
///
/// A [`BlobReader`](super::BlobReader) is verified on the way.
///
/// # Errors
/// As [`write`](fn@blob_file::write).
pub fn write(path: &Path, reader: impl Read + Send + 'static) -> Result<()> {
    wait(blob_file::write(path, stream(reader)))
}

/// Checks that a file holds exactly the content of the descriptor. Reads all of it.
///
/// # Errors
/// As [`verify`](fn@blob_file::verify).
pub fn verify(path: &Path, descriptor: &Descriptor) -> Result<bool> {
    wait(blob_file::verify(path, descriptor))
}

/// Returns digest and size of a file. Reads all of it.
///
/// # Errors
/// As [`describe`](fn@blob_file::describe).
pub fn describe(
    path: &Path,
    media_type: MediaType,
    expected: Option<&Digest>,
) -> Result<Descriptor> {
    wait(blob_file::describe(path, media_type, expected))
}
