//! Waits that end: the watch over bodies on their way, in either direction.
//!
//! Owns the two rules (no byte for too long; too few bytes over that long) for replies, and the
//! bookkeeping of requests' bodies: it tells a slow server from a slow body, and ends a body that was
//! refused before it was sent. The wire uses both.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};
use longshore_core::{BlobStream, Error, ErrorKind, PIECE, Result};
use tokio::time::{Instant, Sleep, sleep};

/// Ends a reply's body that stalls. Only time spent waiting for the network counts: the reader may
/// take as long as it likes.
pub(crate) struct Watched<S> {
    inner: S,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    waiting_since: Option<Instant>,
    waited: Duration,
    received: u64,
}

/// How a body stalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// Nothing came.
    Silent,
    /// Less than a kilobyte a second came.
    Slow,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            timer: Box::pin(sleep(limit)),
            waiting_since: None,
            waited: Duration::ZERO,
            received: 0,
        }
    }

    /// Takes account of a piece; says whether pieces come too slowly.
    fn account(&mut self, size: usize) -> Option<Stall> {
        self.received += size as u64;
        self.waited += self.waiting_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        if self.waited < self.limit {
            return None;
        }
        let slow = self.received < SLOWEST.saturating_mul(self.waited.as_secs());
        (self.waited, self.received) = (Duration::ZERO, 0);
        slow.then_some(Stall::Slow)
    }
}

impl<S, E> Stream for Watched<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    type Item = Result<Bytes, Result<E, Stall>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.inner.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(match self.account(piece.len()) {
                Some(stall) => Err(Err(stall)),
                None => Ok(piece),
            })),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Ok(error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                if self.waiting_since.is_none() {
                    self.waiting_since = Some(Instant::now());
                    let timer = sleep(self.limit);
                    self.timer.as_mut().set(timer);
                }
                ready!(self.timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(Err(Stall::Silent))))
            }
        }
    }
}

/// What a request's body is doing, seen by whoever waits for the reply.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    last: Instant,
    waits_for_body: bool,
    error: Option<Error>,
    wanted: Wanted,
    /// Whoever is to send more of the body.
    sender: Option<Waker>,
}

/// Whether the rest of a body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Yes,
    /// It was refused; the connection stays open for the rest of the reply.
    Refused,
    /// It never will be: the connection ends.
    Never,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            last: Instant::now(),
            waits_for_body: false,
            error: None,
            wanted: Wanted::Yes,
            sender: None,
        })))
    }

    /// Notes every step of a body that is being sent; keeps its error, which the HTTP library would
    /// bury. Large pieces are handed out in parts: one that is given away is neither seen on its way
    /// nor to be kept back.
    pub(crate) fn watch(&self, mut body: BlobStream) -> BlobStream {
        let (activity, mut rest) = (self.clone(), Bytes::new());
        BlobStream::new(futures_util::stream::poll_fn(move |cx| {
            match activity.wanted(cx.waker()) {
                Wanted::Yes => {}
                Wanted::Refused => return Poll::Pending,
                Wanted::Never => return Poll::Ready(Some(Err(cut("the body was refused")))),
            }
            let polled = match rest.is_empty() {
                true => body.poll_next_unpin(cx),
                false => Poll::Ready(Some(Ok(std::mem::take(&mut rest)))),
            };
            let mut state = activity.state();
            state.last = Instant::now();
            state.waits_for_body = polled.is_pending();
            match polled {
                Poll::Ready(Some(Err(error))) => {
                    state.error = Some(error);
                    Poll::Ready(Some(Err(cut("the body could not be read to its end"))))
                }
                Poll::Ready(Some(Ok(mut piece))) => {
                    rest = piece.split_off(piece.len().min(PIECE));
                    Poll::Ready(Some(Ok(piece)))
                }
                polled => polled,
            }
        }))
    }

    /// The error that ended the body, if one did.
    pub(crate) fn take_error(&self) -> Option<Error> {
        self.state().error.take()
    }

    /// Sends nothing more of the body: the reply that has begun refuses it. What is returned ends the
    /// connection, if the body is not through, and so is kept until the reply is read.
    pub(crate) fn refuse(self) -> Refusal {
        self.state().wanted = Wanted::Refused;
        Refusal(self)
    }

    fn wanted(&self, sender: &Waker) -> Wanted {
        let mut state = self.state();
        state.sender = Some(sender.clone());
        state.wanted
    }

    /// Returns when the other end has neither taken a byte nor answered for `limit`.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let silent = {
                let state = self.state();
                if state.waits_for_body { Duration::ZERO } else { state.last.elapsed() }
            };
            if silent >= limit {
                return;
            }
            sleep(limit - silent).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what is left of a request's body when it is dropped.
