//! Computes the digest and size of a stream while it is read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::BlobStream;
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Digester};
use crate::error::Result;
use crate::media_type::MediaType;

/// The digest and size of the bytes read from a [digested](BlobStream::digested) stream.
#[derive(Debug)]
pub struct StreamDigest {
    seen: Arc<Mutex<Seen>>,
    expected: Option<Digest>,
}

#[derive(Debug)]
struct Seen {
    digester: Digester,
    size: u64,
}

impl BlobStream {
    /// Returns the stream, and the digest of the bytes that are read from it. Uses the algorithm of
    /// `expected`, or else sha256.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the algorithm of `expected` cannot be
    /// computed.
    pub fn digested(self, expected: Option<&Digest>) -> Result<(Self, StreamDigest)> {
        let algorithm = expected.map_or(Ok(Algorithm::Sha256), Digest::verifiable)?;
        let seen = Arc::new(Mutex::new(Seen { digester: algorithm.digester(), size: 0 }));
        let digest = StreamDigest { seen: Arc::clone(&seen), expected: expected.cloned() };
        let digested = self.0.inspect_ok(move |chunk: &Bytes| {
            let mut seen = lock(&seen);
            seen.digester.update(chunk);
            seen.size += chunk.len() as u64;
        });
        Ok((Self::new(digested), digest))
    }
}

impl StreamDigest {
    /// Returns the number of bytes read so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        lock(&self.seen).size
    }

    /// Returns the descriptor of the bytes read so far.
    ///
    /// # Errors
    /// [`DigestMismatch`](crate::ErrorKind::DigestMismatch) if the digest is not the expected one.
    pub fn finish(&self) -> Result<Descriptor> {
        let (digester, size) = {
            let seen = lock(&self.seen);
            (seen.digester.clone(), seen.size)
        };
        let digest = digester.finish();
        if let Some(expected) = &self.expected {
            expected.check(&digest).map_err(|e| e.at(expected))?;
        }
        Ok(Descriptor::new(MediaType::OCTET_STREAM, digest, size))
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn a_stream_is_digested_while_it_is_read() {
        for (expected, result) in [
            (None, Ok(Digest::sha256(b"abc"))),
            (Some(Algorithm::Sha512.digest(b"abc")), Ok(Algorithm::Sha512.digest(b"abc"))),
            (Some(Digest::sha256(b"abd")), Err(ErrorKind::DigestMismatch)),
        ] {
            let stream = BlobStream::from(Bytes::from_static(b"abc"));
            let (stream, digest) = stream.digested(expected.as_ref()).unwrap();
            assert_eq!(stream.bytes(9).await.unwrap(), "abc");
            assert_eq!(digest.size(), 3);
            assert_eq!(digest.finish().map(|d| d.digest).map_err(|e| e.kind()), result);
        }
        let unknown: Digest = "blake3:abc".parse().unwrap();
        let error = BlobStream::from(Bytes::new()).digested(Some(&unknown)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
