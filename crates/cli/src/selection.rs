//! Options of listing commands: filters, limit, and page size.

use std::fmt;
use std::num::NonZeroUsize;

use clap::Args;
use futures_util::{Stream, StreamExt as _};
use longshore::{Filter, Pages, Result};

/// The selection of names.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Print only names that contain a match of this regular expression; `^` and `$` anchor it.
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, value_parser = Filter::anywhere)]
    filter: Option<Filter>,
    /// Print only names that match this regular expression from their start, ignoring case.
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true, value_parser = Filter::at_start)]
    filter_start: Option<Filter>,
    /// Print at most N names.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Page size to request from the registry.
    #[arg(long, value_name = "N")]
    pub(crate) page_size: Option<NonZeroUsize>,
}

impl Selection {
    /// Returns the selected names as they arrive.
    pub(crate) fn of<T>(self, names: Pages<T>) -> impl Stream<Item = Result<T>> + Unpin + use<T>
    where
        T: fmt::Display + Send + 'static,
    {
        let filters: Vec<_> = [self.filter, self.filter_start].into_iter().flatten().collect();
        let chosen = names.filter(move |name| {
            filters.is_empty() || {
                let name = name.to_string();
                filters.iter().all(|filter| filter.matches(&name))
            }
        });
        chosen.items().take(self.limit.unwrap_or(usize::MAX))
    }
}
