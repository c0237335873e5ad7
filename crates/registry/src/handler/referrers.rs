//! What refers to a manifest: end-12.

use futures_util::TryStreamExt as _;
use http::header::HeaderName;
use http::{HeaderValue, StatusCode};
use longshore_core::{Descriptor, Digest, ErrorCode, MediaType, RepositoryName};
use serde::Serialize;

use super::{Answer, Call, paging};
use crate::reply::{self, About, Refusal};

/// An image index, as small as one can be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u8,
    media_type: MediaType,
    manifests: Vec<Descriptor>,
}

/// Lists them by digest. An unknown subject, in an unknown repository even, has none.
pub(super) async fn list(call: &Call<'_>, name: &RepositoryName, subject: &Digest) -> Answer {
    call.only_reads()?;
    let refused = |e| Refusal::invalid(ErrorCode::MANIFEST_INVALID, &e);
    let filter = call.query.one("artifactType").map_err(refused)?;
    let filter = filter.filter(|filter| !filter.is_empty());
    let page = match filter.map(MediaType::parse).transpose() {
        Ok(artifact_type) => page(call, name, subject, artifact_type.as_ref()).await?,
        // Nothing is of a type that is none.
        Err(_) => Page::default(),
    };
    let last = page.manifests.last().map(|last| last.digest.to_string());
    let document =
        Document { schema_version: 2, media_type: MediaType::OCI_INDEX, manifests: page.manifests };
    let mut response = reply::json(StatusCode::OK, INDEX_TYPE, &document);
    if filter.is_some() {
        response
            .headers_mut()
            .insert(OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if let Some(last) = last.filter(|_| page.more) {
        let mut parameters = vec![("last", last.as_str())];
        parameters.extend(filter.map(|filter| ("artifactType", filter)));
        paging::link(&mut response, &format!("/v2/{name}/referrers/{subject}"), &parameters)?;
    }
    Ok(response)
}

#[derive(Default)]
struct Page {
    manifests: Vec<Descriptor>,
    more: bool,
}

/// As many as fit on a page by size: annotations may be long, and few clients ask for a second page.
async fn page(
    call: &Call<'_>,
    name: &RepositoryName,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Page, Refusal> {
    let last = paging::last(call)?.map(Digest::parse).transpose();
    let last = last.map_err(|e| Refusal::invalid(ErrorCode::DIGEST_INVALID, &e))?;
    let mut listed = call.store(name).referrers(subject, artifact_type).items();
    let (mut page, mut size) = (Page::default(), 0);
    while let Some(descriptor) =
        listed.try_next().await.map_err(|e| About::Repository.refuse(&e))?
    {
        if last.as_ref().is_some_and(|last| descriptor.digest <= *last) {
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
/// 4 MiB: what clients take for an index.
const PAGE_SIZE: usize = 4 << 20;
