//! Search: finds repositories by words, page by page.

use longshore::{Page, PageToken, Pages, Result};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::site::Site;

/// A repository that a search found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Found {
    /// The repository's name, as the registry writes it.
    pub name: String,
    /// The repository's description.
    #[serde(default)]
    pub description: Option<String>,
    /// The number of users who have starred the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub star_count: Option<u64>,
    /// All other fields, such as `is_official` and `is_automated`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One page of results.
#[derive(Deserialize)]
struct Results {
    #[serde(default, deserialize_with = "number")]
    num_pages: Option<u64>,
    results: Option<Vec<Found>>,
}

pub(super) fn pages(site: Site, words: String) -> Pages<Found> {
    Pages::new(move |token| {
        let (site, words) = (site.clone(), words.clone());
        async move { page(&site, &words, token).await }
    })
}

async fn page(site: &Site, words: &str, token: Option<PageToken>) -> Result<Page<Found>> {
    let mut query = Vec::new();
    if !words.is_empty() {
        query.push(("q", words));
    }
    let number = token.as_ref().and_then(|token| token.as_str().parse().ok()).unwrap_or(1_u64);
    if let Some(token) = &token {
        query.push(("page", token.as_str()));
    }
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let path = match query.as_str() {
        "" => "search".to_owned(),
        query => format!("search?{query}"),
    };
    let results: Results = site.get(&[&path], format!("search at {}", site.registry())).await?;
    let items = results.results.unwrap_or_default();
    // An index may announce more pages than it has, so a page without results is the last page.
    let more = results.num_pages.is_some_and(|pages| number < pages) && !items.is_empty();
    Ok(Page { items, next: more.then(|| PageToken::new((number + 1).to_string())) })
}

/// Parses a number, which some registries write as text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}
