//! Writes blobs: the endpoints end-4, end-5, end-6 and end-11 of distribution-spec. Also returns
//! the status of an upload, and cancels uploads.

use std::ops::Range;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderName, LOCATION, RANGE};
use http::{HeaderValue, Method, Response, StatusCode};
use longshore_core::{Algorithm, Digest, Error, ErrorCode, ErrorKind, ParseError, RepositoryName};

use super::{Answer, Call, created};
use crate::range;
use crate::reply::{self, About, Refusal};
use crate::repositories::{Chunk, Repository};
use crate::request_body::Incoming;
use crate::response_body::Body;
use crate::route::computable_digest;
use crate::storage::UploadId;

/// Answers `POST`: mounts a blob, accepts a whole blob, or begins an upload.
pub(super) async fn begin(call: &Call<'_>, name: &RepositoryName, body: Incoming) -> Answer {
    if *call.method != Method::POST {
        return Err(Refusal::method("POST"));
    }
    if let Some(mounted) = mount(call, name).await? {
        return Ok(mounted);
    }
    let store = call.repository(name);
    let digest = digest_parameter(call, "digest")?;
    let algorithm = match &digest {
        Some(digest) => digest.algorithm().unwrap_or_default(),
        None => algorithm_parameter(call)?,
    };
    let begun = store.begin_upload(algorithm);
    let id = begun.map_err(|e| About::Upload.refuse(&e))?;
    match digest {
        None => accepted(StatusCode::ACCEPTED, name, &id, 0),
        Some(digest) => {
            let whole = match incoming(call, &store, &id, body).await {
                Ok(incoming) => commit(&store, name, &id, &digest, incoming).await,
                Err(refusal) => Err(refusal),
            };
            if whole.is_err() {
                // The client never received the id of this upload, so it cannot continue the
                // upload.
                let _ = store.cancel(&id).await;
            }
            whole
        }
    }
}

pub(super) async fn answer(
    call: &Call<'_>,
    name: &RepositoryName,
    id: &UploadId,
    body: Incoming,
) -> Answer {
    let store = call.repository(name);
    match *call.method {
        Method::GET | Method::HEAD => {
            let size = store.upload_size(id).await;
            let size = size.map_err(|e| About::Upload.refuse(&e))?;
            accepted(StatusCode::NO_CONTENT, name, id, size)
        }
        Method::PATCH => {
            let chunk = incoming(call, &store, id, body).await?;
            match store.append(id, chunk).await {
                Ok(size) => accepted(StatusCode::ACCEPTED, name, id, size),
                Err(e) => Err(failed(&store, name, id, &e).await),
            }
        }
        Method::PUT => match digest_parameter(call, "digest")? {
            Some(digest) => {
                let incoming = incoming(call, &store, id, body).await?;
                commit(&store, name, id, &digest, incoming).await
            }
            None => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::DIGEST_INVALID,
                "expected the parameter digest",
            )),
        },
        Method::DELETE => {
            let canceled = store.cancel(id).await;
            canceled.map_err(|e| About::Upload.refuse(&e))?;
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::method("GET, HEAD, PATCH, PUT, DELETE")),
    }
}

async fn commit(
    store: &Repository,
    name: &RepositoryName,
    id: &UploadId,
    digest: &Digest,
    last: Chunk,
) -> Answer {
    match store.commit(id, digest, last).await {
        Ok(()) => created(&format!("/v2/{name}/blobs/{digest}"), digest),
        Err(e) => Err(failed(store, name, id, &e).await),
    }
}

/// Mounts a blob if the request has a `mount` parameter and the blob is available. If the caller
/// may not read the blob, the reply is the same as for a missing blob.
async fn mount(call: &Call<'_>, name: &RepositoryName) -> Result<Option<Response<Body>>, Refusal> {
    let Some(digest) = digest_parameter(call, "mount")? else {
        return Ok(None);
    };
    let from = parameter(call, "from")?.map(RepositoryName::parse);
    let from = from.transpose().map_err(|e| Refusal::invalid(ErrorCode::NAME_INVALID, &e))?;
    if !call.may_pull(from.as_ref()).await {
        return Ok(None);
    }
    let mounted = call.repository(name).mount(&digest, from.as_ref()).await;
    if !mounted.map_err(|e| About::Blob.refuse(&e))? {
        return Ok(None);
    }
    created(&format!("/v2/{name}/blobs/{digest}"), &digest).map(Some)
}

