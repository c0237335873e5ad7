//! Reads, writes and deletes manifests: the endpoints end-3, end-7 and end-9 of distribution-spec.
//!
//! A manifest is served as it was pushed, no matter which media types the client accepts. Its
//! digest fixes its bytes, so the registry never converts manifests.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use longshore_core::{
    Delete as _, Descriptor, Digest, Error, ErrorCode, ErrorKind, GuardMethod, MediaType,
    RawManifest, RepositoryName, Source as _, Tag, TagGuard, TagOrDigest, Target as _, graph,
};

use super::{Answer, Call, add_content_headers, created, not_modified};
use crate::reply::{self, About, Refusal};
use crate::repositories::Repository;
use crate::request_body::Incoming;
use crate::response_body::Body;

pub(super) async fn answer(
    call: &Call<'_>,
    name: &RepositoryName,
    selector: &TagOrDigest,
    body: Incoming,
) -> Answer {
    match *call.method {
        Method::GET | Method::HEAD => read(call, name, selector).await,
        Method::PUT => write(call, name, selector, body).await,
        Method::DELETE if !call.offered.delete => Err(Refusal::method("GET, HEAD, PUT")),
        Method::DELETE => {
            let store = call.repository(name);
            let deleted = match selector {
                TagOrDigest::Tag(tag) => store.delete_tag(tag).await,
                TagOrDigest::Digest(digest) => store.delete_manifest(digest).await,
            };
            deleted.map_err(|e| About::Manifest.refuse(&e))?;
            Ok(reply::empty(StatusCode::ACCEPTED))
        }
        _ => Err(Refusal::method("GET, HEAD, PUT, DELETE")),
    }
}

async fn read(call: &Call<'_>, name: &RepositoryName, selector: &TagOrDigest) -> Answer {
    let store = call.repository(name);
    let building = call.budget.building().await.map_err(|e| About::Manifest.refuse(&e))?;
    let manifest = match store.manifest(selector).await {
        Ok(manifest) => manifest,
        Err(e) => return Err(treat_damaged_as_missing(&store, name, selector, &e).await),
    };
    if call.is_cached_by_client(manifest.digest()) {
        return not_modified(manifest.digest());
    }
    let mut response = reply::empty(StatusCode::OK);
    add_content_headers(&mut response, manifest.digest())?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, reply::header_value(manifest.media_type())?);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(manifest.bytes().len()));
    drop(building);
    let (digest, bytes) = (manifest.digest().clone(), manifest.bytes().clone());
    *response.body_mut() = Body::document(bytes, call.budget, move || {
        let (store, digest) = (store.clone(), digest.clone().into());
        async move { Ok(store.manifest(&digest).await?.bytes().clone()) }
    });
    Ok(response)
}

/// Builds the refusal for a manifest that could not be read. A damaged manifest counts as missing,
/// because pushing it again repairs it.
async fn treat_damaged_as_missing(
    store: &Repository,
    name: &RepositoryName,
    selector: &TagOrDigest,
    e: &Error,
) -> Refusal {
    match e.kind() {
        ErrorKind::NotFound if !store.exists().await.unwrap_or(true) => Refusal::unknown_name(name),
        ErrorKind::DigestMismatch => {
            tracing::warn!(%name, %selector, error = %e, "a stored manifest is damaged");
            let absent = Error::new(ErrorKind::NotFound).at(format!("manifest {selector}"));
            About::Manifest.refuse(&absent)
        }
        _ => About::Manifest.refuse(e),
    }
}

async fn write(
    call: &Call<'_>,
    name: &RepositoryName,
    selector: &TagOrDigest,
    body: Incoming,
) -> Answer {
    let refuse = |e: &Error| About::Manifest.refuse(e);
    let media_type = content_type(call)?;
    let also = match selector {
        TagOrDigest::Digest(_) => tag_parameters(call)?,
        TagOrDigest::Tag(_) => Vec::new(),
    };
    let guard = guard(call, selector)?;
    let (store, limit) = (call.repository(name), call.limits.manifest_size);
    let size = body.size().unwrap_or(u64::MAX).min(limit as u64);
    let _permit = call.budget.receiving(size).await.map_err(|e| refuse(&e))?;
    let body = body.into_stream(limit as u64, None);
    let bytes = body.bytes(limit).await.map_err(|e| refuse(&e))?;
    let manifest = match selector {
        TagOrDigest::Digest(digest) => RawManifest::new(bytes, media_type, digest.clone()),
        TagOrDigest::Tag(_) => RawManifest::from_bytes(bytes, media_type),
    };
    let manifest = manifest.map_err(|e| refuse(&e))?;
    manifest.check_unambiguous().map_err(|e| refuse(&e))?;
    let subject = graph::referrer(&manifest).map_err(|e| refuse(&e))?;
    check_successors(call, &store, &manifest).await?;

    let method = match (selector.tag(), &guard) {
        (Some(tag), Some(guard)) => {
            store.push_guarded(&manifest, tag, guard).await.map(Some).map_err(|e| unmet(&e))?
        }
        (tag, _) => {
            store.push_manifest(&manifest, tag).await.map(|()| None).map_err(|e| refuse(&e))?
        }
    };
    if !also.is_empty() {
        let tagged = store.tag(manifest.digest(), &also).await;
        tagged.map_err(|e| refuse(&e))?;
    }

    let digest = manifest.digest();
    let mut response = created(&format!("/v2/{name}/manifests/{digest}"), digest)?;
    let headers = response.headers_mut();
    if method == Some(GuardMethod::Atomic) {
        headers.insert(TAG_GUARD, HeaderValue::from_static("atomic"));
    }
    if let Some((subject, _)) = subject {
        headers.insert(OCI_SUBJECT, reply::header_value(&subject)?);
    }
    for tag in &also {
        headers.append(OCI_TAG, reply::header_value(tag)?);
    }
    Ok(response)
}

