//! A listing that is kept until it is refreshed.

use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::Result;
use crate::page::Pages;

/// A listing that is fetched on first use and kept until it is refreshed.
///
/// The listing does not refresh itself, so later changes in the store are not visible.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use longshore_core::{CachedListing, Memory, Pack, Source as _, Tag};
///
/// let store = Memory::new();
/// let (listed, v1) = (store.clone(), Tag::parse("v1")?);
/// let tags = CachedListing::new(move || listed.tags(None));
/// assert!(tags.all().await?.is_empty());
///
/// Pack::artifact("text/plain".parse()?).push(&store, Some(&v1)).await?;
/// assert!(tags.all().await?.is_empty(), "the cached listing is used");
/// assert_eq!(tags.refresh().await?[..], [v1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CachedListing<T> {
    list: Box<dyn Fn() -> Pages<T> + Send + Sync>,
    items: Mutex<Option<Arc<[T]>>>,
}

impl<T: Send + Sync + 'static> CachedListing<T> {
    /// Creates a cached listing from `list`. Fetches nothing yet.
    pub fn new(list: impl Fn() -> Pages<T> + Send + Sync + 'static) -> Self {
        Self { list: Box::new(list), items: Mutex::new(None) }
    }

    /// Returns all items: the cached ones, or a fresh listing if nothing is cached. Concurrent
    /// callers share one listing.
    ///
    /// # Errors
    /// The first error of the listing. In this case, nothing is cached.
    pub async fn all(&self) -> Result<Arc<[T]>> {
        let mut items = self.items.lock().await;
        if let Some(cached) = &*items {
            return Ok(Arc::clone(cached));
        }
        self.fetch(&mut items).await
    }

    /// Fetches all items again and replaces the cached ones.
    ///
    /// # Errors
    /// The first error of the listing. In this case, the cached items are kept.
    pub async fn refresh(&self) -> Result<Arc<[T]>> {
        let mut items = self.items.lock().await;
        self.fetch(&mut items).await
    }

    async fn fetch(&self, items: &mut Option<Arc<[T]>>) -> Result<Arc<[T]>> {
        let fetched: Arc<[T]> = (self.list)().all().await?.into();
        Ok(Arc::clone(items.insert(fetched)))
    }
}

impl<T> fmt::Debug for CachedListing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CachedListing(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as StdMutex;

    use super::*;
    use crate::error::{Error, ErrorKind};

    #[tokio::test]
    async fn a_refresh_replaces_the_items_unless_it_fails() {
        let answers = StdMutex::new(vec![
            Pages::from_items(vec!["c"]),
            Pages::failed(Error::new(ErrorKind::Timeout)),
            Pages::from_items(vec!["a", "c"]),
            Pages::from_items(Vec::new()),
        ]);
        let cached = CachedListing::new(move || answers.lock().unwrap().pop().unwrap());
        // An empty listing is valid, and is cached like any other.
        assert!(cached.all().await.unwrap().is_empty());
        assert!(cached.all().await.unwrap().is_empty());
        assert_eq!(cached.refresh().await.unwrap()[..], ["a", "c"]);
        assert_eq!(cached.refresh().await.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(cached.all().await.unwrap()[..], ["a", "c"]);
        assert_eq!(cached.refresh().await.unwrap()[..], ["c"]);
        assert_eq!(cached.all().await.unwrap()[..], ["c"]);
    }
}
