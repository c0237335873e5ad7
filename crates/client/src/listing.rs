//! What all listings have in common: where they start, and the way from one page to the next.

use std::num::NonZeroUsize;

use http::Uri;
use longshore_core::{Error, ErrorKind, PageToken, Result};

/// Where a listing starts, and in what pages it is asked for.
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
    /// Only what comes after this one, by the registry's order; it need not be there.
    pub after: Option<T>,
    /// How many to ask for in a page. Where `None`, the
    /// [client's](crate::ClientBuilder::page_size); without that too, the registry decides. A
    /// registry may send fewer, and has a most of its own.
    pub page_size: Option<NonZeroUsize>,
}

impl<T> Default for ListOptions<T> {
    fn default() -> Self {
        Self { after: None, page_size: None }
    }
}

/// The URL of a page: the first one's, or the one that the page before it named.
pub(crate) fn page_uri(token: Option<PageToken>, first: Uri) -> Result<Uri> {
    match token {
        None => Ok(first),
        Some(token) => token.0.parse().map_err(|e| {
            Error::new(ErrorKind::Invalid).at("page token").with_source(http::Error::from(e))
        }),
    }
}

/// The size of pages to ask for where a registry sends more at once than [`PAGE_LIMIT`]: the most
/// that ECR and distribution accept.
pub(crate) const FALLBACK_PAGE_SIZE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(999);

/// 8 MiB a page.
pub(crate) const PAGE_LIMIT: usize = 8 << 20;
