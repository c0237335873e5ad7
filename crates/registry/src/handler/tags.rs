//! The tags of a repository: end-8.

use http::StatusCode;
use longshore_core::{ErrorCode, RepositoryName, Tag};
use serde::Serialize;

use super::{Answer, Call, paging};
use crate::reply::{self, About, Refusal};

#[derive(Serialize)]
struct Document<'a> {
    name: &'a RepositoryName,
    tags: &'a [Tag],
}

pub(super) async fn list(call: &Call<'_>, name: &RepositoryName) -> Answer {
    call.only_reads()?;
    let count = paging::count(call)?;
    let last = paging::last(call)?.map(Tag::parse).transpose();
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::TAG_INVALID, &e))?;
    let store = call.store(name);
    let exists = store.exists().await;
    if !exists.map_err(|e| About::Repository.refuse(&e))? {
        return Err(Refusal::unknown_name(name));
    }
    let page = paging::slice(store.tags(last.as_ref()), count).await?;
    let tags = &page.items;
    let document = Document { name, tags };
    let mut response = reply::json(StatusCode::OK, "application/json", &document);
    if let Some(last) = tags.last().filter(|_| page.more) {
        let parameters = [("last", last.as_str()), ("n", &count.to_string())];
        paging::link(&mut response, &format!("/v2/{name}/tags/list"), &parameters)?;
    }
    Ok(response)
}
