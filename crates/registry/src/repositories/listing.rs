//! A listing, read once and cached until it changes.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_core::{Page, PageToken, Result};

/// Sorted items, scanned on demand and cached until the next change.
#[derive(Debug)]
pub(super) struct Listing<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    generation: u64,
    items: Option<Arc<[T]>>,
}

impl<T: Ord + Send + Sync> Listing<T> {
    /// Returns the items in order.
    pub(super) async fn get(
        &self,
        scan: impl Future<Output = Result<Vec<T>>> + Send,
    ) -> Result<Arc<[T]>> {
        let generation = {
            let state = self.state();
            if let Some(items) = &state.items {
                return Ok(Arc::clone(items));
            }
            state.generation
        };
        let mut items = scan.await?;
        items.sort_unstable();
        let items: Arc<[T]> = items.into();
        let mut state = self.state();
        // Do not cache a scan that may lack concurrent changes.
        if state.generation == generation {
            state.items = Some(Arc::clone(&items));
        }
        Ok(items)
    }

    /// Returns the page after the item in `token`, or after `after` if there is no token. The
    /// registry thus holds only one page for a client that reads a listing slowly.
    pub(super) async fn page(
        &self,
        token: Option<&PageToken>,
        after: Option<&T>,
        scan: impl Future<Output = Result<Vec<T>>> + Send,
    ) -> Result<Page<T>>
    where
        T: Clone + Display + FromStr,
    {
        let items = self.get(scan).await?;
        let token = token.and_then(|token| token.as_str().parse().ok());
        let after = token.as_ref().or(after);
        let start = after.map_or(0, |after| items.partition_point(|item| item <= after));
        let end = items.len().min(start + PAGE);
        let page = items[start..end].to_vec();
        let next = page.last().filter(|_| end < items.len());
        let next = next.map(|last| PageToken::new(last.to_string()));
        Ok(Page { items: page, next })
    }

    /// Drops the cache unless it contains this item. Call this method after the item was added.
    pub(super) fn added(&self, item: &T) {
        let is_there = |items: &Arc<[T]>| items.binary_search(item).is_ok();
        if !self.state().items.as_ref().is_some_and(is_there) {
            self.changed();
        }
    }

    /// Drops the cache. Call this method after a change.
    pub(super) fn changed(&self) {
        let mut state = self.state();
        state.generation += 1;
        state.items = None;
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self(Mutex::new(State { generation: 0, items: None }))
    }
}

/// 1,000 items: about 100 KB.
const PAGE: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[tokio::test]
    async fn pages_continue_in_order_if_the_listing_changes_between_them() {
        let listing = Listing::default();
        let scan = ready(Ok((0..2_500_u32).collect()));
        let first = listing.page(None, Some(&99), scan).await.unwrap();
        assert_eq!((first.items[0], first.items.len()), (100, 1_000));
        listing.changed();
        let fewer = ready(Ok(vec![1, 1_098, 1_100]));
        let last = listing.page(first.next.as_ref(), Some(&99), fewer).await.unwrap();
        assert_eq!(last, Page { items: vec![1_100], next: None });
    }

    #[tokio::test]
    async fn a_scan_is_cached_unless_the_listing_changes_during_the_scan() {
        let listing = Listing::default();
        let get =
            async |items: &[u8]| listing.get(ready(Ok(items.to_vec()))).await.unwrap().to_vec();
        assert_eq!(get(&[2, 1]).await, [1, 2]);
        listing.added(&2);
        assert_eq!(get(&[9]).await, [1, 2]);
        listing.added(&3);
        let during = listing.get(async {
            listing.changed();
            Ok(vec![3])
        });
        assert_eq!(during.await.unwrap().to_vec(), [3]);
        assert_eq!(get(&[4]).await, [4]);
    }
}
