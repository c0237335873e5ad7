//! Requests of one's own, their replies waited for.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use longshore_core::{Error, Result};

use super::blob::BlobStream;
use super::runtime::wait;
use crate::raw::RawReply as AsyncReply;

/// The reply to a [`RawRequest`](crate::RawRequest), whatever its status.
#[derive(Debug)]
pub struct RawReply {
    inner: AsyncReply,
}

impl RawReply {
    /// The URL that answered, after redirects.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.inner.uri
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.inner.headers
    }

    /// The body, to be read as it comes.
    #[must_use]
    pub fn into_reader(self) -> BlobStream {
        self.inner.into_stream().into()
    }

    /// The whole body, of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`RawReply::bytes`](AsyncReply::bytes).
    pub fn bytes(self, limit: usize) -> Result<Bytes> {
        wait(self.inner.bytes(limit))
    }

    /// What the reply says went wrong, as every other operation tells it. Reads the body.
    #[must_use]
    pub fn into_error(self) -> Error {
        wait(async { Ok(self.inner.into_error().await) }).unwrap_or_else(|error| error)
    }
}

impl From<AsyncReply> for RawReply {
    fn from(inner: AsyncReply) -> Self {
        Self { inner }
    }
}
