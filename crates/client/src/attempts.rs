//! Decides which failures are retried, how often, and after which wait.
//!
//! Requests (`transport::retry`), small replies (`exchange`), downloads and uploads (`repository`)
//! share these rules and one [`RetryPolicy`]. The functions are pure, except for the random part of
//! a wait and the count of a [`Series`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_core::{Error, ErrorKind};

use crate::config::RetryPolicy;
use crate::transport::TransportErrorKind;
use crate::transport::deadline::is_late;

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// A reply with this status.
    Status(u16),
    /// No reply.
    Error(TransportErrorKind),
}

/// An attempt to send a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    /// The number of the attempt since the operation last made progress, counted from 1.
    pub(crate) number: usize,
    /// True if this request has timed out before.
    pub(crate) timed_out: bool,
    /// True if the request can be sent again.
    pub(crate) replayable: bool,
    /// True if processing the request twice does no harm.
    pub(crate) safe: bool,
}

impl RetryPolicy {
    /// Returns the wait before the request is sent again; `None` if the outcome is final. `jitter`
    /// is between 0 and 1.
    pub(crate) fn wait_before_retry(
        &self,
        outcome: Outcome,
        attempt: Attempt,
        requested: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        let transient = match outcome {
            Outcome::Status(500) | Outcome::Error(TransportErrorKind::Lost) => attempt.safe,
            Outcome::Status(status) => is_transient(status),
            Outcome::Error(TransportErrorKind::Final) => false,
            Outcome::Error(TransportErrorKind::NotSent) => true,
            // A request is sent again only once after a timeout, because every timeout takes its
            // full duration.
            Outcome::Error(TransportErrorKind::TimedOut) => attempt.safe && !attempt.timed_out,
        };
        match transient && attempt.replayable {
            true => self.wait_after(attempt.number, requested, jitter),
            false => None,
        }
    }

    /// Returns the wait after failure `number`, counted from 1; `None` after the last attempt, or
    /// if the server requests too long a wait.
    fn wait_after(
        &self,
        number: usize,
        requested: Option<Duration>,
        jitter: f64,
    ) -> Option<Duration> {
        if number >= self.max_attempts.get() {
            return None;
        }
        match requested {
            Some(wait) => (wait <= self.max_retry_after).then_some(wait),
            None => Some(self.wait(number, jitter)),
        }
    }

    fn wait(&self, number: usize, jitter: f64) -> Duration {
        let doublings = u32::try_from(number.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        let bound = self.initial_backoff.saturating_mul(1 << doublings).min(self.max_backoff);
        bound.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

/// Returns true if a status is transient: the same request may soon succeed.
///
/// 499 is nginx's status for a connection that the client closed; the client may be another proxy.
/// Cloudflare sends 520 to 524 if it gets no valid reply from the backend.
pub(crate) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 499 | 500 | 502..=504 | 520..=524)
}

/// Returns true if a connection broke or timed out, so that another attempt may help. Returns false
/// if the request exceeded its total time limit.
pub(crate) fn is_broken(error: &Error) -> bool {
    let broke = matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout);
    error.status().is_none() && broke && !is_late(error)
}

/// Returns true if a later attempt of the same operation, with other limits or credentials, may
/// succeed: the server could not be reached, was too slow or busy, or refused the credentials.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error.status() {
        Some(status) => status == 401 || is_transient(status),
        None => matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout),
    }
}

/// The consecutive failures of one operation, in its requests and in the bodies of their replies.
/// Progress starts a new series.
///
/// Clones share one count. A request carries a clone in its extensions, for the layer that sends
/// the request again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    failures: usize,
    /// The furthest byte position that the transfer has reached.
    reached: u64,
}

impl Series {
    /// Records the position that the transfer has reached.
    pub(crate) fn reach(&self, position: u64) {
        let mut count = self.count();
        if position >= count.reached.saturating_add(PROGRESS) {
            count.failures = 0;
        }
        count.reached = count.reached.max(position);
    }