/// Returns the condition of the request: `If-None-Match: *`, or `If-Match` with one digest. Refuses
/// any other condition, because a client relies on its condition.
///
/// Source: RFC 9110, section 13.1. The distribution-spec (v1.1.1) does not define conditions.
fn guard(call: &Call<'_>, selector: &TagOrDigest) -> Result<Option<TagGuard>, Refusal> {
    let values = |name| call.headers.get_all(name).iter().collect::<Vec<_>>();
    let digest = |value: &HeaderValue| {
        let quoted = value.to_str().ok()?.strip_prefix('"')?.strip_suffix('"')?;
        Digest::parse(quoted).ok()
    };
    let guard = match (&values(IF_NONE_MATCH)[..], &values(IF_MATCH)[..]) {
        ([], []) => return Ok(None),
        ([value], []) if *value == "*" => Some(TagGuard::Absent),
        ([], [value]) => digest(value).map(TagGuard::PointsAt),
        _ => None,
    };
    match guard.filter(|_| selector.tag().is_some()) {
        Some(guard) => Ok(Some(guard)),
        None => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::UNSUPPORTED,
            "unsupported condition; expected `If-None-Match: *` or `If-Match: \"<digest>\"`, for a tag",
        )),
    }
}

/// Builds the refusal for a failed push with a condition: 412 if the tag does not meet it.
fn unmet(e: &Error) -> Refusal {
    match e.kind() {
        ErrorKind::Conflict => {
            Refusal::new(StatusCode::PRECONDITION_FAILED, ErrorCode::DENIED, e.to_string())
        }
        _ => About::Manifest.refuse(e),
    }
}

/// Returns the media type that the client sent, without its parameters.
fn content_type(call: &Call<'_>) -> Result<Option<MediaType>, Refusal> {
    let Some(value) = call.headers.get(CONTENT_TYPE) else {
        return Ok(None);
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    let essence = value.split(';').next().unwrap_or_default().trim();
    let parsed = MediaType::parse(essence);
    let parsed = parsed.map_err(|e| Refusal::invalid(ErrorCode::MANIFEST_INVALID, &e))?;
    Ok(Some(parsed))
}

/// Returns the tags to set when pushing by digest.
///
/// Source: distribution-spec main, "Pushing Manifests" (end-7b).
fn tag_parameters(call: &Call<'_>) -> Result<Vec<Tag>, Refusal> {
    let tags = call.query.all("tag").map(Tag::parse);
    let tags = tags.collect::<Result<_, _>>();
    tags.map_err(|e| Refusal::invalid(ErrorCode::TAG_INVALID, &e))
}

/// Refuses a manifest if content that it references is missing or has another size. There are three
/// exceptions: non-distributable layers are not checked, a subject may be pushed later or never,
/// and schema 1 manifests are accepted unchecked because they declare no sizes. If missing content
/// is allowed, only the sizes of existing content are checked. An index may also list blobs, as the
/// cache indexes of BuildKit did before 0.21 (2025).
async fn check_successors(
    call: &Call<'_>,
    store: &Repository,
    manifest: &RawManifest,
) -> Result<(), Refusal> {
    let successors = match graph::Successors::of(manifest) {
        Ok(successors) => successors,
        Err(e) if e.kind() == ErrorKind::Unsupported => return Ok(()),
        Err(e) => return Err(About::Manifest.refuse(&e)),
    };
    let check = |noun, listed: &Descriptor, size| match size {
        None if call.allows_missing => Ok(()),
        size => check_size(noun, listed, size),
    };
    let blobs = successors.blobs.iter();
    for blob in blobs.filter(|blob| !blob.media_type.is_nondistributable()) {
        let size = store.blob_size(&blob.digest).await;
        check("blob", blob, size.map_err(|e| About::Blob.refuse(&e))?)?;
    }
    for child in &successors.manifests {
        let size = match store.resolve(&child.digest.clone().into()).await {
            Ok(found) => Some(found.size),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DigestMismatch) => {
                match child.media_type.is_manifest() {
                    true => None,
                    false => {
                        store.blob_size(&child.digest).await.map_err(|e| About::Blob.refuse(&e))?
                    }
                }
            }
            Err(e) => return Err(About::Manifest.refuse(&e)),
        };
        check("manifest", child, size)?;
    }
    Ok(())
}

fn check_size(noun: &str, listed: &Descriptor, size: Option<u64>) -> Result<(), Refusal> {
    match size {
        Some(size) if size == listed.size => Ok(()),
        Some(size) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::MANIFEST_INVALID,
            format!(
                "{noun} {} has {size} bytes, but the manifest declares {}",
                listed.digest, listed.size
            ),
        )),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            ErrorCode::MANIFEST_BLOB_UNKNOWN,
            format!("the manifest lists {noun} {}, which is not in the repository", listed.digest),
        )),
    }
}

/// Confirms that the registry checked the condition and set the tag in one step. Without this
/// header, a client cannot know whether a registry ignored its condition.
const TAG_GUARD: HeaderName = HeaderName::from_static("longshore-tag-guard");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
