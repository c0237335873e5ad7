//! Lists the tags of a repository: the endpoint end-8 of distribution-spec.

use longshore_core::{ErrorCode, RepositoryName, Source as _, Tag};

use super::{Answer, Call, paging};
use crate::reply::{About, Refusal};

pub(super) async fn list(call: &Call<'_>, name: &RepositoryName) -> Answer {
    call.only_reads()?;
    let count = paging::count(call)?;
    let last = paging::last(call)?.map(Tag::parse).transpose();
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::TAG_INVALID, &e))?;
    let store = call.repository(name);
    let exists = store.exists().await;
    if !exists.map_err(|e| About::Repository.refuse(&e))? {
        return Err(Refusal::unknown_name(name));
    }
    let start = format!(r#"{{"name":"{name}","tags":"#);
    let tags = || store.tags(last.as_ref());
    paging::names(call, count, &format!("/v2/{name}/tags/list"), start, tags).await
}
