//! The repositories of a registry, page by page.

use std::sync::Arc;

use http::Method;
use longshore_core::{Page, PageToken, Pages, Printable, RepositoryName, Result};
use serde::Deserialize;

use crate::auth::{Scope, Scopes};
use crate::exchange::{Ask, Exchange};
use crate::listing::{PAGE_LIMIT, page_uri};
use crate::reply::json;
use crate::shared::Shared;

/// Lists a registry's repositories.
pub(crate) fn pages(exchange: Exchange, shared: Arc<Shared>) -> Pages<RepositoryName> {
    Pages::new(move |token| {
        let (exchange, shared) = (exchange.clone(), Arc::clone(&shared));
        async move { page(&exchange, &shared, token).await }
    })
}

async fn page(
    exchange: &Exchange,
    shared: &Shared,
    token: Option<PageToken>,
) -> Result<Page<RepositoryName>> {
    #[derive(Deserialize)]
    struct Listing {
        repositories: Option<Vec<String>>,
    }
    let uri = page_uri(token, exchange.endpoint()?.catalog(shared.page_size))?;
    let about = format!("catalog of {}", exchange.registry());
    let scopes = Scopes::new([Scope::catalog()]);
    let ask = Ask::new(Method::GET, uri.clone(), scopes, about);
    let (reply, body) = exchange.fetch(ask, PAGE_LIMIT).await?;
    let listing: Listing = json(&uri, &body)?;
    let next = reply.next_page(&uri)?.map(|next| PageToken(next.to_string()));
    let names = listing.repositories.unwrap_or_default();
    Ok(Page { items: names.iter().filter_map(|text| name(text)).collect(), next })
}

/// A repository's name, unless the grammar knows none like it: nothing could be asked of it.
fn name(text: &str) -> Option<RepositoryName> {
    match RepositoryName::parse(text) {
        Ok(name) => Some(name),
        Err(error) => {
            tracing::warn!("the registry lists \"{}\": {error}", Printable(text));
            None
        }
    }
}
