//! What all listings have in common: the way from one page to the next.

use http::Uri;
use longshore_core::{Error, ErrorKind, PageToken, Result};

/// The URL of a page: the first one's, or the one that the page before it named.
pub(crate) fn page_uri(token: Option<PageToken>, first: Uri) -> Result<Uri> {
    match token {
        None => Ok(first),
        Some(token) => token.0.parse().map_err(|e| {
            Error::new(ErrorKind::Invalid).at("page token").with_source(http::Error::from(e))
        }),
    }
}

/// 8 MiB a page.
pub(crate) const PAGE_LIMIT: usize = 8 << 20;
