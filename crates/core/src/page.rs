//! Listings that are fetched page by page.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};

use crate::error::{Error, ErrorKind, Result};

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items of the page.
    pub items: Vec<T>,
    /// The token for the next page, or `None` on the last page.
    pub next: Option<PageToken>,
}

/// A token that selects a page. Only the store that created a token can interpret it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageToken(String);

impl PageToken {
    /// Creates a token. Only stores call this function.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Returns the text with which the token was created.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A listing, fetched page by page as it is read.
///
/// A listing is a stream of pages, which [`items`](Self::items) flattens. The stream ends with an
/// error if a store returns the same page token twice, or if the listing has more pages after
/// 10,000 pages or after more than 1,000,000 items.
///
/// # Cancellation
/// Dropping the stream stops the listing. Nothing is fetched in advance.
pub struct Pages<T>(BoxStream<'static, Result<Page<T>>>);

impl<T: Send + 'static> Pages<T> {
    /// Creates a listing that gets its pages from `fetch`, which is called without a token first,
    /// and then with the `next` token of the previous page.
    pub fn new<F, Fut>(fetch: F) -> Self
    where
        F: FnMut(Option<PageToken>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Page<T>>> + Send,
    {
        let start = Walk { fetch, next: Some(None), seen: HashSet::new(), items: 0 };
        Self(
            stream::unfold(start, |mut walk| async move {
                let token = walk.next.take()?;
                let page = walk.page(token).await;
                Some((page, walk))
            })
            .boxed(),
        )
    }

    /// Creates a listing of items in memory.
    #[must_use]
    pub fn from_items(items: Vec<T>) -> Self {
        let page = Page { items, next: None };
        Self(stream::iter([Ok(page)]).boxed())
    }

    /// Creates a listing that fails immediately.
    #[must_use]
    pub fn failed(error: Error) -> Self {
        Self(stream::iter([Err(error)]).boxed())
    }

    /// Names the listing in errors that name nothing, such as the error for a listing without end.
    #[must_use]
    pub fn named(self, name: impl fmt::Display + Send + 'static) -> Self {
        Self(self.0.map(move |page| page.map_err(|e| e.at(&name))).boxed())
    }

    /// Removes the items that `keep` rejects. A page may become empty.
    #[must_use]
    pub fn filter(self, mut keep: impl FnMut(&T) -> bool + Send + 'static) -> Self {
        let filtered = self.0.map(move |page| {
            let mut page = page?;
            page.items.retain(&mut keep);
            Ok(page)
        });
        Self(filtered.boxed())
    }

    /// Applies `change` to every item.
    #[must_use]
    pub fn map<U>(self, mut change: impl FnMut(T) -> U + Send + 'static) -> Pages<U>
    where
        U: Send + 'static,
    {
        let changed = self.0.map(move |page| {
            let Page { items, next } = page?;
            Ok(Page { items: items.into_iter().map(&mut change).collect(), next })
        });
        Pages(changed.boxed())
    }

    /// Returns the items of all pages, one after another.
    pub fn items(self) -> impl Stream<Item = Result<T>> + Send + Unpin + 'static {
        self.0
            .flat_map(|page| match page {
                Ok(page) => stream::iter(page.items).map(Ok).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            })
            .boxed()
    }

    /// Collects all items in memory.
    ///
    /// # Errors
    /// The first error of the listing.
    pub async fn all(mut self) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while let Some(page) = self.0.try_next().await? {
            items.extend(page.items);
        }
        Ok(items)
    }
}

struct Walk<F> {
    fetch: F,
    next: Option<Option<PageToken>>,
    seen: HashSet<PageToken>,
    items: usize,
}

impl<F> Walk<F> {
    async fn page<T, Fut>(&mut self, token: Option<PageToken>) -> Result<Page<T>>
    where
        F: FnMut(Option<PageToken>) -> Fut,
        Fut: Future<Output = Result<Page<T>>>,
    {
        let page = (self.fetch)(token).await?;
        self.items += page.items.len();
        if let Some(next) = &page.next {
            let endless = |why: String| Err(Error::new(ErrorKind::Protocol).detail(why));
            if !self.seen.insert(next.clone()) {
                return endless("the listing returned the same page token twice".to_owned());
            }
            if self.seen.len() >= PAGE_LIMIT || self.items > ITEM_LIMIT {
                return endless(format!(
                    "the listing does not end after {} pages and {} items",
                    self.seen.len(),
                    self.items
                ));
            }
            self.next = Some(Some(next.clone()));
        }
        Ok(page)
    }
}

impl<T> Stream for Pages<T> {
    type Item = Result<Page<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pages(..)")
    }
}

