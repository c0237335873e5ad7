//! Standard input, where a command takes it for a file.

use std::path::Path;

use longshore::{Error, ErrorKind, ParseError, Result, offload};
use tempfile::NamedTempFile;

/// Standard input in a file, which goes when it is dropped, also while input is waited for.
///
/// It comes once, and what is sent must be known before: its digest, and what it unpacks to.
pub(crate) async fn spool() -> Result<NamedTempFile> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    let spooled = NamedTempFile::new().map_err(at)?;
    let mut file = spooled.reopen().map_err(at)?;
    offload(move || std::io::copy(&mut std::io::stdin(), &mut file).map_err(at)).await?;
    Ok(spooled)
}

/// Refuses `-` among files more than once: standard input can be read only once, and is empty after that.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if it is there twice.
pub(crate) fn once<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<(), ParseError> {
    match files.into_iter().filter(|file| *file == Path::new("-")).count() {
        0 | 1 => Ok(()),
        _ => Err(ParseError::new("file", "-", "standard input can be read only once")),
    }
}
