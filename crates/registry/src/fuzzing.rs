//! Access to the private parsers of untrusted text, for the fuzz targets in `fuzz/`.
//!
//! Exists only under `cfg(fuzzing)`, which cargo-fuzz sets. The module `fuzzing` of the client
//! explains why.

use std::ops::Range;

use longshore_core::{ParseError, Result};

use crate::access::htpasswd_entries;
use crate::range::{Wanted, of_chunk};

/// Returns the bytes that a `Range` header selects in a blob of `size` bytes, or `None` for 416.
#[must_use]
pub fn wanted(header: &str, size: u64) -> Option<Range<u64>> {
    match Wanted::parse(header, size) {
        Wanted::Whole => Some(0..size),
        Wanted::Part(range) => Some(range),
        Wanted::Nothing => None,
    }
}

/// Returns the bytes that the `Content-Range` of an upload's chunk covers.
///
/// # Errors
/// Fails if the text is not a valid range.
pub fn chunk_range(header: &str) -> Result<Range<u64>, ParseError> {
    of_chunk(header)
}

/// Parses a password file into names and hashes, sorted by name.
///
/// # Errors
/// Same as [`Htpasswd::parse`](crate::Htpasswd::parse).
pub fn htpasswd(text: &str) -> Result<Vec<(String, String)>> {
    htpasswd_entries(text)
}
