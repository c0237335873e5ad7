//! Tracks the activity of a request while the client waits for its reply.
//!
//! Distinguishes a slow server from a slow body, stops sending a body that the server refuses
//! early, and reports long waits to the user.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{StreamExt as _, poll_fn};
use longshore_core::{BlobStream, CHUNK_SIZE, Error, ErrorKind, wait};
use tokio::time::{Instant, sleep, sleep_until};

/// The activity of one request, shared by its sender and the task that waits for the reply.
#[derive(Clone, Debug)]
pub(crate) struct Activity(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The time of the last step.
    last: Instant,
    stage: Stage,
    spent: Spent,
    /// True while a new connection is being established, and from then on if this fails.
    is_connecting: bool,
    error: Option<Error>,
    rest: Rest,
    /// The task that sends more of the body.
    sender: Option<Waker>,
}

/// The event that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The address of a host.
    Address,
    /// A connection.
    Connection,
    /// More of the body, from the source of the body.
    Body,
    /// Room for more of the body in the connection: the server must read what was sent.
    Room,
    /// The reply.
    Reply,
}

/// The time that a request has spent in each stage before the wait for its reply. `None` if the
/// request never entered the stage.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) address: Option<Duration>,
    pub(crate) connection: Option<Duration>,
    /// The time for the body: both its source and the room in the connection.
    pub(crate) body: Option<Duration>,
}

impl Spent {
    fn add(&mut self, stage: Stage, time: Duration) {
        let total = match stage {
            Stage::Address => &mut self.address,
            Stage::Connection => &mut self.connection,
            Stage::Body | Stage::Room => &mut self.body,
            Stage::Reply => return,
        };
        *total = Some(total.unwrap_or_default() + time);
    }
}