/// 10,000 pages: far more than any real listing has.
const PAGE_LIMIT: usize = 10_000;
/// 1,000,000 items: far more than any real listing has.
const ITEM_LIMIT: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_are_fetched_one_after_another() {
        let pages = Pages::new(|token| async move {
            let n: u32 = token.map_or(0, |t: PageToken| t.0.parse().unwrap());
            let next = (n < 2).then(|| PageToken::new((n + 1).to_string()));
            Ok(Page { items: vec![n * 10, n * 10 + 1], next })
        });
        assert_eq!(pages.all().await.unwrap(), [0, 1, 10, 11, 20, 21]);
    }

    #[tokio::test]
    async fn a_filter_removes_the_rejected_items() {
        let pages = Pages::from_items((0..9).collect()).filter(|n| n % 4 == 0);
        assert_eq!(pages.all().await.unwrap(), [0, 4, 8]);
    }

    /// An item that counts its live instances.
    struct Counted(std::sync::Arc<()>);

    #[tokio::test]
    async fn trap_18_thousands_of_pages_are_streamed_and_no_page_is_kept() {
        let counter = std::sync::Arc::new(());
        let made = std::sync::Arc::clone(&counter);
        let mut items = Pages::new(move |token: Option<PageToken>| {
            let n: u32 = token.map_or(0, |t| t.0.parse().unwrap());
            let next = (n < 4_999).then(|| PageToken::new((n + 1).to_string()));
            let item = || Counted(std::sync::Arc::clone(&made));
            let items = vec![item(), item(), item()];
            async move { Ok(Page { items, next }) }
        })
        .items();
        let mut read = 0;
        while let Some(item) = items.next().await {
            let Counted(alive) = item.unwrap();
            // The three items of the current page, and the two counters of this test.
            assert!(std::sync::Arc::strong_count(&alive) <= 3 + 2);
            read += 1;
        }
        assert_eq!(read, 15_000);
    }

    #[tokio::test]
    async fn a_repeated_page_token_ends_the_listing() {
        let mut requests = 0;
        let pages = Pages::new(move |_| {
            requests += 1;
            assert!(requests <= 2);
            async { Ok(Page { items: vec![1], next: Some(PageToken::new("same")) }) }
        });
        assert_eq!(pages.all().await.unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[tokio::test]
    async fn an_endless_listing_ends_with_an_error() {
        for (items, expected) in
            [(1, "after 10000 pages and 10000 items"), (1000, "after 1001 pages and 1001000 items")]
        {
            let mut n = 0;
            let pages = Pages::new(move |_| {
                n += 1;
                let next = Some(PageToken::new(n.to_string()));
                async move { Ok(Page { items: vec![(); items], next }) }
            });
            let e = pages.all().await.unwrap_err();
            assert!(e.to_string().contains(&format!("does not end {expected}")), "{e}");
        }
    }

    #[tokio::test]
    async fn a_listing_of_maximum_length_is_read_to_its_end() {
        let mut n = 0;
        let pages = Pages::new(move |_| {
            n += 1;
            let next = (n < 10_000).then(|| PageToken::new(n.to_string()));
            async move { Ok(Page { items: vec![(); 100], next }) }
        });
        assert_eq!(pages.all().await.unwrap().len(), 1_000_000);
    }
}
