//! Doors to the private parsers of foreign text, for the fuzz targets in `fuzz/`.
//!
//! A fuzz target is a crate of its own and sees public items only, but nobody else has a use for these
//! parsers. So this module exists only under `cfg(fuzzing)`, which cargo-fuzz sets. A feature would not
//! do: features are public, and one of these would be in every build with `--all-features`.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_RANGE;

use crate::auth::{Challenge, Scope};
use crate::credentials::netrc_entries;
use crate::repository::{check_content_range, upload_offset};

/// A way to authenticate that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// In lower case.
    pub scheme: String,
    /// What a Bearer challenge says besides.
    pub bearer: Option<Bearer>,
}

/// What a Bearer challenge says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The token service's URL.
    pub realm: String,
    /// The registry's name at that service.
    pub service: Option<String>,
    /// What a token is needed for.
    pub scopes: Vec<Scope>,
}

/// Reads all `WWW-Authenticate` lines.
///
/// # Errors
/// A clause that says what cannot be read.
pub fn challenges(headers: &HeaderMap) -> Result<Vec<Offer>, &'static str> {
    let offer = |challenge: &Challenge| Offer {
        scheme: challenge.scheme().to_owned(),
        bearer: match challenge {
            Challenge::Bearer(bearer) => Some(Bearer {
                realm: bearer.realm.clone(),
                service: bearer.service.clone(),
                scopes: bearer.scopes.to_vec(),
            }),
            Challenge::Basic | Challenge::Other(_) => None,
        },
    };
    Ok(Challenge::all(headers)?.iter().map(offer).collect())
}

/// Reads the target of the `Link` to the next page.
///
/// # Errors
/// A clause that says what cannot be read.
pub fn next_link(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    crate::link::next(headers)
}

/// Machine, login and password of each entry of a `.netrc`.
#[must_use]
pub fn netrc(text: &str) -> Vec<(String, String, Option<String>)> {
    netrc_entries(text)
}

/// Whether the `Content-Range` of a 206 is the range that was asked for, of a blob of that size.
#[must_use]
pub fn is_content_range(headers: &HeaderMap, asked: &Range<u64>, size: u64) -> bool {
    headers.contains_key(CONTENT_RANGE) && check_content_range(headers, asked, size).is_ok()
}

/// Reads how many bytes an upload has, from its `Range`.
#[must_use]
pub fn offset_of_upload(text: &str) -> Option<u64> {
    upload_offset(text)
}
