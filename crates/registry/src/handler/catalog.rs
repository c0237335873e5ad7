//! The repositories of the registry, as distribution lists them.

use http::StatusCode;
use longshore_core::{ErrorCode, RepositoryName};
use serde::Serialize;

use super::{Answer, Call, paging};
use crate::reply::{self, Refusal};

#[derive(Serialize)]
struct Document<'a> {
    repositories: &'a [RepositoryName],
}

pub(super) async fn list(call: &Call<'_>) -> Answer {
    call.only_reads()?;
    let count = paging::count(call)?;
    let last = paging::last(call)?.map(RepositoryName::parse).transpose();
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::NAME_INVALID, &e))?;
    let page = paging::slice(call.backend.repositories(last.as_ref()), count).await?;
    let repositories = &page.items;
    let document = Document { repositories };
    let mut response = reply::json(StatusCode::OK, "application/json", &document);
    if let Some(last) = repositories.last().filter(|_| page.more) {
        let parameters = [("last", last.as_str()), ("n", &count.to_string())];
        paging::link(&mut response, "/v2/_catalog", &parameters)?;
    }
    Ok(response)
}