/// The decision whether to send the rest of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Yes,
    /// The body was refused. The connection stays open for the rest of the reply.
    Refused,
    /// The rest must not be sent. The connection ends.
    Never,
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            last: Instant::now(),
            stage: Stage::Reply,
            spent: Spent::default(),
            is_connecting: false,
            error: None,
            rest: Rest::Yes,
            sender: None,
        })))
    }

    /// Records every step of sending a body, and stores the body's error, which the HTTP library
    /// would hide. Splits large chunks, because a chunk that the HTTP library has received can no
    /// longer be observed or held back.
    pub(crate) fn watch(&self, mut body: BlobStream) -> BlobStream {
        let (activity, mut rest) = (self.clone(), Bytes::new());
        // A sender that knows the length of a body drops the body after the last byte, without
        // polling for the end. Dropping this value then records the end.
        let sent = Entered { activity: self.clone(), before: Stage::Reply };
        BlobStream::new(poll_fn(move |cx| {
            let _until_sent = &sent;
            match activity.rest(cx.waker()) {
                Rest::Yes => {}
                Rest::Refused => return Poll::Pending,
                Rest::Never => return Poll::Ready(Some(Err(cut("the body was refused")))),
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
                Poll::Ready(Some(Ok(mut chunk))) => {
                    activity.step(Stage::Room);
                    rest = chunk.split_off(chunk.len().min(CHUNK_SIZE));
                    Poll::Ready(Some(Ok(chunk)))
                }
                Poll::Ready(None) => {
                    activity.step(Stage::Reply);
                    Poll::Ready(None)
                }
                Poll::Ready(Some(Err(error))) => {
                    activity.step(Stage::Reply);
                    activity.state().error = Some(error);
                    Poll::Ready(Some(Err(cut("the body could not be read completely"))))
                }
            }
        }))
    }

    /// Returns the time spent in each stage, including the current one.
    pub(crate) fn spent(&self) -> Spent {
        let state = self.state();
        let mut spent = state.spent;
        spent.add(state.stage, state.last.elapsed());
        spent
    }

    /// Records that a new connection is being established, or that it is ready.
    pub(crate) fn set_connecting(&self, is_connecting: bool) {
        self.state().is_connecting = is_connecting;
    }

    /// Returns true if the request waits for a new connection, or ended during this wait.
    pub(crate) fn is_connecting(&self) -> bool {
        self.state().is_connecting
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

    /// Stops sending the body, because the reply refuses it. Dropping the returned value ends the
    /// connection if the body is incomplete, so keep the value until the reply has been read.
    pub(crate) fn refuse(self) -> Refusal {
        self.state().rest = Rest::Refused;
        Refusal(self)
    }

    /// Returns when the server has been silent for `limit`: it read no byte and sent no reply.
    pub(crate) async fn silence(&self, limit: Duration) {
        loop {
            let silence = match self.waits() {
                (Stage::Body, _) => Duration::ZERO,
                (_, since) => since.elapsed(),
            };
            if silence >= limit {
                return;
            }
            sleep(limit - silence).await;
        }
    }

    /// Reports each long wait to the user once, with the text that `text` returns. Waits for the
    /// body's source are not reported here, because the source reports them.
    pub(crate) async fn report_waits(
        &self,
        text: impl Fn(Stage) -> String + Send + Sync,
    ) -> Infallible {
        let mut reported = None;
        loop {
            let current = self.waits();
            let (stage, since) = current;
            let due = since + wait::LONG;
            if stage == Stage::Body || reported == Some(current) {
                // The next wait begins after now, so it cannot become long during this sleep.
                sleep(wait::LONG).await;
            } else if due > Instant::now() {
                sleep_until(due).await;
            } else {
                wait::report(text(stage));
                reported = Some(current);
            }
        }
    }

    /// Returns the current stage, and the time of its last step.
    fn waits(&self) -> (Stage, Instant) {
        let state = self.state();
        (state.stage, state.last)
    }

    /// Records a step. Returns the previous stage.
    fn step(&self, next: Stage) -> Stage {
        let (mut state, now) = (self.state(), Instant::now());
        let (stage, time) = (state.stage, now - state.last);
        state.spent.add(stage, time);
        state.last = now;
        std::mem::replace(&mut state.stage, next)
    }

    fn rest(&self, sender: &Waker) -> Rest {
        let mut state = self.state();
        state.sender = Some(sender.clone());
        state.rest
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

/// A value that ends the rest of a request's body when dropped.
#[derive(Debug)]
pub(crate) struct Refusal(Activity);

impl Drop for Refusal {
    fn drop(&mut self) {
        let sender = {
            let mut state = self.0.state();
            state.rest = Rest::Never;
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

    /// Returns a stream of single bytes, each after `pause`.
    fn slow(count: usize, pause: Duration) -> BlobStream {
        let bytes = stream::unfold((), move |()| async move {
            sleep(pause).await;
            Some((Ok(Bytes::from_static(b"x")), ()))
        });
        BlobStream::new(Box::pin(bytes.take(count)))
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_possible_limit_does_not_overflow() {
        let activity = Activity::new();
        let silence = activity.silence(Duration::MAX);
        assert!(tokio::time::timeout(1000 * LIMIT, silence).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_does_not_count_as_silence() {
        let activity = Activity::new();
        let mut body = activity.watch(slow(2, 3 * LIMIT));
        let read = async { while body.next().await.is_some() {} };
        tokio::select! {
            () = read => {}
            () = activity.silence(LIMIT) => panic!("only the body was slow"),
        }
        let start = Instant::now();
        activity.silence(LIMIT).await;
        assert_eq!(start.elapsed(), LIMIT);
    }

    /// On a slow connection, sending a large chunk may take longer than the limit.
    #[tokio::test(start_paused = true)]
    async fn sending_a_large_chunk_does_not_count_as_silence() {
        let activity = Activity::new();
        let mut body = activity.watch(Bytes::from(vec![0; 3 * CHUNK_SIZE + 1]).into());
        let mut sizes = Vec::new();
        let read = async {
            while let Some(chunk) = body.next().await {
                sizes.push(chunk.unwrap().len());
                sleep(LIMIT / 2).await;
            }
        };
        tokio::select! {
            () = read => {}
            () = activity.silence(LIMIT) => panic!("the body was being sent"),
        }
        assert_eq!(sizes, [CHUNK_SIZE, CHUNK_SIZE, CHUNK_SIZE, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_body_ends_after_the_reply_is_read() {
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
        assert!(activity.take_error().is_none(), "the body itself had no error");
    }

    #[tokio::test]
    async fn the_error_of_the_body_is_kept() {
        let activity = Activity::new();
        let broken = stream::iter([Err(Error::new(ErrorKind::DigestMismatch))]);
        let mut body = activity.watch(BlobStream::new(broken));
        assert!(body.next().await.unwrap().is_err());
        assert_eq!(activity.take_error().unwrap().kind(), ErrorKind::DigestMismatch);
    }

    #[tokio::test(start_paused = true)]
    async fn each_long_wait_is_reported_once_with_its_stage() {
        let reported = WaitLog::listen();
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
            // The transport does not report a slow source.
            let mut body = activity.watch(slow(1, LIMIT));
            body.next().await;
            assert!(body.next().await.is_none());
            sleep(LIMIT).await;
        };
        tokio::select! {
            () = work => {}
            never = activity.report_waits(|stage| format!("{stage:?}")) => match never {},
        }
        assert_eq!(reported.take(), ["Address", "Room", "Reply", "Reply"]);
    }
}
