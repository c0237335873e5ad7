//! Requests out, replies in: the seam between what the client wants and how it is sent.
//!
//! Owns [`Transport`], [`Body`] and [`TransportError`], and the layers that decorate a transport.
//! Knows nothing of registries beyond headers. From the outermost in, a client's requests go
//! through `auth` (not here), `retry`, `limit`, `redirect`, `log` and `wire`.

mod activity;
pub(crate) mod deadline;
pub(crate) mod failure;
pub(crate) mod limit;
pub(crate) mod log;
pub(crate) mod redirect;
pub(crate) mod retry;
pub(crate) mod retry_after;
mod stall;
mod tls;
pub(crate) mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response};
use longshore_core::{BlobStream, Error, ErrorKind, Result};

/// Sends one request and returns the head of its reply, the body still to be read.
///
/// A caller's own implementation replaces the wire: for another HTTP stack, or for tests.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync {
    /// Sends a request with an absolute http or https URL.
    ///
    /// Any status is a reply, not an error. Redirects are not followed and bodies not decoded here.
    ///
    /// # Errors
    /// [`TransportError`] where no reply came.
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError>;
}

/// The body of a request or a reply.
#[derive(Debug, Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes that come once.
    Stream {
        /// The bytes.
        stream: BlobStream,
        /// How many there are, if that is known.
        size: Option<u64>,
    },
}

impl Body {
    /// The size in bytes, if it is known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Stream { size, .. } => *size,
        }
    }

    /// The same body once more, if it is not a stream.
    #[must_use]
    pub fn replay(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Stream { .. } => None,
        }
    }

    /// The bytes, piece by piece.
    #[must_use]
    pub fn into_stream(self) -> BlobStream {
        match self {
            Self::Empty => BlobStream::new(stream::empty()),
            Self::Bytes(bytes) => BlobStream::new(stream::iter([Ok(bytes)])),
            Self::Stream { stream, .. } => stream,
        }
    }

    /// Reads what is left of a small reply, so that its connection can be used again; gives it up
    /// where that takes long.
    pub(crate) async fn drain(self) {
        if self.size().is_none_or(|size| size <= DRAIN_LIMIT) {
            drop(tokio::time::timeout(DRAIN_WAIT, self.read_away()).await);
        }
    }

    async fn read_away(self) {
        let mut left = DRAIN_LIMIT;
        let mut stream = self.into_stream();
        while let Some(Ok(piece)) = stream.next().await {
            left = left.saturating_sub(piece.len() as u64);
            if left == 0 {
                return;
            }
        }
    }
}

/// Why no reply came.
pub struct TransportError {
    fault: TransportErrorKind,
    error: Error,
}

/// What the retry rule has to know of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The request did not reach the other end.
    NotSent,
    /// The connection broke; whether the request was acted on is unknown.
    Lost,
    /// A wait reached its limit.
    TimedOut,
    /// Sending it again would not help.
    Final,
}

impl TransportError {
    /// A failure, and what to tell people about it.
    #[must_use]
    pub fn new(fault: TransportErrorKind, error: Error) -> Self {
        Self { fault, error }
    }

    /// What the retry rule has to know.
    #[must_use]
    pub fn fault(&self) -> TransportErrorKind {
        self.fault
    }

    /// The kind of what to tell people.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// What to tell people.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.error
    }
}

impl From<Error> for TransportError {
    /// An error that sending again would not help.
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

/// The same request once more, if its body is not a stream.
pub(crate) fn replay(request: &Request<Body>) -> Option<Request<Body>> {
    let mut again = Request::new(request.body().replay()?);
    *again.method_mut() = request.method().clone();
    *again.uri_mut() = request.uri().clone();
    *again.headers_mut() = request.headers().clone();
    *again.extensions_mut() = request.extensions().clone();
    Some(again)
}

/// The value of a header, if it comes once and is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// A failure of the protocol at a URL.
pub(crate) fn protocol_error(uri: &http::Uri, clause: String) -> Error {
    Error::new(ErrorKind::Protocol).at(crate::redact::redacted(uri)).detail(clause)
}

/// 64 KiB: reading more than this costs more than a new connection.
const DRAIN_LIMIT: u64 = 64 << 10;
/// 1 s: and so does waiting longer.
const DRAIN_WAIT: Duration = Duration::from_secs(1);
