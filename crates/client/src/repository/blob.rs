//! Requests for blobs: HEAD, and GET of a blob or a part of it.

use std::ops::Range;

use futures_util::stream;
use http::header::{CONTENT_LENGTH, RANGE};
use http::{HeaderValue, Method};
use longshore_core::{BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, Result};

use super::range::range_value;
use super::{RemoteRepository, download};
use crate::coding::Coding;
use crate::exchange::RegistryRequest;
use crate::reply::Reply;

impl RemoteRepository {
    /// Sends `HEAD /v2/<name>/blobs/<digest>`. If HEAD is not allowed or its reply does not state
    /// the size, sends `GET` and reads only the head of the reply.
    ///
    /// Source: distribution-spec v1.1.1, "Checking if content exists in the registry" (end-2).
    pub(super) async fn stated_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let uri = self.endpoint().await?.blob(self.path(), digest);
        for method in [Method::HEAD, Method::GET] {
            let is_head = method == Method::HEAD;
            let request =
                RegistryRequest::new(method, uri.clone(), self.pull(), self.blob_name(digest));
            let reply = self.exchange().send(request).await?;
            let size = whole_size(&reply);
            match (reply.status.as_u16(), size) {
                (200, Some(size)) => return Ok(Some(size)),
                (404, _) => return Ok(None),
                // A storage service's signed URL is valid for GET only. The service answers HEAD
                // with 403.
                (200 | 400 | 403 | 405 | 501, _) if is_head => {}
                (200, None) => break,
                _ => return Err(reply.into_error().await.at(self.blob_name(digest))),
            }
        }
        let error = Error::new(ErrorKind::Protocol).at(self.blob_name(digest));
        Err(error.detail("the registry did not state the size"))
    }

    /// Returns true if the blob exists with the correct size. Returns false for a blob of unknown
    /// size, so that it is sent again.
    pub(super) async fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        match self.stated_size(&descriptor.digest).await {
            Err(e) if e.kind() == ErrorKind::Protocol && e.status().is_none() => Ok(false),
            size => Ok(size? == Some(descriptor.size)),
        }
    }

    pub(super) async fn blob_reader(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let stream = download::start(self, descriptor, 0..descriptor.size).await?;
        Ok(BlobReader::new(descriptor.clone(), stream)?.named(self.blob_name(&descriptor.digest)))
    }

    pub(super) async fn blob_part(
        &self,
        descriptor: &Descriptor,
        range: Range<u64>,
    ) -> Result<BlobStream> {
        if range.start > range.end || range.end > descriptor.size {
            let error = Error::outside(&range, descriptor.size);
            return Err(error.at(self.blob_name(&descriptor.digest)));
        }
        if range.is_empty() && range.start > 0 {
            return Ok(BlobStream::new(stream::empty()));
        }
        let size = range.end - range.start;
        Ok(download::start(self, descriptor, range).await?.at_most(size))
    }

    /// Requests a blob or a part of it. Returns the reply, whatever its status.
    pub(super) async fn get_blob(
        &self,
        digest: &Digest,
        range: Option<&Range<u64>>,
    ) -> Result<Reply> {
        let uri = self.endpoint().await?.blob(self.path(), digest);
        let mut request =
            RegistryRequest::new(Method::GET, uri, self.pull(), self.blob_name(digest));
        if let Some(value) = range.and_then(|range| HeaderValue::from_str(&range_value(range)).ok())
        {
            request = request.header(RANGE.as_str(), value);
        }
        self.exchange().send(request).await
    }
}

/// Returns the size of the whole blob if the reply's head states it. The length of an encoded reply
/// is not the size of the blob.
pub(super) fn whole_size(reply: &Reply) -> Option<u64> {
    let coded = reply.coding() != Coding::Identity;
    let size = reply.header(CONTENT_LENGTH.as_str()).filter(|_| !coded);
    size.and_then(|text| text.parse().ok())
}
