//! Incoming request bodies.
//!
//! Owns the time limits for a client that sends a body, and the handling of unread bytes. The
//! handlers and stores check the content.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::stream::{self, Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use tokio::time::Instant;

use crate::limits::RegistryLimits;
use crate::pace::Pace;

/// The body of a request.
///
/// A body that is dropped before its end is drained in the background, up to 10 s and 16 MiB. A
/// client that is still sending can then read the response, which could be lost if the connection
/// were closed immediately.
pub(crate) struct Incoming {
    stream: Option<BlobStream>,
    size: Option<u64>,
    /// True while the client waits for `100 Continue` before it sends the body. Such a body is not
    /// drained.
    expects_continue: bool,
}

impl Incoming {
    /// Wraps a body with the time limits of its client.
    ///
    /// - `received`: the counter of the bytes received.
    pub(crate) fn new<B>(
        body: B,
        limits: &RegistryLimits,
        expects_continue: bool,
        received: Arc<AtomicU64>,
    ) -> Self
    where
        B: http_body::Body<Data: Send> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if body.is_end_stream() {
            return Self { stream: None, size: Some(0), expects_continue };
        }
        let size = body.size_hint().exact();
        let pace = Pace::new(limits);
        let chunks = stream::try_unfold((Box::pin(body), pace), move |(mut body, mut pace)| {
            let received = Arc::clone(&received);
            async move {
                let chunk = next(&mut body, &mut pace).await?;
                let size = chunk.as_ref().map_or(0, Bytes::len);
                received.fetch_add(size as u64, Ordering::Relaxed);
                Ok(chunk.map(|chunk| (chunk, (body, pace))))
            }
        });
        Self { stream: Some(BlobStream::new(chunks)), size, expects_continue }
    }

    /// Returns the size in bytes, if the client declared it.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the body as a stream for a store. The stream accepts at most `limit` bytes, and
    /// exactly `size` bytes if `size` is given.
    pub(crate) fn into_stream(self, limit: u64, size: Option<u64>) -> BlobStream {
        let declared = self.size.unwrap_or(0);
        let counted = stream::try_unfold((self, 0), move |(mut body, seen)| async move {
            if declared > limit {
                return Err(Error::larger_than(limit));
            }
            let Some(chunk) = body.next().await.transpose()? else {
                return match size {
                    Some(size) if seen < size => Err(wrong_size(size, seen)),
                    _ => Ok(None),
                };
            };
            let seen = seen + chunk.len() as u64;
            match size {
                Some(size) if seen > size => Err(wrong_size(size, seen)),
                _ if seen > limit => Err(Error::larger_than(limit)),
                _ => Ok(Some((chunk, (body, seen)))),
            }
        });
        BlobStream::new(counted)
    }
}

impl Stream for Incoming {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Reading the body sends `100 Continue`.
        self.expects_continue = false;
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(None);
        };
        let polled = stream.poll_next_unpin(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.stream = None;
        }
        polled
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let Some(mut rest) = self.stream.take().filter(|_| !self.expects_continue) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let drain = async move {
                let mut left = DRAIN_LIMIT;
                while let Some(Ok(chunk)) = rest.next().await {
                    left = match left.checked_sub(chunk.len()) {
                        Some(left) => left,
                        None => break,
                    };
                }
            };
            runtime.spawn(tokio::time::timeout(DRAIN_TIME, drain));
        }
    }
}

fn wrong_size(size: u64, seen: u64) -> Error {
    Error::new(ErrorKind::SizeMismatch)
        .detail(format!("the range covers {size} bytes, but the body has {seen}"))
}

/// Reads the next chunk of a body within the time limit.
async fn next<B>(body: &mut Pin<Box<B>>, pace: &mut Pace) -> Result<Option<Bytes>>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    loop {
        let started = Instant::now();
        let frame = tokio::time::timeout(pace.left(), body.frame()).await;
        let Some(frame) = frame.map_err(|_| pace.too_slow())? else { return Ok(None) };
        let frame = frame.map_err(|e| {
            Error::new(ErrorKind::Transport)
                .detail("the request's body was interrupted")
                .with_source(e)
        })?;
        // The API has no trailers, so they are ignored.
        if let Ok(mut data) = frame.into_data() {
            let size = data.remaining();
            pace.passed(started.elapsed(), size);
            return Ok(Some(data.copy_to_bytes(size)));
        }
    }
}

/// 16 MiB: enough for most layers whose upload is refused.
const DRAIN_LIMIT: usize = 16 << 20;
/// 10 s: after this time, the connection is closed even if the response was not read.
const DRAIN_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stalled_request_body_times_out() {
        let first = Ok::<_, Error>(http_body::Frame::data(Bytes::from_static(b"abc")));
        let stops = stream::iter([first]).chain(stream::pending());
        let body = http_body_util::StreamBody::new(stops);
        let mut incoming = Incoming::new(body, &RegistryLimits::default(), false, Arc::default());
        assert_eq!(incoming.next().await.unwrap().unwrap(), "abc");
        let e = incoming.next().await.unwrap().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Timeout);
        assert!(incoming.next().await.is_none());
    }
}
