//! A folder's listing, read once and kept until it changes.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_core::{Page, PageToken, Result};

/// Sorted items, scanned when asked for and kept until something changes.
#[derive(Debug)]
pub(super) struct Listing<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    generation: u64,
    items: Option<Arc<[T]>>,
}

impl<T: Ord> Listing<T> {
    /// The items in order.
    pub(super) fn get(&self, scan: impl FnOnce() -> Result<Vec<T>>) -> Result<Arc<[T]>> {
        let generation = {
            let state = self.state();
            if let Some(items) = &state.items {
                return Ok(Arc::clone(items));
            }
            state.generation
        };
        let mut items = scan()?;
        items.sort_unstable();
        let items: Arc<[T]> = items.into();
        let mut state = self.state();
        // What changed meanwhile may have been scanned, or not.
        if state.generation == generation {
            state.items = Some(Arc::clone(&items));
        }
        Ok(items)
    }

    /// A page of the items after the one that a token names, else after `after`: a listing that is
    /// read slowly holds no more.
    pub(super) fn page(
        &self,
        token: Option<&PageToken>,
        after: Option<&T>,
        scan: impl FnOnce() -> Result<Vec<T>>,
    ) -> Result<Page<T>>
    where
        T: Clone + Display + FromStr,
    {
        let items = self.get(scan)?;
        let token = token.and_then(|token| token.0.parse().ok());
        let after = token.as_ref().or(after);
        let start = after.map_or(0, |after| items.partition_point(|item| item <= after));
        let end = items.len().min(start + PAGE);
        let page = items[start..end].to_vec();
        let next = page.last().filter(|_| end < items.len());
        let next = next.map(|last| PageToken(last.to_string()));
        Ok(Page { items: page, next })
    }

    /// Forgets what was scanned. To be called after the change is made.
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

/// 1,000 items: some 100 KB.
const PAGE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_whatever_changes_between_them() {
        let listing = Listing::default();
        let scan = || Ok((0..2_500_u32).collect());
        let first = listing.page(None, Some(&99), scan).unwrap();
        assert_eq!((first.items[0], first.items.len()), (100, 1_000));
        listing.changed();
        let fewer = || Ok(vec![1, 1_098, 1_100]);
        let last = listing.page(first.next.as_ref(), Some(&99), fewer).unwrap();
        assert_eq!(last, Page { items: vec![1_100], next: None });
    }

    #[test]
    fn a_scan_is_kept_until_a_change_and_not_if_one_came_between() {
        let listing = Listing::default();
        let get = |items: &[u8]| listing.get(|| Ok(items.to_vec())).unwrap().to_vec();
        assert_eq!(get(&[2, 1]), [1, 2]);
        assert_eq!(get(&[9]), [1, 2]);
        listing.changed();
        let during = listing.get(|| {
            listing.changed();
            Ok(vec![3])
        });
        assert_eq!(during.unwrap().to_vec(), [3]);
        assert_eq!(get(&[4]), [4]);
    }
}
