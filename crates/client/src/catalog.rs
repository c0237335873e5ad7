//! Lists the repositories of a registry, page by page.

use http::{Method, Uri};
use longshore_core::{EscapedText, Page, PageToken, Pages, RepositoryName, Result};
use serde::Deserialize;

use crate::auth::{Scope, Scopes};
use crate::exchange::{Exchange, RegistryRequest};
use crate::listing::{LARGE_PAGE_SIZE, ListOptions, PAGE_LIMIT, page_uri};
use crate::reply::json;
use crate::shared::Shared;

/// Lists a registry's repositories.
pub(crate) fn pages(
    exchange: Exchange,
    shared: &Shared,
    options: ListOptions<RepositoryName>,
) -> Pages<RepositoryName> {
    let size = options.page_size.or(shared.page_size);
    let name = name_of(&exchange);
    Pages::new(move |token| {
        let (exchange, after) = (exchange.clone(), options.after.clone());
        async move {
            let first = exchange.endpoint().await?.catalog(size, after.as_ref());
            let may_be_cut = token.is_none() && size.is_none();
            match page(&exchange, page_uri(token, first)?).await? {
                Err(_) if may_be_cut => {
                    let size = Some(LARGE_PAGE_SIZE);
                    page(&exchange, exchange.endpoint().await?.catalog(size, after.as_ref()))
                        .await?
                }
                page => page,
            }
        }
    })
    .named(name)
}

fn name_of(exchange: &Exchange) -> String {
    format!("catalog of {}", exchange.registry())
}

/// Returns a page. The inner error means that the page is too large.
async fn page(exchange: &Exchange, uri: Uri) -> Result<Result<Page<RepositoryName>>> {
    #[derive(Deserialize)]
    struct Listing {
        repositories: Option<Vec<String>>,
    }
    let about = name_of(exchange);
    let scopes = Scopes::new([Scope::catalog()]);
    let request = RegistryRequest::new(Method::GET, uri.clone(), scopes, about);
    let (reply, body) = match exchange.fetch_within(request, PAGE_LIMIT).await? {
        Ok(fetched) => fetched,
        Err(too_large) => return Ok(Err(too_large)),
    };
    let listing: Listing = json(&uri, &body)?;
    let next = reply.next_page(&uri)?.map(|next| PageToken::new(next.to_string()));
    let names = listing.repositories.unwrap_or_default();
    Ok(Ok(Page { items: names.iter().filter_map(|text| name(text)).collect(), next }))
}

/// Parses a repository's name. Returns `None` for a name outside the grammar, because such a name
/// cannot be requested.
fn name(text: &str) -> Option<RepositoryName> {
    match RepositoryName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            tracing::warn!("the registry lists \"{}\": {error}", EscapedText(text));
            None
        }
    }
}
