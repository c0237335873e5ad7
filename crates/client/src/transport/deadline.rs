//! The deadline of one request.

use std::fmt;
use std::task::Poll;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Body;

/// An optional time limit that ends every wait of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// Returns the deadline for a period that begins now.
    pub(crate) fn after(total: Option<Duration>) -> Self {
        Self(total.and_then(|total| Some((Instant::now().checked_add(total)?, total))))
    }

    /// Returns the result of `work`, if `work` completes in time.
    ///
    /// # Errors
    /// [`Timeout`](ErrorKind::Timeout).
    pub(crate) async fn bound<T>(self, work: impl Future<Output = T>) -> Result<T> {
        match self.0 {
            None => Ok(work.await),
            Some((end, total)) => timeout_at(end, work).await.map_err(|_| late(total)),
        }
    }

    /// Wraps a body so that it ends with an error at the deadline.
    pub(crate) fn watch(self, body: Body) -> Body {
        match (self.0, body) {
            (Some((end, total)), Body::Stream { stream, size }) => {
                Body::Stream { stream: until(end, total, stream), size }
            }
            (_, body) => body,
        }
    }
}

fn until(end: Instant, total: Duration, mut inner: BlobStream) -> BlobStream {
    let mut timer = Box::pin(sleep_until(end));
    BlobStream::new(stream::poll_fn(move |cx| match inner.poll_next_unpin(cx) {
        Poll::Ready(Some(Ok(_))) if Instant::now() >= end => Poll::Ready(Some(Err(late(total)))),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| Some(Err(late(total)))),
        ready => ready,
    }))
}

fn late(total: Duration) -> Error {
    let clause = format!("the request did not complete within {total:?}");
    Error::new(ErrorKind::Timeout).detail(clause).with_source(Late)
}

/// Returns true if the error means that a request exceeded its total time limit. Such a request is
/// not retried.
pub(crate) fn is_late(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<Late>())
}

#[derive(Debug)]
struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the total time limit of the request was exceeded")
    }
}

impl std::error::Error for Late {}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn trickle() -> Body {
        let stream = BlobStream::new(Box::pin(stream::unfold((), |()| async {
            sleep_until(Instant::now() + SECOND).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        })));
        Body::Stream { stream, size: None }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endless_body_ends_at_the_deadline() {
        let body = Deadline::after(Some(10 * SECOND)).watch(trickle());
        let items: Vec<_> = body.into_stream().take(20).collect().await;
        let first_error = items.iter().position(Result::is_err);
        assert!(matches!(first_error, Some(9 | 10)), "{first_error:?}");
        let body = Deadline::after(None).watch(trickle());
        assert!(body.into_stream().take(20).all(async |item| item.is_ok()).await);
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_cancelled_at_the_deadline() {
        let never = std::future::pending::<()>();
        let e = Deadline::after(Some(SECOND)).bound(never).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Timeout);
        assert!(e.to_string().contains("1s"), "{e}");
        Deadline::after(Some(Duration::MAX)).bound(async {}).await.unwrap();
    }
}
