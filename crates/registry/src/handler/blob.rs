//! Reads and deletes blobs: the endpoints end-2 and end-10 of distribution-spec.

use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, LOCATION, RANGE,
};
use http::{HeaderValue, Method, StatusCode};
use longshore_core::{
    Delete as _, Descriptor, Digest, Error, ErrorCode, ErrorKind, MediaType, RepositoryName,
    Source as _,
};

use super::{Answer, Call, add_content_headers, not_modified};
use crate::budget::SMALL;
use crate::range::Wanted;
use crate::reply::{self, About, Refusal};
use crate::response_body::Body;

pub(super) async fn answer(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    match *call.method {
        Method::GET | Method::HEAD => read(call, name, digest).await,
        Method::DELETE if !call.offered.delete => Err(Refusal::method("GET, HEAD")),
        Method::DELETE => {
            let deleted = call.repository(name).delete_blob(digest).await;
            deleted.map_err(|e| About::Blob.refuse(&e))?;
            Ok(reply::empty(StatusCode::ACCEPTED))
        }
        _ => Err(Refusal::method("GET, HEAD, DELETE")),
    }
}

async fn read(call: &Call<'_>, name: &RepositoryName, digest: &Digest) -> Answer {
    let store = call.repository(name);
    let refuse = |e: &Error| About::Blob.refuse(e);
    let size = store.blob_size(digest).await.map_err(|e| refuse(&e))?;
    let absent = || refuse(&Error::new(ErrorKind::NotFound).at(format!("blob {digest}")));
    let size = size.ok_or_else(absent)?;
    if call.is_cached_by_client(digest) {
        return not_modified(digest);
    }
    let (status, range) = match wanted(call, digest, size) {
        Wanted::Whole => (StatusCode::OK, 0..size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Err(unsatisfiable(size)),
    };
    if *call.method == Method::GET
        && let Some(url) = store.blob_url(digest).await.map_err(|e| refuse(&e))?
    {
        let mut response = reply::empty(StatusCode::TEMPORARY_REDIRECT);
        add_content_headers(&mut response, digest)?;
        response.headers_mut().insert(LOCATION, reply::header_value(&url)?);
        return Ok(response);
    }
    let mut response = reply::empty(status);
    add_content_headers(&mut response, digest)?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, BLOB_TYPE);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let covered = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        headers.insert(CONTENT_RANGE, reply::header_value(&covered)?);
    }
    if *call.method == Method::GET {
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), size);
        if range.end - range.start <= SMALL {
            // The reply is sent at once, and nothing stays open for a slow client.
            let _permit = call.budget.file().await.map_err(|e| refuse(&e))?;
            let stream = store.blob_range(&descriptor, range).await.map_err(|e| refuse(&e))?;
            let content = stream.bytes(SMALL as usize).await.map_err(|e| refuse(&e))?;
            *response.body_mut() = Body::of(content);
            return Ok(response);
        }
        let budget = call.budget.clone();
        *response.body_mut() = Body::opened(range, move |range| {
            let (store, budget) = (store.clone(), budget.clone());
            let descriptor = descriptor.clone();
            Box::pin(async move {
                let permit = budget.file().await?;
                let stream = store.blob_range(&descriptor, range).await?;
                Ok(permit.held_by(stream))
            })
        });
    }
    Ok(response)
}

/// Parses the `Range` header. A range applies only to GET. `If-Range`, if present, must match the
/// content.
fn wanted(call: &Call<'_>, digest: &Digest, size: u64) -> Wanted {
    let if_range = call.header(&IF_RANGE);
    let same = if_range.is_none_or(|tag| tag.trim_matches('"') == digest.as_str());
    match call.header(&RANGE) {
        Some(range) if *call.method == Method::GET && same => Wanted::parse(range, size),
        _ => Wanted::Whole,
    }
}

fn unsatisfiable(size: u64) -> Refusal {
    let refusal = Refusal::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorCode::SIZE_INVALID,
        format!("the range selects no byte of the blob, which has {size} bytes"),
    );
    match HeaderValue::from_str(&format!("bytes */{size}")) {
        Ok(value) => refusal.with(CONTENT_RANGE, value),
        Err(_) => refusal,
    }
}

const BLOB_TYPE: HeaderValue = HeaderValue::from_static("application/octet-stream");
