//! Sends again what failed in passing.
//!
//! Owns the rule ([`RetryPolicy`], pure) and the loop around it. A reply that is not worth another
//! attempt is handed on as it is, so that its error body is still read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Request, Response, Uri};
use tokio::time::{Instant, sleep_until};

use super::retry_after::asked_wait;
use super::{Body, Fault, Transport, TransportError, replay};
use crate::config::RetryPolicy;
use crate::origin::Origin;
use crate::waiting::{Again, pause};

/// What came of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// A reply with this status.
    Status(u16),
    /// No reply.
    Fault(Fault),
}

/// The attempt that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// Which one it was, from 1.
    pub(crate) number: usize,
    /// Whether the request can be sent once more.
    pub(crate) replayable: bool,
    /// Whether acting on it twice does no harm.
    pub(crate) safe: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait, then send it again.
    RetryAfter(Duration),
    /// Hand on what came.
    Deliver,
}

impl RetryPolicy {
    /// Decides about an outcome. `jitter` is from 0 to 1.
    pub(crate) fn judge(
        &self,
        outcome: Outcome,
        attempt: Attempt,
        asked: Option<Duration>,
        jitter: f64,
    ) -> Verdict {
        let transient = match outcome {
            Outcome::Status(408 | 429 | 499 | 502 | 503 | 504 | 520..=524) => true,
            Outcome::Status(500) | Outcome::Fault(Fault::Lost) => attempt.safe,
            Outcome::Status(_) | Outcome::Fault(Fault::Final) => false,
            Outcome::Fault(Fault::NotSent) => true,
            // Each costs the whole wait: once more is enough to tell a hiccup from an outage.
            Outcome::Fault(Fault::TimedOut) => attempt.safe && attempt.number == 1,
        };
        if !transient || !attempt.replayable || attempt.number >= self.attempts.get() {
            return Verdict::Deliver;
        }
        match asked {
            Some(wait) if wait > self.longest_asked_wait => Verdict::Deliver,
            Some(wait) => Verdict::RetryAfter(wait),
            None => Verdict::RetryAfter(self.wait(attempt.number, jitter)),
        }
    }

