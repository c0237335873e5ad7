//! Sends requests and receives replies. Separates the client from the HTTP library.
//!
//! Owns [`Transport`], [`Body`] and [`TransportError`], and the layers around a transport. A
//! client's requests pass these layers, outermost first: `auth` (not in this module), `retry`,
//! `limit`, `redirect`, `log`, `observe` and `wire`.

mod activity;
pub(crate) mod deadline;
pub(crate) mod failure;
pub(crate) mod limit;
pub(crate) mod log;
pub(crate) mod observe;
mod pauses;
pub(crate) mod redirect;
pub(crate) mod retry;
pub(crate) mod retry_after;
mod stall;
mod tls;
mod window;
pub(crate) mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use longshore_core::{BlobStream, Error, ErrorKind, Result};

/// An HTTP implementation that sends a request and returns the head of the reply. The body is read
/// later.
///
/// Implement this trait to replace the built-in HTTP implementation, for another HTTP stack or for
/// tests.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request with an absolute http or https URL.
    ///
    /// Any status is a reply, not an error. An implementation must not follow redirects, and must
    /// not decode bodies.
    ///
    /// # Errors
    /// [`TransportError`] if no reply arrived.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError>;
}

/// The body of a request or a reply.
#[derive(Debug, Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes in memory.
    Bytes(Bytes),
    /// Bytes that can be read only once.
    Stream {
        /// The bytes.
        stream: BlobStream,
        /// The number of bytes, if known.
        size: Option<u64>,
    },
}

impl Body {
    /// Returns the size in bytes, if known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream { size, .. } => *size,
        }
    }

    /// Returns a copy of the body, unless it is a stream.
    #[must_use]
    pub fn replay(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Stream { .. } => None,
        }
    }

    /// Returns the bytes as a stream of chunks.
    #[must_use]
    pub fn into_stream(self) -> BlobStream {
        match self {
            Self::Empty => BlobStream::new(stream::empty()),
            Self::Bytes(bytes) => BlobStream::new(stream::iter([Ok(bytes)])),
            Self::Stream { stream, .. } => stream,
        }
    }

    /// Reads the rest of a small reply, so that its connection can be reused. Stops if reading
    /// takes too long.
    pub(crate) async fn drain(self) {
        if self.size().is_none_or(|size| size <= DRAIN_LIMIT) {
            drop(tokio::time::timeout(DRAIN_WAIT, self.read_away()).await);
        }
    }

    async fn read_away(self) {
        let mut left = DRAIN_LIMIT;
        let mut stream = self.into_stream();
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len() as u64);
            if left == 0 {
                return;
            }
        }
    }
}

/// The reason why no reply arrived.
pub struct TransportError {
    fault: TransportErrorKind,
    error: Error,
}

/// The class of a failure, on which the retry rule depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The request did not reach the server.
    NotSent,
    /// The connection broke. The server may have processed the request.
    Lost,
    /// A wait exceeded its time limit.
    TimedOut,
    /// Sending the request again would not help.
    Final,
}

impl TransportError {
    /// Creates an error from its class and the error to show to users.
    #[must_use]
    pub fn new(fault: TransportErrorKind, error: Error) -> Self {
        Self { fault, error }
    }

    /// Returns the class of the failure.
    #[must_use]
    pub fn fault(&self) -> TransportErrorKind {
        self.fault
    }

    /// Returns the kind of the error shown to users.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Returns the error shown to users.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }
}

impl From<Error> for TransportError {
    /// Wraps an error for which sending the request again would not help.
    fn from(error: Error) -> Self {
        Self::new(TransportErrorKind::Final, error)
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportError")
            .field("fault", &self.fault)
            .field("error", &self.error)
            .finish()
    }
}

impl std::error::Error for TransportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}

/// The mark of a reply to a request that was sent before. The server may have processed the earlier
/// request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeated;

/// Returns a copy of the request, unless its body is a stream.
pub(crate) fn replay(request: &Request<Body>) -> Option<Request<Body>> {
    let mut again = Request::new(request.body().replay()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// Returns the value of a header, if the header occurs exactly once and its value is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Returns a protocol error for a URL.
pub(crate) fn protocol_error(uri: &http::Uri, clause: String) -> Error {
    let url = crate::redact::redacted(uri);
    Error::new(ErrorKind::Protocol).at(&url).with_url(url).detail(clause)
}

/// 64 KiB: reading more than this costs more than a new connection.
const DRAIN_LIMIT: u64 = 64 << 10;
/// 1 s: waiting longer costs more than a new connection.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
