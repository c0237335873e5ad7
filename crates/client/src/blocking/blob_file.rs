//! Content that becomes a file, waited for: see [`blob_file`], which also has what needs no wait, such
//! as [`replace_now`](blob_file::replace_now) and [`open`](blob_file::open).

use std::io::Read;
use std::path::Path;

use longshore_core::{Descriptor, Digest, MediaType, Result, blob_file};

use super::blob::stream;
use super::runtime::wait;

/// Writes what a reader yields to `path`, which shows only when all of it is there and on the disk.
///
/// A [`BlobReader`](super::BlobReader) is verified on the way.
///
/// # Errors
/// As [`write`](fn@blob_file::write).
pub fn write(path: &Path, reader: impl Read + Send + 'static) -> Result<()> {
    wait(blob_file::write(path, stream(reader)))
}

/// Whether a file holds exactly what the descriptor says. Reads all of it.
///
/// # Errors
/// As [`verify`](fn@blob_file::verify).
pub fn verify(path: &Path, descriptor: &Descriptor) -> Result<bool> {
    wait(blob_file::verify(path, descriptor))
}

/// Digest and size of a file. Reads all of it.
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