#[derive(Debug)]
pub(crate) struct Refusal(Activity);

impl Drop for Refusal {
    fn drop(&mut self) {
        let sender = {
            let mut state = self.0.state();
            state.wanted = Wanted::Never;
            state.sender.take()
        };
        if let Some(sender) = sender {
            sender.wake();
        }
    }
}

fn cut(clause: &'static str) -> Error {
    Error::new(ErrorKind::Canceled).detail(clause)
}

/// 1 KiB a second: slower than any line that still works.
const SLOWEST: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Pieces of `size` bytes, each after `pause`.
    fn pieces(size: usize, pause: Duration) -> impl Stream<Item = Result<Bytes, ()>> + Unpin {
        Box::pin(stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok(Bytes::from(vec![0; size])), ()))
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_trickle_end_a_body_and_a_slow_line_does_not() {
        let second = Duration::from_secs(1);
        for (size, pause, expected) in [
            (1 << 20, 61 * second, Some(Stall::Silent)),
            (1, second, Some(Stall::Slow)),
            (2048, second, None),
            (1 << 20, 59 * second, None),
        ] {
            let mut body = Watched::new(pieces(size, pause), LIMIT).take(200);
            let mut found = None;
            while let Some(piece) = body.next().await {
                if let Err(Err(stall)) = piece {
                    found = Some(stall);
                    break;
                }
            }
            assert_eq!(found, expected, "{size} bytes each {pause:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_no_stall() {
        let fast = stream::iter((0..5).map(|_| Ok::<_, ()>(Bytes::from_static(b"x"))));
        let mut body = Watched::new(fast, LIMIT);
        while let Some(piece) = body.next().await {
            assert!(piece.is_ok());
            sleep(2 * LIMIT).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_may_be_as_long_as_there_is() {
        let slow = pieces(1, 3 * LIMIT).take(2);
        assert_eq!(Watched::new(slow, Duration::MAX).count().await, 2);
        let activity = Activity::new();
        let silence = activity.silence(Duration::MAX);
        assert!(tokio::time::timeout(1000 * LIMIT, silence).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_other_ends_silence_counts() {
        let activity = Activity::new();
        let slow = BlobStream::new(
            pieces(1, 3 * LIMIT).take(2).map(|p| p.map_err(|()| Error::new(ErrorKind::Io))),
        );
        let mut body = activity.watch(slow);
        let read = async { while body.next().await.is_some() {} };
        tokio::select! {
            () = read => {}
            () = activity.silence(LIMIT) => panic!("the body was slow, not the other end"),
        }
        let start = Instant::now();
        activity.silence(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    /// As a slow line takes it, a large piece would look like silence.
    #[tokio::test(start_paused = true)]
    async fn a_large_piece_is_seen_on_its_way() {
        let activity = Activity::new();
        let mut body = activity.watch(Bytes::from(vec![0; 3 * PIECE + 1]).into());
        let mut sizes = Vec::new();
        let read = async {
            while let Some(piece) = body.next().await {
                sizes.push(piece.unwrap().len());
                sleep(LIMIT / 2).await;
            }
        };
        tokio::select! {
            () = read => {}
            () = activity.silence(LIMIT) => panic!("the body was on its way"),
        }
        assert_eq!(sizes, [PIECE, PIECE, PIECE, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_waits_for_the_end_of_the_reply_and_ends() {
        let activity = Activity::new();
        let mut body = activity.watch(Bytes::from(vec![0; 2 * PIECE]).into());
        assert_eq!(body.next().await.unwrap().unwrap().len(), PIECE);
        let refusal = activity.clone().refuse();
        let next = tokio::spawn(async move { (body.next().await, body) });
        sleep(LIMIT).await;
        assert!(!next.is_finished(), "the reply is still being read");
        drop(refusal);
        let (next, mut body) = next.await.unwrap();
        assert_eq!(next.unwrap().unwrap_err().kind(), ErrorKind::Canceled);
        assert!(body.next().await.unwrap().is_err());
        assert!(activity.take_error().is_none(), "the body itself was good");
    }

    #[tokio::test]
    async fn the_bodys_own_error_is_kept() {
        let activity = Activity::new();
        let broken = stream::iter([Err(Error::new(ErrorKind::DigestMismatch))]);
        let mut body = activity.watch(BlobStream::new(broken));
        assert!(body.next().await.unwrap().is_err());
        assert_eq!(activity.take_error().unwrap().kind(), ErrorKind::DigestMismatch);
    }
}