    /// The wait after attempt `number`, counted from 1.
    pub(crate) fn wait(&self, number: usize, jitter: f64) -> Duration {
        let doublings = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let bound = self.first_wait.saturating_mul(1 << doublings).min(self.longest_wait);
        bound.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

/// The layer that sends again. What one request was asked to wait (429), all others to the same
/// origin wait too.
#[derive(Debug)]
pub(crate) struct Retry {
    inner: Arc<dyn Transport>,
    policy: RetryPolicy,
    pauses: Mutex<HashMap<Origin, Instant>>,
}

impl Retry {
    pub(crate) fn new(inner: Arc<dyn Transport>, policy: RetryPolicy) -> Self {
        Self { inner, policy, pauses: Mutex::default() }
    }

    /// Waits until the origin may be asked again.
    async fn pause(&self, uri: &Uri) {
        let end = Origin::of(uri).and_then(|origin| self.pauses().get(&origin).copied());
        if let Some(end) = end {
            sleep_until(end).await;
        }
    }

    /// Keeps others from asking for as long.
    fn hold_off(&self, uri: &Uri, wait: Duration) {
        let end = Instant::now().checked_add(wait);
        let (Some(origin), Some(end)) = (Origin::of(uri), end) else { return };
        let mut pauses = self.pauses();
        pauses.retain(|_, end| *end > Instant::now());
        let known = pauses.entry(origin).or_insert(end);
        *known = end.max(*known);
    }

    fn pauses(&self) -> MutexGuard<'_, HashMap<Origin, Instant>> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Transport for Retry {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        // A chunk that was lost may have been stored: its upload asks before it goes on.
        let safe = request.method() != Method::PATCH;
        let mut number = 1;
        loop {
            self.pause(request.uri()).await;
            let again = replay(&request);
            let attempt = Attempt { number, replayable: again.is_some(), safe };
            let result = self.inner.send(request).await;
            let status = result.as_ref().ok().map(Response::status);
            let (outcome, asked) = match &result {
                Ok(reply) => {
                    (Outcome::Status(reply.status().as_u16()), asked_wait(reply.headers()))
                }
                Err(error) => (Outcome::Fault(error.fault()), None),
            };
            match (self.policy.judge(outcome, attempt, asked, fastrand::f64()), again) {
                (Verdict::RetryAfter(wait), Some(again)) => {
                    tracing::debug!(?outcome, attempt = number, ?wait, "sending again");
                    if matches!(outcome, Outcome::Status(429)) && asked.is_some() {
                        self.hold_off(again.uri(), wait);
                    }
                    if let Ok(reply) = result {
                        reply.into_body().drain().await;
                    }
                    let host = Origin::of(again.uri()).map(|origin| origin.address());
                    let why = Again {
                        host: host.unwrap_or_default(),
                        status,
                        asked: asked.is_some(),
                        next: "the request is sent again",
                    };
                    pause(wait, why).await;
                    request = again;
                    number += 1;
                }
                _ => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::StatusCode;
    use longshore_core::{BlobStream, Error, ErrorKind};
    use tokio::time::sleep;

    use super::*;

    const FIRST: Attempt = Attempt { number: 1, replayable: true, safe: true };

    fn is_retried(outcome: Outcome, attempt: Attempt) -> bool {
        RetryPolicy::default().judge(outcome, attempt, None, 0.5) != Verdict::Deliver
    }

    #[test]
    fn what_is_transient_is_sent_again() {
        let unsafe_ = Attempt { safe: false, ..FIRST };
        let once = Attempt { replayable: false, ..FIRST };
        let second = Attempt { number: 2, ..FIRST };
        let last = Attempt { number: 5, ..FIRST };
        for (outcome, attempt, expected) in [
            (Outcome::Status(200), FIRST, false),
            (Outcome::Status(401), FIRST, false),
            (Outcome::Status(404), FIRST, false),
            (Outcome::Status(408), FIRST, true),
            (Outcome::Status(416), FIRST, false),
            (Outcome::Status(429), FIRST, true),
            (Outcome::Status(429), unsafe_, true),
            (Outcome::Status(500), FIRST, true),
            (Outcome::Status(500), unsafe_, false),
            (Outcome::Status(501), FIRST, false),
            (Outcome::Status(503), FIRST, true),
            (Outcome::Status(503), once, false),
            (Outcome::Status(503), last, false),
            (Outcome::Status(522), FIRST, true),
            (Outcome::Fault(Fault::NotSent), unsafe_, true),
            (Outcome::Fault(Fault::NotSent), once, false),
            (Outcome::Fault(Fault::Lost), FIRST, true),
            (Outcome::Fault(Fault::Lost), unsafe_, false),
            (Outcome::Fault(Fault::TimedOut), FIRST, true),
            (Outcome::Fault(Fault::TimedOut), second, false),
            (Outcome::Fault(Fault::Final), FIRST, false),
        ] {
            assert_eq!(is_retried(outcome, attempt), expected, "{outcome:?} {attempt:?}");
        }
    }

    #[test]
    fn waits_double_up_to_their_bound_and_what_is_asked_for_wins() {
        let policy = RetryPolicy::default();
        let bounds: Vec<_> = (1..=10).map(|n| policy.wait(n, 1.0).as_millis()).collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(policy.wait(3, 0.0), Duration::ZERO);
        let judge = |asked| {
            policy.judge(Outcome::Status(429), FIRST, Some(Duration::from_secs(asked)), 0.5)
        };
        assert_eq!(judge(0), Verdict::RetryAfter(Duration::ZERO));
        assert_eq!(judge(60), Verdict::RetryAfter(Duration::from_secs(60)));
        assert_eq!(judge(61), Verdict::Deliver);
    }

    #[derive(Clone, Copy, Debug)]
    enum Answer {
        Status(u16),
        /// 429 with the wait it asks for, in seconds.
        Wait(u64),
        Fault(Fault),
    }

    /// Answers with these, the last of them for ever; counts the requests.
    #[derive(Debug)]
    struct Scripted(Mutex<Vec<Answer>>, Mutex<usize>);

    #[async_trait]
    impl Transport for Scripted {
        async fn send(&self, _: Request<Body>) -> Result<Response<Body>, TransportError> {
            *self.1.lock().unwrap() += 1;
            let mut script = self.0.lock().unwrap();
            let next = if script.len() > 1 { script.remove(0) } else { script[0] };
            let mut reply = Response::new(Body::Empty);
            match next {
                Answer::Status(status) => {
                    *reply.status_mut() = StatusCode::from_u16(status).unwrap();
                }
                Answer::Wait(seconds) => {
                    *reply.status_mut() = StatusCode::TOO_MANY_REQUESTS;
                    reply.headers_mut().insert("retry-after", seconds.into());
                }
                Answer::Fault(fault) => {
                    return Err(TransportError::new(fault, Error::new(ErrorKind::Transport)));
                }
            }
            Ok(reply)
        }
    }

    async fn run(script: Vec<Answer>, body: Body) -> (Option<u16>, usize, Duration) {
        let inner = Arc::new(Scripted(Mutex::new(script), Mutex::new(0)));
        let retry = Retry::new(Arc::clone(&inner) as _, RetryPolicy::default());
        let start = Instant::now();
        let reply = retry.send(Request::new(body)).await;
        let sent = *inner.1.lock().unwrap();
        (reply.ok().map(|r| r.status().as_u16()), sent, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_waits_as_asked_and_ends() {
        let (status, sent, waited) =
            run(vec![Answer::Wait(2), Answer::Status(200)], Body::Empty).await;
        assert_eq!((status, sent), (Some(200), 2));
        assert!(waited >= Duration::from_secs(2));

        let (status, sent, waited) = run(vec![Answer::Wait(86_400)], Body::Empty).await;
        assert_eq!((status, sent, waited), (Some(429), 1, Duration::ZERO));

        let (status, sent, _) = run(vec![Answer::Status(503)], Body::Empty).await;
        assert_eq!((status, sent), (Some(503), 5));

        let (status, sent, _) =
            run(vec![Answer::Fault(Fault::Lost), Answer::Status(200)], Body::Empty).await;
        assert_eq!((status, sent), (Some(200), 2));

        let stream = BlobStream::new(futures_util::stream::empty());
        let once = Body::Stream { stream, size: Some(0) };
        let (status, sent, _) =
            run(vec![Answer::Fault(Fault::Lost), Answer::Status(200)], once).await;
        assert_eq!((status, sent), (None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_asked_for_holds_for_the_whole_origin() {
        let script = Mutex::new(vec![Answer::Wait(20), Answer::Status(200)]);
        let retry = Retry::new(Arc::new(Scripted(script, Mutex::new(0))), RetryPolicy::default());
        let send = async |url: &str, delay| {
            let start = Instant::now();
            sleep(Duration::from_secs(delay)).await;
            retry.send(Request::get(url).body(Body::Empty).unwrap()).await.unwrap();
            start.elapsed().as_secs()
        };
        let ends = tokio::join!(
            send("https://r.example/1", 0),
            send("https://r.example/2", 5),
            send("https://other.example/", 5),
            send("https://r.example/3", 30),
        );
        assert_eq!(ends, (20, 20, 5, 30));
    }
}
