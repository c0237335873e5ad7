//! A folder's listing, read once and kept until it changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_core::Result;

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

#[cfg(test)]
mod tests {
    use super::*;

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
