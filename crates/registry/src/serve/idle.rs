//! Time limits of connections that wait for a request.
//!
//! Owns the time that a client may wait before a request, and the time for the request's head.
//! hyper's limit counts both together, and only once the protocol is known: kept-alive connections
//! would end as soon as slow ones, and silent ones never.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::Version;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The requests in progress on a connection, shared by the readers and the writers.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// HTTP/2 frames other than requests may arrive at any time.
    is_http2: AtomicBool,
    /// Woken when a request ends: hyper does not poll again on its own.
    reader: AtomicWaker,
}

/// A request in progress, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

/// A response's body, whose end also ends the request.
#[derive(Debug)]
pub(super) struct Last<B> {
    body: B,
    _request: UnderWay,
}

/// Ends reads that wait too long for a request.
#[derive(Debug)]
pub(super) struct Idle {
    activity: Activity,
    /// The number of requests begun at the last check.
    begun: usize,
    waiting: Waiting,
    timer: Pin<Box<Sleep>>,
}

/// The event that a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    /// A response, or more of a request in progress.
    Answer,
    /// Another request.
    Request,
    /// The rest of a request's head.
    Head,
}

impl Activity {
    /// Records the head of a request.
    pub(super) fn begin(&self, version: Version) -> UnderWay {
        self.0.is_http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.clone())
    }

    /// Returns the number of requests begun.
    pub(super) fn begun(&self) -> usize {
        self.0.begun.load(Ordering::Acquire)
    }

    fn is_busy(&self) -> bool {
        self.begun() != self.0.ended.load(Ordering::Acquire)
    }

    fn is_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::Relaxed)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.0.reader.wake();
    }
}

impl<B> Last<B> {
    pub(super) fn new(body: B, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for Last<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Idle {
    /// Starts the timer of a new connection, whose first head is due at once.
    pub(super) fn new(activity: Activity) -> Self {
        let timer = Box::pin(tokio::time::sleep(HEADER_TIME));
        Self { activity, begun: 0, waiting: Waiting::Head, timer }
    }

    /// Passes on a read that got bytes or failed, and counts the time of a waiting one.
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.activity.0.reader.register(cx.waker());
        let begun = self.activity.begun();
        let last = if begun == self.begun { self.waiting } else { Waiting::Answer };
        self.begun = begun;
        let came = polled.is_ready() && !self.activity.is_http2();
        let next = if self.activity.is_busy() { Waiting::Answer } else { last.next(came) };
        if next != last {
            self.timer.as_mut().reset(Instant::now() + next.patience());
        }
        self.waiting = next;
        if polled.is_ready() || next == Waiting::Answer {
            return polled;
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Waiting {
    /// Returns the next event to wait for while no request is in progress.
    fn next(self, bytes_came: bool) -> Self {
        match self {
            Self::Head => Self::Head,
            _ if bytes_came => Self::Head,
            _ => Self::Request,
        }
    }

    fn patience(self) -> Duration {
        match self {
            Self::Head => HEADER_TIME,
            Self::Answer | Self::Request => IDLE_TIME,
        }
    }
}

/// 10 s for a request's head, from its first byte; for the first one, from the connection's start.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// 100 s: Go's and hyper's clients close idle connections after 90 s, so they rarely send a request
/// on a connection that was just closed.
const IDLE_TIME: Duration = Duration::from_secs(100);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn came(idle: &mut Idle) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(idle.watch(&mut cx, Poll::Ready(Ok(()))).is_ready());
    }

    async fn seconds_to_the_end(idle: &mut Idle) -> u64 {
        let started = Instant::now();
        let e = poll_fn(|cx| idle.watch(cx, Poll::Pending)).await.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_is_due_sooner_than_a_request() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        assert_eq!(seconds_to_the_end(&mut idle).await, 10, "nothing came");

        let mut idle = Idle::new(activity.clone());
        came(&mut idle);
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(seconds_to_the_end(&mut idle).await, 100, "answered between two reads");

        let mut idle = Idle::new(activity.clone());
        drop(activity.begin(Version::HTTP_11));
        came(&mut idle);
        tokio::time::advance(Duration::from_secs(4)).await;
        came(&mut idle);
        assert_eq!(seconds_to_the_end(&mut idle).await, 6, "a head in parts");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_ends_while_a_request_is_under_way() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        let request = activity.begin(Version::HTTP_11);
        came(&mut idle);
        let waits = tokio::time::timeout(Duration::from_secs(1_000), seconds_to_the_end(&mut idle));
        waits.await.unwrap_err();
        drop(request);
        assert_eq!(seconds_to_the_end(&mut idle).await, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn frames_between_requests_are_no_head() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        drop(activity.begin(Version::HTTP_2));
        came(&mut idle);
        tokio::time::advance(Duration::from_secs(30)).await;
        came(&mut idle);
        assert_eq!(seconds_to_the_end(&mut idle).await, 70);
    }
}
