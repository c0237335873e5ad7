//! Lists the repositories of the registry, in distribution's format.

use longshore_core::{ErrorCode, RepositoryName};

use super::{Answer, Call, paging};
use crate::reply::Refusal;

pub(super) async fn list(call: &Call<'_>) -> Answer {
    call.only_reads()?;
    let count = paging::count(call)?;
    let last = paging::last(call)?.map(RepositoryName::parse).transpose();
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::NAME_INVALID, &e))?;
    let start = r#"{"repositories":"#.to_owned();
    let repositories = || call.repositories.names(last.as_ref());
    paging::names(call, count, "/v2/_catalog", start, repositories).await
}
