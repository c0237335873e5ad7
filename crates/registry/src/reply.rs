//! Responses to clients.
//!
//! Owns the only conversion of an [`Error`] to a status and the specification's error document. The
//! handlers call it.

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, InvalidHeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, Response, StatusCode};
use longshore_core::{Error, ErrorCode, ErrorKind, ParseError, RegistryError};
use serde::Serialize;

use crate::response_body::Body;
use crate::route::RouteError;

/// Returns a response without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Returns a response with a JSON document.
pub(crate) fn json(
    status: StatusCode,
    media_type: &'static str,
    document: &impl Serialize,
) -> Response<Body> {
    let bytes = to_json(document);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    *response.body_mut() = Body::of(bytes);
    response
}

pub(crate) fn to_json(document: &impl Serialize) -> Bytes {
    // Only maps whose keys are not strings fail to serialize, and this crate has none. In any case,
    // an empty document is better than a panic.
    serde_json::to_vec(document).unwrap_or_default().into()
}

/// Converts text to a header value. Refuses text that a header cannot contain.
pub(crate) fn header_value(text: &impl ToString) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(&text.to_string()).map_err(Refusal::from)
}

/// The reason why a request fails.
pub(crate) struct Refusal(Box<Inner>);

struct Inner {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    headers: HeaderMap,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { status, code, message: message.into(), headers: HeaderMap::new() }))
    }

    /// Returns a 400 refusal with the parser's message.
    pub(crate) fn invalid(code: ErrorCode, e: &ParseError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, e.to_string())
    }

    /// Returns a 404 refusal for an unknown repository.
    pub(crate) fn unknown_name(name: &longshore_core::RepositoryName) -> Self {
        let message = format!("there is no repository named {name}");
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NAME_UNKNOWN, message)
    }

    /// Returns a 405 refusal that lists the allowed methods.
    pub(crate) fn method(allow: &'static str) -> Self {
        let message = format!("method not allowed; expected {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::UNSUPPORTED, message)
            .with(http::header::ALLOW, HeaderValue::from_static(allow))
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Returns the response's status.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Document {
            errors: [RegistryError; 1],
        }
        let Inner { status, code, message, headers } = *self.0;
        let error = RegistryError { code, message, detail: serde_json::Value::Null };
        let mut response = json(status, "application/json", &Document { errors: [error] });
        response.headers_mut().extend(headers);
        response
    }
}

impl From<RouteError> for Refusal {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Unknown => Self::new(
                StatusCode::NOT_FOUND,
                ErrorCode::UNSUPPORTED,
                "not a path of the registry API",
            ),
            RouteError::UnknownUpload => Self::new(
                StatusCode::NOT_FOUND,
                ErrorCode::BLOB_UPLOAD_UNKNOWN,
                "there is no upload with this id",
            ),
            RouteError::Invalid(code, message) => Self::new(StatusCode::BAD_REQUEST, code, message),
        }
    }
}

impl From<InvalidHeaderValue> for Refusal {
    fn from(_: InvalidHeaderValue) -> Self {
        About::Repository
            .refuse(&Error::new(ErrorKind::Invalid).detail("the value cannot be sent in a header"))
    }
}

/// The resource of a failed operation. The code depends on this resource and on the kind of the
/// error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    Blob,
    Manifest,
    Repository,
    Upload,
}

impl About {
    /// Maps an error to a status and a code.
    ///
    /// Source: distribution-spec v1.1.1, "Error Codes" and the failures of each endpoint.
    pub(crate) fn refuse(self, error: &Error) -> Refusal {
        let (status, code) = match error.kind() {
            ErrorKind::NotFound => (StatusCode::NOT_FOUND, self.unknown()),
            ErrorKind::DigestMismatch => (StatusCode::BAD_REQUEST, ErrorCode::DIGEST_INVALID),
            ErrorKind::SizeMismatch => (StatusCode::BAD_REQUEST, ErrorCode::SIZE_INVALID),
            ErrorKind::Invalid | ErrorKind::Transport => (StatusCode::BAD_REQUEST, self.invalid()),
            ErrorKind::TooLarge if error.has_code(&ErrorCode::DENIED) => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::DENIED)
            }
            ErrorKind::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, self.too_large()),
            ErrorKind::Conflict if self == Self::Upload => {
                (StatusCode::RANGE_NOT_SATISFIABLE, self.invalid())
            }
            ErrorKind::Conflict | ErrorKind::AlreadyExists => {
                (StatusCode::CONFLICT, self.invalid())
            }
            ErrorKind::Timeout => (StatusCode::REQUEST_TIMEOUT, self.invalid()),
            ErrorKind::Unsupported => (StatusCode::BAD_REQUEST, ErrorCode::UNSUPPORTED),
            ErrorKind::Unverified => (StatusCode::BAD_REQUEST, ErrorCode::MANIFEST_UNVERIFIED),
            ErrorKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::TOOMANYREQUESTS),
            ErrorKind::Denied => (StatusCode::FORBIDDEN, ErrorCode::DENIED),
            ErrorKind::Unauthorized => (StatusCode::UNAUTHORIZED, ErrorCode::UNAUTHORIZED),
            ErrorKind::Io if is_full(error) => {
                (StatusCode::INSUFFICIENT_STORAGE, ErrorCode::UNKNOWN)
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::UNKNOWN),
        };
        let refusal = Refusal::new(status, code, message(status, error));
        match error.retry_after() {
            Some(wait) => refusal.with(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))),
            None => refusal,
        }
    }

    fn unknown(self) -> ErrorCode {
        match self {
            Self::Blob => ErrorCode::BLOB_UNKNOWN,
            Self::Manifest => ErrorCode::MANIFEST_UNKNOWN,
            Self::Repository => ErrorCode::NAME_UNKNOWN,
            Self::Upload => ErrorCode::BLOB_UPLOAD_UNKNOWN,
        }
    }

    fn invalid(self) -> ErrorCode {
        match self {
            Self::Blob => ErrorCode::DIGEST_INVALID,
            Self::Manifest => ErrorCode::MANIFEST_INVALID,
            Self::Repository => ErrorCode::NAME_INVALID,
            Self::Upload => ErrorCode::BLOB_UPLOAD_INVALID,
        }
    }

    fn too_large(self) -> ErrorCode {
        match self {
            Self::Manifest => ErrorCode::MANIFEST_INVALID,
            Self::Blob | Self::Repository | Self::Upload => ErrorCode::SIZE_INVALID,
        }
    }
}

