//! Tracks the activity of a request while its reply is awaited.
//!
//! Distinguishes a slow server from a slow body, ends a body that was refused before it was sent,
//! and reports long waits to the user.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, poll_fn};
use longshore_core::{BlobStream, CHUNK_SIZE, Error, ErrorKind, wait};
use tokio::time::{Instant, sleep, sleep_until};

/// One request's activity, shared by its sender and the task that waits for the reply.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Time of the last step.
    last: Instant,
    stage: Stage,
    error: Option<Error>,
    wanted: Wanted,
    /// The task that sends more of the body.
    sender: Option<Waker>,
}

/// The event that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The address of a name.
    Address,
    /// A connection.
    Connection,
    /// More of the body, from its own source.
    Body,
    /// Room for more of the body: the server must read some of it.
    Room,
    /// The reply.
    Reply,
}

/// Tells whether the rest of a body is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Yes,
    /// The body was refused; the connection stays open for the rest of the reply.
    Refused,
    /// The rest will never be wanted: the connection ends.
    Never,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            last: Instant::now(),
            stage: Stage::Reply,
            error: None,
            wanted: Wanted::Yes,
            sender: None,
        })))
    }

    /// Records every step of a body that is being sent, and keeps its error, which the HTTP library
    /// would hide. Large chunks are handed out in parts: once given away, a chunk can neither be
    /// observed on its way nor held back.
    pub(crate) fn watch(&self, mut body: BlobStream) -> BlobStream {
        let (activity, mut rest) = (self.clone(), Bytes::new());
        // A sender that knows the body's length drops it after the last byte, without polling its
        // end.
        let sent = Entered { activity: self.clone(), before: Stage::Reply };
        BlobStream::new(poll_fn(move |cx| {
            let _until_sent = &sent;
            match activity.wanted(cx.waker()) {
                Wanted::Yes => {}
                Wanted::Refused => return Poll::Pending,
                Wanted::Never => return Poll::Ready(Some(Err(cut("the body was refused")))),
            }
            let polled = match rest.is_empty() {
                true => body.poll_next_unpin(cx),
                false => Poll::Ready(Some(Ok(std::mem::take(&mut rest)))),
            };
            match polled {
                Poll::Pending => {
                    activity.step(Stage::Body);
                    Poll::Pending
                }
                Poll::Ready(Some(Ok(mut piece))) => {
                    activity.step(Stage::Room);
                    rest = piece.split_off(piece.len().min(CHUNK_SIZE));
                    Poll::Ready(Some(Ok(piece)))
                }
                Poll::Ready(None) => {
                    activity.step(Stage::Reply);
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Err(error))) => {
                    activity.step(Stage::Reply);
                    activity.state().error = Some(error);
                    Poll::Ready(Some(Err(cut("the body could not be read to its end"))))
                }
            }
        }))
    }

    /// Returns the error that ended the body, if there is one.
    pub(crate) fn take_error(&self) -> Option<Error> {
        self.state().error.take()
    }

    /// Enters a stage, which ends when the returned value is dropped.
    pub(crate) fn enter(&self, stage: Stage) -> Entered {
        let before = self.step(stage);
        Entered { activity: self.clone(), before }
    }

    /// Stops sending the body, because the reply that has begun refuses it. Dropping the returned
    /// value ends the connection if the body is not complete, so keep it until the reply is read.
    pub(crate) fn refuse(self) -> Refusal {
        self.state().wanted = Wanted::Refused;
        Refusal(self)
    }

    /// Returns when the server has neither read a byte nor answered for `limit`.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let silent = match self.waits() {
                (Stage::Body, _) => Duration::ZERO,
                (_, since) => since.elapsed(),
            };
            if silent >= limit {
                return;
            }
            sleep(limit - silent).await;
        }
    }

    /// Reports each long wait to the user, once, with the text from `text`. The body's source
    /// reports its own waits.
    pub(crate) async fn tell(&self, text: impl Fn(Stage) -> String + Send + Sync) -> Infallible {
        let mut told = None;
        loop {
            let current = self.waits();
            let (stage, since) = current;
            let due = since + wait::LONG;
            if stage == Stage::Body || told == Some(current) {
                // The next wait begins later than now, and is not long before then.
                sleep(wait::LONG).await;
            } else if due > Instant::now() {
                sleep_until(due).await;
            } else {
                wait::report(text(stage));
                told = Some(current);
            }
        }
    }

    /// Returns the current stage and when it began.
    fn waits(&self) -> (Stage, Instant) {
        let state = self.state();
        (state.stage, state.last)
    }

    /// Records a step; returns the stage before it.
    fn step(&self, next: Stage) -> Stage {
        let mut state = self.state();
        state.last = Instant::now();
        std::mem::replace(&mut state.stage, next)
    }

    fn wanted(&self, sender: &Waker) -> Wanted {
        let mut state = self.state();
        state.sender = Some(sender.clone());
        state.wanted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stage that ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    activity: Activity,
    before: Stage,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.activity.step(self.before);
    }
}

/// Ends the rest of a request's body when it is dropped.
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

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use longshore_testkit::wait_log::WaitLog;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// Returns single bytes, each after `pause`.
    fn slow(count: usize, pause: Duration) -> BlobStream {
        let bytes = stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        BlobStream::new(Box::pin(bytes.take(count)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_may_be_as_long_as_there_is() {
        let activity = Activity::new();
        let silence = activity.silence(Duration::MAX);
        assert!(tokio::time::timeout(1000 * LIMIT, silence).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_other_ends_silence_counts() {
        let activity = Activity::new();
        let mut body = activity.watch(slow(2, 3 * LIMIT));
        let read = async { while body.next().await.is_some() {} };
        tokio::select! {
            () = read => {}
            () = activity.silence(LIMIT) => panic!("the body was slow, not the other end"),
        }
        let start = Instant::now();
        activity.silence(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    /// On a slow line, a large chunk would look like silence.
    #[tokio::test(start_paused = true)]
    async fn a_large_piece_is_seen_on_its_way() {
        let activity = Activity::new();
        let mut body = activity.watch(Bytes::from(vec![0; 3 * CHUNK_SIZE + 1]).into());
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
        assert_eq!(sizes, [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_waits_for_the_end_of_the_reply_and_ends() {
        let activity = Activity::new();
        let mut body = activity.watch(Bytes::from(vec![0; 2 * CHUNK_SIZE]).into());
        assert_eq!(body.next().await.unwrap().unwrap().len(), CHUNK_SIZE);
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

    #[tokio::test(start_paused = true)]
    async fn each_long_wait_is_told_once_and_by_what_it_is_for() {
        let told = WaitLog::listen();
        let (activity, second) = (Activity::new(), Duration::from_secs(1));
        let work = async {
            let connecting = activity.enter(Stage::Connection);
            let looking = activity.enter(Stage::Address);
            sleep(6 * second).await;
            drop(looking);
            sleep(4 * second).await;
            drop(connecting);
            let mut body = activity.watch(Bytes::from(vec![0; 2 * CHUNK_SIZE]).into());
            body.next().await;
            sleep(4 * second).await;
            body.next().await;
            sleep(14 * second).await;
            drop(body);
            sleep(6 * second).await;
            // The source is slow; the transport does not report that.
            let mut body = activity.watch(slow(1, LIMIT));
            body.next().await;
            assert!(body.next().await.is_none());
            sleep(LIMIT).await;
        };
        tokio::select! {
            () = work => {}
            never = activity.tell(|stage| format!("{stage:?}")) => match never {},
        }
        assert_eq!(told.take(), ["Address", "Room", "Reply", "Reply"]);
    }
}
