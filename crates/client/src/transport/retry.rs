//! Sends requests again after transient failures: the loop around the rule in `attempts`.
//!
//! The last reply is returned unchanged, so that callers can read the bodies of errors.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, Response};

use super::observe::Recorder;
use super::pauses::Pauses;
use super::retry_after::requested_wait;
use super::{Body, Repeated, Transport, TransportError, TransportErrorKind, replay};
use crate::attempts::{Attempt, Outcome, Series};
use crate::config::RetryPolicy;
use crate::origin::Origin;
use crate::waiting::{Again, pause};

/// The layer that sends requests again. If a request waits because a 429 requested a wait, all new
/// requests to the same origin wait, too.
#[derive(Debug)]
pub(crate) struct Retry {
    inner: Arc<dyn Transport>,
    policy: RetryPolicy,
    pauses: Arc<Pauses>,
    recorder: Arc<Recorder>,
}

impl Retry {
    pub(crate) fn new(
        inner: Arc<dyn Transport>,
        policy: RetryPolicy,
        pauses: Arc<Pauses>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self { inner, policy, pauses, recorder }
    }
}

#[async_trait]
impl Transport for Retry {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        // The registry may have stored a chunk whose reply was lost. The upload queries the offset
        // before it continues.
        let safe = request.method() != Method::PATCH;
        let series = request.extensions().get::<Series>().cloned().unwrap_or_default();
        let mut timed_out = false;
        let mut repeated = false;
        loop {
            let paused = self.pauses.wait(request.uri()).await;
            self.recorder.counters.lock().waits.retries += paused;
            let again = replay(&request);
            let replayable = again.is_some();
            let mut result = self.inner.send(request).await;
            if let (true, Ok(reply)) = (repeated, &mut result) {
                reply.extensions_mut().insert(Repeated);
            }
            let status = result.as_ref().ok().map(Response::status);
            let (outcome, requested) = match &result {
                Ok(reply) => {
                    (Outcome::Status(reply.status().as_u16()), requested_wait(reply.headers()))
                }
                Err(error) => (Outcome::Error(error.fault()), None),
            };
            let wait = series.next(|number| {
                let attempt = Attempt { number, timed_out, replayable, safe };
                self.policy.wait_before_retry(outcome, attempt, requested, fastrand::f64())
            });
            timed_out |= matches!(outcome, Outcome::Error(TransportErrorKind::TimedOut));
            repeated |= match outcome {
                Outcome::Status(status) => status >= 500,
                Outcome::Error(fault) => fault != TransportErrorKind::NotSent,
            };
            match (wait, again) {
                (Some(wait), Some(again)) => {
                    tracing::debug!(?outcome, ?wait, "sending again");
                    if matches!(outcome, Outcome::Status(429)) && requested.is_some() {
                        self.pauses.hold_off(again.uri(), wait);
                    }
                    if let Ok(reply) = result {
                        reply.into_body().drain().await;
                    }
                    let host = Origin::of(again.uri()).map(|origin| origin.address());
                    let why = Again {
                        host: host.unwrap_or_default(),
                        status,
                        has_retry_after: requested.is_some(),
                        next: "the request is sent again",
                    };
                    self.recorder.counters.retry(wait);
                    pause(wait, why).await;
                    request = again;
                }
                _ => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use http::StatusCode;
    use longshore_core::{BlobStream, Error, ErrorKind};
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::transport::TransportErrorKind;

    #[derive(Clone, Copy, Debug)]
    enum Answer {
        Status(u16),
        /// A 429 with `Retry-After`, in seconds.
        Wait(u64),
        Failure(TransportErrorKind),
    }

    /// A transport that returns these answers in order, and then repeats the last answer. Counts
    /// the requests.
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
                Answer::Failure(kind) => {
                    return Err(TransportError::new(kind, Error::new(ErrorKind::Transport)));
                }
            }
            Ok(reply)
        }
    }

    async fn run(script: Vec<Answer>, body: Body) -> (Option<u16>, usize, Duration) {
        let inner = Arc::new(Scripted(Mutex::new(script), Mutex::new(0)));
        let retry = Retry::new(
            Arc::clone(&inner) as _,
            RetryPolicy::default(),
            Arc::default(),
            Arc::default(),
        );
        let start = Instant::now();
        let reply = retry.send(Request::new(body)).await;
        let sent = *inner.1.lock().unwrap();
        (reply.ok().map(|r| r.status().as_u16()), sent, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn retries_wait_as_requested_and_stop_after_the_last_attempt() {
        let (status, sent, waited) =
            run(vec![Answer::Wait(2), Answer::Status(200)], Body::Empty).await;
        assert_eq!((status, sent), (Some(200), 2));
        assert!(waited >= Duration::from_secs(2));

        let (status, sent, waited) = run(vec![Answer::Wait(86_400)], Body::Empty).await;
        assert_eq!((status, sent, waited), (Some(429), 1, Duration::ZERO));

        let (status, sent, _) = run(vec![Answer::Status(503)], Body::Empty).await;
        assert_eq!((status, sent), (Some(503), 5));

        let (status, sent, _) =
            run(vec![Answer::Failure(TransportErrorKind::Lost), Answer::Status(200)], Body::Empty)
                .await;
        assert_eq!((status, sent), (Some(200), 2));

        let stream = BlobStream::new(futures_util::stream::empty());
        let once = Body::Stream { stream, size: Some(0) };
        let (status, sent, _) =
            run(vec![Answer::Failure(TransportErrorKind::Lost), Answer::Status(200)], once).await;
        assert_eq!((status, sent), (None, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_requested_wait_delays_all_requests_to_the_origin() {
        let script = Mutex::new(vec![Answer::Wait(20), Answer::Status(200)]);
        let retry = Retry::new(
            Arc::new(Scripted(script, Mutex::new(0))),
            RetryPolicy::default(),
            Arc::default(),
            Arc::default(),
        );
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
