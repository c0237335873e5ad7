//! Lists the tags of a repository, page by page.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use http::{Method, Uri};
use longshore_core::{
    CachedListing, EscapedText, Page, PageToken, Pages, Result, Source as _, Tag,
};
use serde::Deserialize;

use super::RemoteRepository;
use crate::exchange::RegistryRequest;
use crate::listing::{LARGE_PAGE_SIZE, ListOptions, PAGE_LIMIT, page_uri};
use crate::reply::json;

impl RemoteRepository {
    /// Lists the tags after a given start, in pages of a given size. Otherwise same as
    /// [`tags`](longshore_core::Source::tags).
    #[must_use]
    pub fn tags_with(&self, options: ListOptions<Tag>) -> Pages<Tag> {
        let size = options.page_size.or(self.shared().page_size);
        let repository = self.clone();
        let name = repository.tags_name();
        Pages::new(move |token| {
            let (repository, after) = (repository.clone(), options.after.clone());
            async move {
                let endpoint = repository.endpoint().await?;
                let first = |size| endpoint.tags(repository.path(), size, after.as_ref());
                let may_be_cut = token.is_none() && size.is_none();
                match repository.tag_page(page_uri(token, first(size))?, size).await? {
                    Err(_) if may_be_cut => {
                        let size = Some(LARGE_PAGE_SIZE);
                        repository.tag_page(first(size), size).await?
                    }
                    page => page,
                }
            }
        })
        .named(name)
    }

    fn tags_name(&self) -> String {
        format!("tags of {}", self.repository())
    }

    /// Returns a listing of the tags that is fetched on first use and cached until it is refreshed.
    /// Sends nothing.
    #[must_use]
    pub fn cached_tags(&self) -> CachedListing<Tag> {
        let repository = self.clone();
        CachedListing::new(move || repository.tags(None))
    }

    /// Returns a page. The inner error means that the page is too large.
    async fn tag_page(&self, uri: Uri, size: Option<NonZeroUsize>) -> Result<Result<Page<Tag>>> {
        #[derive(Deserialize)]
        struct Listing<'a> {
            // GHCR and Nexus send `null` if there are no tags.
            #[serde(borrow)]
            tags: Option<Vec<Text<'a>>>,
        }
        #[derive(Deserialize)]
        #[serde(transparent)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let about = self.tags_name();
        let request = RegistryRequest::new(Method::GET, uri.clone(), self.pull(), &about);
        let (reply, body) = match self.exchange().fetch_within(request, PAGE_LIMIT).await? {
            Ok(fetched) => fetched,
            Err(too_large) => return Ok(Err(too_large)),
        };
        let listing: Listing<'_> = json(&uri, &body)?;
        let tags = listing.tags.unwrap_or_default().into_iter().map(|Text(text)| text).collect();
        let tags = after_last(tags, &uri);
        let next = match reply.next_page(&uri)? {
            Some(next) => Some(next),
            None => self.page_without_link(&tags, size).await?,
        };
        let next = next.map(|next| PageToken::new(next.to_string()));
        Ok(Ok(Page { items: tags.iter().filter_map(|text| tag(text)).collect(), next }))
    }

    /// Returns the URL of the page that may follow a full page without a link. Nexus omits the
    /// link.
    async fn page_without_link(
        &self,
        tags: &[Cow<'_, str>],
        size: Option<NonZeroUsize>,
    ) -> Result<Option<Uri>> {
        let is_full = size.is_some_and(|size| tags.len() == size.get());
        let last = tags.last().filter(|_| is_full).and_then(|text| tag(text));
        let Some(last) = last else { return Ok(None) };
        Ok(Some(self.endpoint().await?.tags(self.path(), size, Some(&last))))
    }
}

/// Returns the tags after the tag in the parameter `last` of `uri`. A registry that does not
/// support the parameter lists all tags from the start.
fn after_last<'a>(mut tags: Vec<Cow<'a, str>>, uri: &Uri) -> Vec<Cow<'a, str>> {
    let last =
        uri.query().into_iter().flat_map(|q| q.split('&')).find_map(|p| p.strip_prefix("last="));
    match tags.iter().position(|tag| Some(&**tag) == last) {
        Some(at) => tags.split_off(at + 1),
        None => tags,
    }
}

/// Parses a tag. Returns `None` for other text: Artifactory also lists digests.
fn tag(text: &str) -> Option<Tag> {
    match Tag::parse(text) {
        Ok(tag) => Some(tag),
        Err(_) => {
            tracing::warn!("the registry lists an invalid tag: \"{}\"", EscapedText(text));
            None
        }
    }
}
