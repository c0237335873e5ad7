//! Access to the private reader of tar files, for the fuzz targets in `fuzz/`.
//!
//! Compiled only under `cfg(fuzzing)`, which cargo-fuzz sets. The module `fuzzing` of the crate
//! `longshore` explains why no feature enables it.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use longshore_core::Result;

use crate::file_range::OpenFile;
use crate::tar_index::Members;

/// Lists the files of a tar file by name, with the position of each file's content. Follows links.
///
/// # Errors
/// [`Invalid`](longshore_core::ErrorKind::Invalid) and
/// [`TooLarge`](longshore_core::ErrorKind::TooLarge), as for archives.
pub fn tar_members(file: File) -> Result<Vec<(String, Range<u64>)>> {
    let members = Members::index(OpenFile::new(file, Path::new("fuzz.tar")))?;
    let place = |start: u64, size: u64| start..start + size;
    Ok(members
        .files()
        .map(|(name, section)| (name.to_owned(), place(section.offset(), section.size())))
        .collect())
}
