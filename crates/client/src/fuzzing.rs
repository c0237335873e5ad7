//! Makes private parsers of untrusted text available to the fuzz targets in `fuzz/`.
//!
//! A fuzz target is a separate crate and sees only public items, but no other crate needs these
//! parsers. So this module exists only under `cfg(fuzzing)`, which cargo-fuzz sets. A feature would
//! be public, and `--all-features` would enable it in ordinary builds.

use std::ops::Range;

use http::HeaderMap;
use http::header::CONTENT_RANGE;

use crate::auth::{Challenge, Scope};
use crate::credentials::netrc_entries;
use crate::repository::{check_content_range, upload_offset};

/// An authentication scheme that a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The scheme in lower case.
    pub scheme: String,
    /// The parameters of a Bearer challenge.
    pub bearer: Option<Bearer>,
}

/// The parameters of a Bearer challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    /// The token service's URL.
    pub realm: String,
    /// The registry's name at the token service.
    pub service: Option<String>,
    /// The scopes that a token must cover.
    pub scopes: Vec<Scope>,
}

/// Parses all `WWW-Authenticate` headers.
///
/// # Errors
/// A clause that describes the malformed part.
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

/// Parses the target of the `Link` to the next page.
///
/// # Errors
/// A clause that describes the malformed part.
pub fn next_link(headers: &HeaderMap) -> Result<Option<String>, &'static str> {
    crate::link::next(headers)
}

/// Returns machine, login and password of each entry in a `.netrc` file.
#[must_use]
pub fn netrc(text: &str) -> Vec<(String, String, Option<String>)> {
    netrc_entries(text)
}

/// Returns true if the `Content-Range` of a 206 is the requested range of a blob of `size` bytes.
#[must_use]
pub fn is_content_range(headers: &HeaderMap, requested: &Range<u64>, size: u64) -> bool {
    headers.contains_key(CONTENT_RANGE) && check_content_range(headers, requested, size).is_ok()
}

/// Parses the number of bytes that an upload session has, from its `Range` header.
#[must_use]
pub fn offset_of_upload(text: &str) -> Option<u64> {
    upload_offset(text)
}
