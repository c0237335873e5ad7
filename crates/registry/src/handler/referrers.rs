//! Lists the referrers of a manifest: the endpoint end-12 of distribution-spec.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, StatusCode};
use longshore_core::{
    Descriptor, Digest, Error, ErrorCode, MediaType, RepositoryName, Result, Source as _,
};
use serde::Serialize;

use super::{Answer, Call, paging};
use crate::reply::{self, About, Refusal};
use crate::repositories::Repository;
use crate::response_body::Body;

/// Lists referrers, ordered by digest. An unknown subject or repository has no referrers.
pub(super) async fn list(call: &Call<'_>, name: &RepositoryName, subject: &Digest) -> Answer {
    call.only_reads()?;
    let refused = |e| Refusal::invalid(ErrorCode::MANIFEST_INVALID, &e);
    let refuse = |e: Error| About::Repository.refuse(&e);
    let filter = call.query.one("artifactType").map_err(refused)?;
    let filter = filter.filter(|filter| !filter.is_empty());
    let after = paging::last(call)?.map(Digest::parse).transpose();
    let after = after.map_err(|e| Refusal::invalid(ErrorCode::DIGEST_INVALID, &e))?;
    let (store, subject) = (call.repository(name), subject.clone());
    // An invalid artifact type matches no referrer.
    let listed = match filter.map(MediaType::parse).transpose() {
        Ok(artifact_type) => Some(Listed { store, subject: subject.clone(), artifact_type, after }),
        Err(_) => None,
    };
    let building = call.budget.building().await.map_err(refuse)?;
    let page = page_of(listed.as_ref()).await.map_err(refuse)?;
    drop(building);
    let bytes = page.document();
    let mut response = reply::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(INDEX_TYPE));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    if filter.is_some() {
        headers.insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = page.manifests.last().filter(|_| page.more) {
        let last = last.digest.to_string();
        let mut parameters = vec![("last", last.as_str())];
        parameters.extend(filter.map(|filter| ("artifactType", filter)));
        paging::link(&mut response, &format!("/v2/{name}/referrers/{subject}"), &parameters)?;
    }
    *response.body_mut() = Body::document(bytes, call.budget, move || {
        let listed = listed.clone();
        async move { Ok(page_of(listed.as_ref()).await?.document()) }
    });
    Ok(response)
}

/// The requested selection of referrers.
#[derive(Clone)]
struct Listed {
    store: Repository,
    subject: Digest,
    artifact_type: Option<MediaType>,
    after: Option<Digest>,
}

#[derive(Default)]
struct Page {
    manifests: Vec<Descriptor>,
    more: bool,
}

/// An image index that lists the referrers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    schema_version: u8,
    media_type: MediaType,
    manifests: &'a [Descriptor],
}

impl Page {
    fn document(&self) -> Bytes {
        reply::to_json(&Document {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            manifests: &self.manifests,
        })
    }
}

/// Returns as many referrers as fit on a page. The page is limited by size, because annotations can
/// be long and few clients request a second page.
async fn page_of(listed: Option<&Listed>) -> Result<Page> {
    let Some(Listed { store, subject, artifact_type, after }) = listed else {
        return Ok(Page::default());
    };
    let mut descriptors = store.referrers(subject, artifact_type.as_ref()).items();
    let (mut page, mut size) = (Page::default(), 0);
    while let Some(descriptor) = descriptors.try_next().await? {
        if after.as_ref().is_some_and(|after| descriptor.digest <= *after) {
            continue;
        }
        size += serde_json::to_vec(&descriptor).map_or(0, |json| json.len());
        if size > PAGE_SIZE && !page.manifests.is_empty() {
            page.more = true;
            break;
        }
        page.manifests.push(descriptor);
    }
    Ok(page)
}

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// 4 MiB: the maximum size of an index that many clients accept.
const PAGE_SIZE: usize = 4 << 20;