/// Returns the byte range of a chunk, after checking it against the declared size of the body.
fn chunk(call: &Call<'_>) -> Result<Option<Range<u64>>, Refusal> {
    let Some(range) = call.headers.get(CONTENT_RANGE) else {
        return Ok(None);
    };
    let range = range::of_chunk(&String::from_utf8_lossy(range.as_bytes()))
        .map_err(|e| Refusal::invalid(ErrorCode::BLOB_UPLOAD_INVALID, &e))?;
    let length = call.header(&CONTENT_LENGTH).and_then(|l| l.parse().ok());
    if length.is_some_and(|length: u64| length != range.end - range.start) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::SIZE_INVALID,
            format!(
                "the range covers {} bytes, but the body has a different size",
                range.end - range.start
            ),
        ));
    }
    Ok(Some(range))
}

/// Returns the incoming bytes with their declared offset and size.
async fn incoming(
    call: &Call<'_>,
    store: &Repository,
    id: &UploadId,
    body: Incoming,
) -> Result<Chunk, Refusal> {
    let range = chunk(call)?;
    let size = store.upload_size(id).await;
    let size = size.map_err(|e| About::Upload.refuse(&e))?;
    let limit = call.limits.blob_size.saturating_sub(size);
    let expected = range.as_ref().map(|range| range.end - range.start);
    // The stream fails as soon as it exceeds the limit, so reserve no space for a body that is too
    // large.
    let size = expected.or(body.size()).filter(|size| *size <= limit);
    let permit = call.budget.file().await.map_err(|e| About::Upload.refuse(&e))?;
    let bytes = permit.held_by(body.into_stream(limit, expected));
    Ok(Chunk { offset: range.map(|range| range.start), size, bytes })
}

/// Builds the reply for a failure. If the client sent a wrong offset, the reply contains the
/// correct offset.
async fn failed(store: &Repository, name: &RepositoryName, id: &UploadId, e: &Error) -> Refusal {
    if e.kind() == ErrorKind::TooLarge {
        // The upload can only grow, so remove it. Canceling may fail because the upload is busy or
        // was already removed.
        let _ = store.cancel(id).await;
    }
    let refusal = About::Upload.refuse(e);
    if refusal.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        return refusal;
    }
    let Ok(size) = store.upload_size(id).await else {
        return refusal;
    };
    match (range_header(size), reply::header_value(&location(name, id))) {
        (Ok(at), Ok(location)) => refusal.with(RANGE, at).with(LOCATION, location),
        _ => refusal,
    }
}

/// Returns a response with the path and the received range of an upload.
fn accepted(status: StatusCode, name: &RepositoryName, id: &UploadId, size: u64) -> Answer {
    let mut response = reply::empty(status);
    let headers = response.headers_mut();
    headers.insert(LOCATION, reply::header_value(&location(name, id))?);
    headers.insert(UPLOAD_UUID, reply::header_value(id)?);
    headers.insert(RANGE, range_header(size)?);
    if status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    Ok(response)
}

fn location(name: &RepositoryName, id: &UploadId) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// Returns the positions of the first and last byte of an upload. For an empty upload, the header
/// is `0-0`, as in Docker's registry.
fn range_header(size: u64) -> Result<HeaderValue, Refusal> {
    reply::header_value(&format!("0-{}", size.saturating_sub(1)))
}

fn parameter<'c>(call: &'c Call<'_>, key: &str) -> Result<Option<&'c str>, Refusal> {
    let value = call.query.one(key);
    value.map_err(|e| Refusal::invalid(ErrorCode::BLOB_UPLOAD_INVALID, &e))
}

fn digest_parameter(call: &Call<'_>, key: &str) -> Result<Option<Digest>, Refusal> {
    let value = call.query.one(key);
    let value = value.map_err(|e| Refusal::invalid(ErrorCode::DIGEST_INVALID, &e))?;
    Ok(value.map(computable_digest).transpose()?)
}

fn algorithm_parameter(call: &Call<'_>) -> Result<Algorithm, Refusal> {
    let Some(name) = parameter(call, "digest-algorithm")? else {
        return Ok(Algorithm::default());
    };
    Algorithm::named(name).ok_or_else(|| {
        let e = ParseError::new("algorithm", name, "expected sha256, sha384 or sha512");
        Refusal::invalid(ErrorCode::DIGEST_INVALID, &e)
    })
}

/// A header that no current specification defines. docker-registry-client-async 1.0.3 fails without
/// it.
const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
