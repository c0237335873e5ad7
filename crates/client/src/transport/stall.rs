//! Watches the bodies of replies, and ends a body that stalls.
//!
//! A body stalls if no byte, or too few bytes, arrive within the time limit.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use longshore_core::{Result, wait};
use tokio::time::{Instant, Sleep, sleep};

/// A reply's body, which ends with an error if it stalls. Reports a long wait to the user. Only the
/// time spent waiting for the network counts, so a slow reader does not stall a body.
pub(crate) struct Watched<S> {
    inner: S,
    /// The name of the server.
    host: String,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
    arrival: Arc<Arrival>,
    /// True if the current wait was reported, or ends too early for a report.
    is_reported: bool,
    waited: Duration,
    received: u64,
}

/// Records when a wait ends, because the reader may ask for the chunk only later.
#[derive(Debug, Default)]
struct Arrival(Mutex<(Option<Waker>, Option<Instant>)>);

impl Arrival {
    /// Begins a wait of this task.
    fn await_in(&self, task: &Waker) {
        *self.state() = (Some(task.clone()), None);
    }

    /// Returns the time at which the wait ended.
    fn time(&self) -> Option<Instant> {
        self.state().1
    }

    fn state(&self) -> MutexGuard<'_, (Option<Waker>, Option<Instant>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut state = self.state();
            state.1.get_or_insert_with(Instant::now);
            state.0.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// The ways in which a body stalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// No bytes arrived.
    Silent,
    /// Less than 1 KiB per second arrived.
    Slow,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, host: String, limit: Duration) -> Self {
        Self {
            inner,
            host,
            limit,
            timer: Box::pin(sleep(limit)),
            waiting_since: None,
            arrival: Arc::default(),
            is_reported: false,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Counts a chunk. Returns a stall if chunks arrive too slowly.
    ///
    /// - `arrived`: the end of the wait, if the reader did not ask for the chunk immediately.
    fn account(&mut self, size: usize, arrived: Option<Instant>) -> Option<Stall> {
        self.received += size as u64;
        if let Some(since) = self.waiting_since.take() {
            let end = arrived.unwrap_or_else(Instant::now);
            self.waited += end.saturating_duration_since(since);
        }
        if self.waited < self.limit {
            return None;
        }
        let slow = (self.received as f64) < SLOWEST * self.waited.as_secs_f64();
        (self.waited, self.received) = (Duration::ZERO, 0);
        slow.then_some(Stall::Slow)
    }

    /// Becomes ready when no bytes have arrived within the time limit. Reports a long wait before
    /// the limit.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting_since.is_none() {
            self.waiting_since = Some(Instant::now());
            self.is_reported = self.limit <= wait::LONG;
            self.timer.set(sleep(self.limit.min(wait::LONG)));
        }
        ready!(self.timer.as_mut().poll(cx));
        if !self.is_reported {
            self.is_reported = true;
            let (host, long) = (&self.host, wait::seconds(wait::LONG));
            let end = wait::gives_up(self.limit);
            wait::report(format_args!("waiting for {host}: no more data for {long}{end}"));
            self.timer.set(sleep(self.limit - wait::LONG));
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(())
    }
}

impl<S, E> Stream for Watched<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, Result<E, Stall>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let arrived = self.arrival.time();
        self.arrival.await_in(cx.waker());
        let waker = Waker::from(Arc::clone(&self.arrival));
        match self.inner.poll_next_unpin(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(Ok(chunk))) => {
                Poll::Ready(Some(match self.account(chunk.len(), arrived) {
                    Some(stall) => Err(Err(stall)),
                    None => Ok(chunk),
                }))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Ok(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => self.poll_silence(cx).map(|()| Some(Err(Err(Stall::Silent)))),
        }
    }
}

/// 1 KiB per second: slower than any usable connection.
const SLOWEST: f64 = 1024.0;

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, stream};
    use longshore_testkit::wait_log::WaitLog;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    fn watched<S: Stream<Item = Result<Bytes, ()>> + Unpin>(
        inner: S,
        limit: Duration,
    ) -> Watched<S> {
        Watched::new(inner, "r.example".to_owned(), limit)
    }

    /// Returns a stream of chunks of `size` bytes, each after `pause`.
    fn chunks(size: usize, pause: Duration) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        Box::pin(stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok(Bytes::from(vec![0; size])), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_on_silence_or_below_one_kilobyte_per_second() {
        let second = Duration::from_secs(1);
        for (size, pause, expected) in [
            (1 << 20, 61 * second, Some(Stall::Silent)),
            (1, second, Some(Stall::Slow)),
            (2048, second, None),
            (1 << 20, 59 * second, None),
        ] {
            let mut body = watched(chunks(size, pause), LIMIT).take(200);
            let mut found = None;
            while let Some(chunk) = body.next().await {
                if let Err(Err(stall)) = chunk {
                    found = Some(stall);
                    break;
                }
            }
            assert_eq!(found, expected, "{size} bytes each {pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_does_not_stall_a_body() {
        let fast = stream::iter((0..5).map(|_| Ok::<_, ()>(Bytes::from_static(b"x"))));
        let mut body = watched(fast, LIMIT);
        while let Some(chunk) = body.next().await {
            assert!(chunk.is_ok());
            sleep(2 * LIMIT).await;
        }
    }

    /// A reader may begin to wait for a chunk, and then be busy with another task.
    #[tokio::test(start_paused = true)]
    async fn the_pause_of_a_reader_that_began_to_wait_does_not_count() {
        let second = Duration::from_secs(1);
        for (pause, expected) in [(second, None), (20 * second, Some(Stall::Slow))] {
            let (sender, receiver) = tokio::sync::mpsc::channel(1);
            let received = stream::unfold(receiver, |mut receiver| async move {
                receiver.recv().await.map(|chunk| (chunk, receiver))
            });
            let mut body = watched(Box::pin(received), LIMIT);
            let mut found = None;
            for _ in 0..20 {
                assert!(body.next().now_or_never().is_none());
                sleep(pause).await;
                sender.send(Ok(Bytes::from(vec![0; 4096]))).await.unwrap();
                sleep(30 * second - pause).await;
                if let Err(Err(stall)) = body.next().await.unwrap() {
                    found = Some(stall);
                }
            }
            assert_eq!(found, expected, "{pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_possible_limit_does_not_overflow() {
        let slow = chunks(1, 3 * LIMIT).take(2);
        assert_eq!(watched(slow, Duration::MAX).count().await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn each_long_wait_is_reported_once() {
        let reported = WaitLog::listen();
        let second = Duration::from_secs(1);
        let receive =
            async |pause, limit| watched(chunks(1 << 20, pause), limit).take(2).count().await;
        receive(wait::LONG - second, LIMIT).await;
        receive(wait::LONG + second, wait::LONG).await;
        assert!(reported.take().is_empty());
        receive(LIMIT - second, LIMIT).await;
        let line = "waiting for r.example: no more data for 5 s (gives up after 60 s)";
        assert_eq!(reported.take(), [line; 2]);
        receive(LIMIT, Duration::MAX).await;
        assert_eq!(reported.take(), ["waiting for r.example: no more data for 5 s"; 2]);
    }
}
