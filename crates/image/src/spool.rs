//! Opens the file of an archive for random access.
//!
//! A plain tar file is read in place. Content that is compressed or comes from a pipe is first
//! written to an unnamed temporary file. Compressed content is decompressed as a stream, within
//! limits.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::path::Path;

use longshore_core::{CHUNK_SIZE, Error, ErrorKind, Result};

use crate::compression::{Compression, Decoder, START, UnpackLimits, error_of};
use crate::file_range::OpenFile;

/// The file of an archive. `in_place` is true if the file is the original, plain file.
pub(crate) struct ArchiveFile {
    pub(crate) file: OpenFile,
    pub(crate) in_place: bool,
}

/// Opens an archive. Follows links in the path, because the user chose the path. Waits for the
/// content of a pipe.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if the file does not exist; [`Invalid`](ErrorKind::Invalid)
/// for a folder and for damaged compression; [`TooLarge`](ErrorKind::TooLarge) if the decompressed
/// content exceeds the limits.
pub(crate) fn open(path: &Path) -> Result<ArchiveFile> {
    let metadata = std::fs::metadata(path).map_err(|e| not_found_or_io(path, e))?;
    if metadata.is_dir() {
        return Err(Error::new(ErrorKind::Invalid)
            .at(path.display())
            .detail("expected an archive, found a folder")
            .with_hint("Use oci:DIR for a layout in a folder."));
    }
    let file = File::open(path).map_err(|e| not_found_or_io(path, e))?;
    if metadata.is_file() && is_plain(&file).map_err(|e| e.at(path.display()))? {
        return Ok(ArchiveFile { file: OpenFile::new(file, path), in_place: true });
    }
    let unpacked = unpack(file).map_err(|e| e.at(path.display()))?;
    Ok(ArchiveFile { file: OpenFile::new(unpacked, path), in_place: false })
}

/// Reads an archive, plain or compressed, from a stream. The name of the archive is [`STREAM`].
///
/// # Errors
/// The errors of [`open`] about content; [`Io`](ErrorKind::Io) if the stream cannot be read.
pub(crate) fn read(stream: impl Read) -> Result<ArchiveFile> {
    let unpacked = unpack(stream).map_err(|e| e.at(STREAM))?;
    Ok(ArchiveFile { file: OpenFile::new(unpacked, Path::new(STREAM)), in_place: false })
}

fn is_plain(mut file: &File) -> Result<bool> {
    let mut start = Vec::new();
    file.take(START as u64).read_to_end(&mut start).map_err(error_of)?;
    io::Seek::rewind(&mut file).map_err(error_of)?;
    Ok(Compression::detect(&start)? == Compression::None)
}

fn unpack(stream: impl Read) -> Result<File> {
    let mut limits = UnpackLimits::default();
    limits.output = OUTPUT_LIMIT;
    let mut decoder = Decoder::new(stream, limits)?;
    let unpacked = tempfile::tempfile().map_err(|e| Error::io(&std::env::temp_dir(), e))?;
    let mut writer = BufWriter::with_capacity(CHUNK_SIZE, unpacked);
    io::copy(&mut decoder, &mut writer).map_err(error_of)?;
    writer.flush().map_err(error_of)?;
    writer.into_inner().map_err(|e| error_of(e.into_error()))
}

fn not_found_or_io(path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound).at(path.display()),
        _ => Error::io(path, e),
    }
}

/// The name of an archive that is read from or written to a stream.
pub(crate) const STREAM: &str = "-";
/// 256 GiB. An archive may contain many layers, each up to the limit for one layer.
const OUTPUT_LIMIT: u64 = 256 << 30;
