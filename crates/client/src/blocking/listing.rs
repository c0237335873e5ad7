//! Listings as iterators, and cached listings.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use longshore_core::{CachedListing as AsyncCached, Page, Pages, Result};

use super::forward::forward;
use super::runtime::wait;

/// A listing: an iterator that requests a page when it has no items left.
///
/// Ends after the first error. Fetches no page in advance. Dropping the iterator stops the listing.
#[derive(Debug)]
#[must_use = "no page is requested until the listing is iterated over"]
pub struct Listing<T> {
    pages: Pages<T>,
    at_hand: VecDeque<T>,
    ended: bool,
}

impl<T: Send + 'static> Listing<T> {
    /// Reads all items into memory.
    ///
    /// # Errors
    /// The first error of the listing.
    pub fn all(self) -> Result<Vec<T>> {
        self.collect()
    }

    /// Returns the pages that have not been fetched yet, as the store returns them. Fetched items
    /// that the iterator has not returned are dropped.
    pub fn pages(mut self) -> impl Iterator<Item = Result<Page<T>>> {
        std::iter::from_fn(move || self.next_page().transpose())
    }

    fn next_page(&mut self) -> Result<Option<Page<T>>> {
        if self.ended {
            return Ok(None);
        }
        let page = wait(async { self.pages.next().await.transpose() });
        self.ended = !matches!(page, Ok(Some(_)));
        page
    }
}

impl<T: Send + 'static> Iterator for Listing<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.at_hand.pop_front() {
                return Some(Ok(item));
            }
            match self.next_page() {
                Ok(page) => self.at_hand = page?.items.into(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<T> From<Pages<T>> for Listing<T> {
    fn from(pages: Pages<T>) -> Self {
        Self { pages, at_hand: VecDeque::new(), ended: false }
    }
}

/// A listing, fetched on first use and kept until it is refreshed.
#[derive(Debug)]
pub struct CachedListing<T> {
    inner: AsyncCached<T>,
}

impl<T: Send + Sync + 'static> CachedListing<T> {
    forward! { AsyncCached:
        /// Returns all cached items, and fetches them first if none are cached.
        pub fn all(&self) -> Result<Arc<[T]>>;
        /// Fetches all current items, and replaces the cached items.
        pub fn refresh(&self) -> Result<Arc<[T]>>;
    }
}

impl<T> From<AsyncCached<T>> for CachedListing<T> {
    fn from(inner: AsyncCached<T>) -> Self {
        Self { inner }
    }
}
