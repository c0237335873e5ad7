//! Time limits of connections that wait for a request.
//!
//! Owns the time that a client may wait before a request, and the time for the request's head.
//! hyper has a single limit for both, and applies it only after the protocol is known. With hyper's
//! limit, idle connections would be closed as early as slow ones, and silent connections would
//! never be closed.

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
    /// True for HTTP/2, where frames other than requests may arrive at any time.
    is_http2: AtomicBool,
    /// Wakes the reader when a request ends, because hyper does not poll again on its own.
    reader: AtomicWaker,
}

/// A request in progress. Dropping it ends the request.
#[derive(Debug)]
pub(super) struct ActiveRequest(Activity);

/// The body of a response. Dropping it ends the request.
#[derive(Debug)]
pub(super) struct FinalBody<B> {
    body: B,
    _request: ActiveRequest,
}

/// A timer that makes a read fail if it waits too long for a request or for a request's head.
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
    /// A response, or more of the current request.
    Answer,
    /// Another request.
    Request,
    /// The rest of a request's head.
    Head,
}

impl Activity {
    /// Records the head of a request.
    pub(super) fn begin(&self, version: Version) -> ActiveRequest {
        self.0.is_http2.store(version == Version::HTTP_2, Ordering::Relaxed);
        self.0.begun.fetch_add(1, Ordering::AcqRel);
        ActiveRequest(self.clone())
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

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.0.reader.wake();
    }
}

impl<B> FinalBody<B> {
    pub(super) fn new(body: B, request: ActiveRequest) -> Self {
        Self { body, _request: request }
    }
}

impl<B: http_body::Body + Unpin> http_body::Body for FinalBody<B> {
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
    /// Starts the timer of a new connection. The first head must arrive within its time limit.
    pub(super) fn new(activity: Activity) -> Self {
        let timer = Box::pin(tokio::time::sleep(HEADER_TIME));
        Self { activity, begun: 0, waiting: Waiting::Head, timer }
    }

    /// Passes on the result of a read. Fails if the read has waited too long.
    pub(super) fn watch(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.activity.0.reader.register(cx.waker());
        let begun = self.activity.begun();
        let last = if begun == self.begun { self.waiting } else { Waiting::Answer };
        self.begun = begun;
        let received = polled.is_ready() && !self.activity.is_http2();
        let next = if self.activity.is_busy() { Waiting::Answer } else { last.next(received) };
        if next != last {
            self.timer.as_mut().reset(Instant::now() + next.time_limit());
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
    fn next(self, received: bool) -> Self {
        match self {
            Self::Head => Self::Head,
            _ if received => Self::Head,
            _ => Self::Request,
        }
    }

    fn time_limit(self) -> Duration {
        match self {
            Self::Head => HEADER_TIME,
            Self::Answer | Self::Request => IDLE_TIME,
        }
    }
}

/// 10 s for a request's head, from its first byte. For the first request, the time starts with the
/// connection.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// 100 s: Go's and hyper's clients close idle connections after 90 s. They therefore rarely send a
/// request on a connection that the registry has just closed.
const IDLE_TIME: Duration = Duration::from_secs(100);

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn receive(idle: &mut Idle) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(idle.watch(&mut cx, Poll::Ready(Ok(()))).is_ready());
    }

    async fn seconds_until_timeout(idle: &mut Idle) -> u64 {
        let started = Instant::now();
        let e = poll_fn(|cx| idle.watch(cx, Poll::Pending)).await.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        started.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_times_out_sooner_than_an_idle_connection() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        assert_eq!(seconds_until_timeout(&mut idle).await, 10, "nothing received");

        let mut idle = Idle::new(activity.clone());
        receive(&mut idle);
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(
            seconds_until_timeout(&mut idle).await,
            100,
            "a request answered between two reads"
        );

        let mut idle = Idle::new(activity.clone());
        drop(activity.begin(Version::HTTP_11));
        receive(&mut idle);
        tokio::time::advance(Duration::from_secs(4)).await;
        receive(&mut idle);
        assert_eq!(seconds_until_timeout(&mut idle).await, 6, "a head in parts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_with_a_request_in_progress_does_not_time_out() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        let request = activity.begin(Version::HTTP_11);
        receive(&mut idle);
        let waiting =
            tokio::time::timeout(Duration::from_secs(1_000), seconds_until_timeout(&mut idle));
        waiting.await.unwrap_err();
        drop(request);
        assert_eq!(seconds_until_timeout(&mut idle).await, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn http2_frames_between_requests_do_not_start_the_time_limit_of_a_head() {
        let activity = Activity::default();
        let mut idle = Idle::new(activity.clone());
        drop(activity.begin(Version::HTTP_2));
        receive(&mut idle);
        tokio::time::advance(Duration::from_secs(30)).await;
        receive(&mut idle);
        assert_eq!(seconds_until_timeout(&mut idle).await, 70);
    }
}