/// Returns the message for the client. It describes mistakes of the client in detail. Of errors of
/// the server, it reveals only that the storage is full.
fn message(status: StatusCode, error: &Error) -> String {
    if status.is_server_error() {
        tracing::error!(error = %chain(error), "request failed");
        return match status {
            StatusCode::INSUFFICIENT_STORAGE => "the registry's storage is full".to_owned(),
            _ => "internal error; the log of the registry has the reason".to_owned(),
        };
    }
    match error.registry_errors().first() {
        Some(own) => own.message.clone(),
        None => chain(error),
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

fn is_full(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|e| e.downcast_ref::<std::io::Error>()).is_some_and(|e| {
        matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(about: About, kind: ErrorKind) -> (u16, String) {
        let refusal = about.refuse(&Error::new(kind));
        (refusal.0.status.as_u16(), refusal.0.code.as_str().into())
    }

    #[test]
    fn the_kind_and_the_resource_of_an_error_determine_its_status_and_code() {
        use About::{Blob, Manifest, Repository, Upload};
        for (about, kind, status, code) in [
            (Blob, ErrorKind::NotFound, 404, "BLOB_UNKNOWN"),
            (Manifest, ErrorKind::NotFound, 404, "MANIFEST_UNKNOWN"),
            (Repository, ErrorKind::NotFound, 404, "NAME_UNKNOWN"),
            (Upload, ErrorKind::NotFound, 404, "BLOB_UPLOAD_UNKNOWN"),
            (Upload, ErrorKind::DigestMismatch, 400, "DIGEST_INVALID"),
            (Manifest, ErrorKind::DigestMismatch, 400, "DIGEST_INVALID"),
            (Upload, ErrorKind::SizeMismatch, 400, "SIZE_INVALID"),
            (Upload, ErrorKind::Conflict, 416, "BLOB_UPLOAD_INVALID"),
            (Upload, ErrorKind::Timeout, 408, "BLOB_UPLOAD_INVALID"),
            (Upload, ErrorKind::RateLimited, 429, "TOOMANYREQUESTS"),
            (Manifest, ErrorKind::Invalid, 400, "MANIFEST_INVALID"),
            (Manifest, ErrorKind::TooLarge, 413, "MANIFEST_INVALID"),
            (Upload, ErrorKind::TooLarge, 413, "SIZE_INVALID"),
            (Blob, ErrorKind::Unsupported, 400, "UNSUPPORTED"),
            (Manifest, ErrorKind::Unverified, 400, "MANIFEST_UNVERIFIED"),
            (Repository, ErrorKind::Denied, 403, "DENIED"),
            (Repository, ErrorKind::Unauthorized, 401, "UNAUTHORIZED"),
            (Blob, ErrorKind::Io, 500, "UNKNOWN"),
        ] {
            assert_eq!(refused(about, kind), (status, code.to_owned()), "{about:?} {kind:?}");
        }
    }

    #[test]
    fn disk_errors_of_the_server_are_not_shown_to_clients() {
        let path = std::path::Path::new("/srv/secret");
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let refusal = About::Blob.refuse(&Error::io(path, denied));
        assert!(!refusal.0.message.contains("secret"));
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let refusal = About::Blob.refuse(&Error::io(path, full));
        assert_eq!(refusal.0.status, StatusCode::INSUFFICIENT_STORAGE);
    }
}
