//! Random values that cannot be guessed.

use longshore_core::{Error, ErrorKind, Result};

/// Returns 128 bits from the operating system, as 32 hex digits.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the system's random source fails.
pub(crate) fn hex() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Error::new(ErrorKind::Io).at("the system's random source").with_source(e))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
