//! Common parts of all listings: their start, and the step from one page to the next.

use std::num::NonZeroUsize;

use http::Uri;
use longshore_core::{Error, ErrorKind, PageToken, Result};

/// The start and page size of a listing.
///
/// ```
/// use longshore::{ListOptions, Tag};
///
/// let mut options = ListOptions::default();
/// options.after = Some(Tag::parse("v1.9")?);
/// options.page_size = std::num::NonZeroUsize::new(50);
/// # Ok::<(), longshore::ParseError>(())
/// ```
///
/// Source: distribution-spec v1.1.1, "Listing Tags": `last` and `n`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListOptions<T> {
    /// The item after which the listing starts, in the registry's order. The item need not exist.
    pub after: Option<T>,
    /// Number of items to request per page. Default: the [page size of the
    /// client](crate::ClientBuilder::page_size), or else that of the registry. A registry may send
    /// fewer items per page.
    pub page_size: Option<NonZeroUsize>,
}

impl<T> Default for ListOptions<T> {
    fn default() -> Self {
        Self { after: None, page_size: None }
    }
}

/// Returns the URL of a page: `first`, or the URL that the previous page named.
pub(crate) fn page_uri(token: Option<PageToken>, first: Uri) -> Result<Uri> {
    match token {
        None => Ok(first),
        Some(token) => token.as_str().parse().map_err(|e| {
            Error::new(ErrorKind::Invalid).at("page token").with_source(http::Error::from(e))
        }),
    }
}

/// Page size to request if the first page of a registry exceeds [`PAGE_LIMIT`], or if the first page
/// may suffice: the maximum that ECR and distribution accept.
pub(crate) const LARGE_PAGE_SIZE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// 8 MiB per page.
pub(crate) const PAGE_LIMIT: usize = 8 << 20;
