//! Splits a stream into the bodies of several requests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_core::{BlobStream, Result};

/// A stream that is read in parts of exact sizes.
pub(super) struct Rest(Arc<tokio::sync::Mutex<Parts>>);

struct Parts {
    stream: BlobStream,
    /// Bytes of the last chunk beyond the end of the last part.
    surplus: Bytes,
}

impl Rest {
    pub(super) fn new(stream: BlobStream) -> Self {
        Self(Arc::new(tokio::sync::Mutex::new(Parts { stream, surplus: Bytes::new() })))
    }

    /// Returns the next `size` bytes. The previous part must have been read to its end.
    pub(super) fn first(&mut self, size: u64) -> BlobStream {
        let parts = Arc::clone(&self.0);
        BlobStream::new(stream::try_unfold((parts, size), |(parts, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let Some(chunk) = parts.lock().await.next(left).await? else { return Ok(None) };
            let left = left - chunk.len() as u64;
            Ok(Some((chunk, (parts, left))))
        }))
    }
}

impl Parts {
    /// Returns the next chunk, of at most `limit` bytes.
    async fn next(&mut self, limit: u64) -> Result<Option<Bytes>> {
        let mut chunk = std::mem::take(&mut self.surplus);
        while chunk.is_empty() {
            match self.stream.next().await {
                Some(next) => chunk = next?,
                None => return Ok(None),
            }
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if chunk.len() > limit {
            self.surplus = chunk.split_off(limit);
        }
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_is_split_into_parts_of_exact_sizes() {
        let chunks = ["abc", "", "defgh", "i"].map(|p| Ok(Bytes::from_static(p.as_bytes())));
        let mut rest = Rest::new(BlobStream::new(stream::iter(chunks)));
        for expected in ["ab", "cdef", "g", "hi", ""] {
            let part = rest.first(expected.len() as u64).bytes(100).await.unwrap();
            assert_eq!(part, expected);
        }
        assert_eq!(rest.first(5).bytes(100).await.unwrap(), "");
    }
}
