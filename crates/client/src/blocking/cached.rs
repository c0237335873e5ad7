//! Listings that are kept.

use std::sync::Arc;

use longshore_core::{Cached as AsyncCached, Result};

use super::runtime::wait;

/// A listing, fetched when it is first asked for and kept until it is refreshed.
#[derive(Debug)]
pub struct Cached<T> {
    inner: AsyncCached<T>,
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// All items: those that are kept, or else those that are there now.
    ///
    /// # Errors
    /// The first error of the listing; nothing is kept then.
    pub fn all(&self) -> Result<Arc<[T]>> {
        wait(self.inner.all())
    }

    /// All items that are there now, in place of those kept.
    ///
    /// # Errors
    /// The first error of the listing; what was kept stays then.
    pub fn refresh(&self) -> Result<Arc<[T]>> {
        wait(self.inner.refresh())
    }
}

impl<T> From<AsyncCached<T>> for Cached<T> {
    fn from(inner: AsyncCached<T>) -> Self {
        Self { inner }
    }
}
