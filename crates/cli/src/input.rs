//! Reads input files and standard input.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longshore::{Error, ErrorKind, ParseError, Result, run_blocking};
use tempfile::NamedTempFile;

/// Copies standard input to a temporary file. The file is removed on drop, even while the copy
/// waits for input.
///
/// Standard input can be read only once, but an upload requires the digest and the diff ID before
/// it reads the content.
pub(crate) async fn spool() -> Result<NamedTempFile> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    let spooled = NamedTempFile::new().map_err(at)?;
    let mut file = spooled.reopen().map_err(at)?;
    run_blocking(move || std::io::copy(&mut std::io::stdin(), &mut file).map_err(at)).await?;
    Ok(spooled)
}

/// Reads a file, or standard input for `-`.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the file cannot be read; [`TooLarge`](ErrorKind::TooLarge) if it has
/// more than `limit` bytes.
pub(crate) async fn read(file: PathBuf, limit: usize) -> Result<Bytes> {
    run_blocking(move || {
        let (mut bytes, most) = (Vec::new(), limit as u64 + 1);
        let read = match file == Path::new("-") {
            true => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
            false => File::open(&file).and_then(|open| open.take(most).read_to_end(&mut bytes)),
        };
        read.map_err(|e| Error::io(&file, e))?;
        if bytes.len() > limit {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(file.display())
                .detail(format!("expected at most {limit} bytes")));
        }
        Ok(bytes.into())
    })
    .await
}

/// Checks that `-` is given at most once, because standard input can be read only once.
///
/// # Errors
/// [`ParseError`] if `-` is given more than once.
pub(crate) fn once<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<(), ParseError> {
    match files.into_iter().filter(|file| *file == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(ParseError::new("file", "-", "standard input can be read only once")),
    }
}
