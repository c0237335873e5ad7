//! The table of faults: F01 to F64 of the catalogue, with the expected outcome of each operation.
//!
//! The first row of a case that lists an operation applies. A case of a fault without an outcome
//! for an operation leaves this operation out.

#![allow(clippy::too_many_lines, reason = "a table has a row for each case")]

mod metadata;
mod redirects;
mod replies;
mod statuses;

use longshore::ErrorKind::{Timeout, Transport};

use super::case::Case;
use super::case::Outcome::Fails;
use super::operation::Operation::{
    self, BlobGet, BlobHead, BlobResume, Catalog, Chunked, Copy, Delete, DigestGet, ManifestHead,
    ManifestPut, Monolithic, Mount, Ping, Pull, Referrers, TagGet, Tags,
};
use super::setting::{Route, Wire};

/// Returns all cases, ordered by fault.
pub(super) fn cases() -> Vec<Case> {
    [
        connections(),
        replies::bodies(),
        replies::headers(),
        statuses::statuses(),
        statuses::waits(),
        redirects::redirects(),
        redirects::uploads(),
        metadata::metadata(),
        metadata::tokens(),
        metadata::rest(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// F01 to F05: no connection.
fn connections() -> Vec<Case> {
    vec![
        Case::new(1, "refused").route(Route::Refused).all(Fails(&[Transport], "refused")),
        Case::new(2, "no address")
            .route(Route::Unresolved)
            .all(Fails(&[Transport], "cannot resolve")),
        Case::new(3, "black hole")
            .route(Route::BlackHole)
            .stalls()
            .all(Fails(&[Timeout], "no connection within")),
        Case::new(4, "no TLS handshake")
            .route(Route::Silent)
            .only(Wire::Tls)
            .stalls()
            .all(Fails(&[Timeout], "no connection within")),
        Case::new(5, "unknown authority")
            .route(Route::UnknownAuthority)
            .only(Wire::Tls)
            .all(Fails(&[Transport], "not trusted")),
        Case::new(5, "expired")
            .route(Route::Expired)
            .only(Wire::Tls)
            .all(Fails(&[Transport], "certificate")),
        Case::new(5, "wrong name")
            .route(Route::WrongName)
            .only(Wire::Tls)
            .all(Fails(&[Transport], "is for other names")),
    ]
}

/// The operations that read a body.
const BODIES: &[Operation] =
    &[Ping, TagGet, DigestGet, BlobGet, BlobResume, Tags, Catalog, Referrers, Copy, Pull];
/// The operations that read a document.
const DOCUMENTS: &[Operation] = &[TagGet, DigestGet, Tags, Catalog, Referrers];
const LISTS: &[Operation] = &[Tags, Catalog, Referrers];
const MANIFESTS: &[Operation] = &[TagGet, DigestGet];
const HEADS: &[Operation] = &[ManifestHead, BlobHead];
const BLOBS: &[Operation] = &[BlobGet, BlobResume, Copy, Pull];
const UPLOADS: &[Operation] = &[Monolithic, Chunked];
/// The operations whose main request sends content or changes the registry.
const WRITES: &[Operation] = &[Monolithic, Chunked, Mount, ManifestPut, Delete];

const INVALID_TOKEN: &str = "Bearer realm=\"/token\",service=\"longshore\",error=\"invalid_token\"";