    /// Returns the wait before the next attempt, or `None` if there is no next attempt. `requested`
    /// is the wait that the server requests.
    pub(crate) fn fail(
        &self,
        policy: &RetryPolicy,
        requested: Option<Duration>,
    ) -> Option<Duration> {
        self.next(|number| policy.wait_after(number, requested, fastrand::f64()))
    }

    /// Calls `decide` with the number of this failure, and returns its wait. The failure counts
    /// only if `decide` returns a wait. Otherwise the caller reports the failure, and an outer loop
    /// may count it.
    pub(crate) fn next(&self, decide: impl FnOnce(usize) -> Option<Duration>) -> Option<Duration> {
        let mut count = self.count();
        let wait = decide(count.failures + 1);
        count.failures += usize::from(wait.is_some());
        wait
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 1 MiB: less progress than this does not start a new series.
const PROGRESS: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Attempt = Attempt { number: 1, timed_out: false, replayable: true, safe: true };

    fn is_retried(outcome: Outcome, attempt: Attempt) -> bool {
        RetryPolicy::default().wait_before_retry(outcome, attempt, None, 0.5).is_some()
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let unsafe_ = Attempt { safe: false, ..FIRST };
        let once = Attempt { replayable: false, ..FIRST };
        let second = Attempt { number: 2, ..FIRST };
        let timed_out = Attempt { timed_out: true, ..second };
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
            (Outcome::Error(TransportErrorKind::NotSent), unsafe_, true),
            (Outcome::Error(TransportErrorKind::NotSent), once, false),
            (Outcome::Error(TransportErrorKind::Lost), FIRST, true),
            (Outcome::Error(TransportErrorKind::Lost), unsafe_, false),
            (Outcome::Error(TransportErrorKind::TimedOut), FIRST, true),
            (Outcome::Error(TransportErrorKind::TimedOut), second, true),
            (Outcome::Error(TransportErrorKind::TimedOut), timed_out, false),
            (Outcome::Error(TransportErrorKind::Final), FIRST, false),
        ] {
            assert_eq!(is_retried(outcome, attempt), expected, "{outcome:?} {attempt:?}");
        }
    }

    #[test]
    fn a_later_attempt_may_pass_after_transient_failures_and_refused_credentials() {
        let status = |status| Error::new(ErrorKind::Protocol).with_status(status);
        for (error, expected) in [
            (status(401), true),
            (status(429), true),
            (status(503), true),
            (status(400), false),
            (status(403), false),
            (status(404), false),
            (Error::new(ErrorKind::Transport), true),
            (Error::new(ErrorKind::Timeout), true),
            (Error::new(ErrorKind::DigestMismatch), false),
            (Error::new(ErrorKind::Io), false),
        ] {
            assert_eq!(may_pass(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn waits_double_up_to_a_maximum_and_a_requested_wait_takes_precedence() {
        let policy = RetryPolicy::default();
        let bounds: Vec<_> = (1..=10).map(|n| policy.wait(n, 1.0).as_millis()).collect();
        assert_eq!(bounds, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
        assert_eq!(policy.wait(3, 0.0), Duration::ZERO);
        let wait_before_retry = |requested| {
            policy.wait_before_retry(
                Outcome::Status(429),
                FIRST,
                Some(Duration::from_secs(requested)),
                0.5,
            )
        };
        assert_eq!(wait_before_retry(0), Some(Duration::ZERO));
        assert_eq!(wait_before_retry(60), Some(Duration::from_secs(60)));
        assert_eq!(wait_before_retry(61), None);
    }

    #[test]
    fn failures_without_progress_are_counted_as_one_series() {
        let policy = RetryPolicy::default();
        let series = Series::default();
        for number in 1..5 {
            assert!(series.fail(&policy, None).is_some(), "{number}");
            series.reach(number * PROGRESS / 8);
        }
        series.reach(PROGRESS);
        assert_eq!(series.fail(&policy, None), None, "half a MiB does not count as progress");
        series.reach(2 * PROGRESS);
        assert!(series.fail(&policy, None).is_some());
        let requested = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(series.fail(&policy, requested(60)), requested(60));
        assert_eq!(series.fail(&policy, requested(61)), None);
    }
}
