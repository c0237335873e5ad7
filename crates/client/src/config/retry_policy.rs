//! When to send again.

use std::num::NonZeroUsize;
use std::time::Duration;

/// When to send again, and after how long.
///
/// The wait before attempt *n* is drawn evenly between zero and `first_wait` doubled *n*-1 times, at
/// most `longest_wait`: full jitter, so that many clients do not come back at once. What the other
/// end asks for (`Retry-After`) takes its place, unless it is longer than `longest_asked_wait`: then
/// the request fails at once, and the error says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a request is sent in all. The same counts for replies, downloads and uploads that
    /// break off; one that came 1 MiB further begins to count anew. Default: 5.
    pub attempts: NonZeroUsize,
    /// The bound of the first wait. Default: 0.2 s.
    pub first_wait: Duration,
    /// The bound of any wait that is not asked for. Default: 30 s.
    pub longest_wait: Duration,
    /// The longest wait that is granted when asked for. Default: 60 s.
    pub longest_asked_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroUsize::MIN.saturating_add(4),
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(30),
            longest_asked_wait: Duration::from_secs(60),
        }
    }
}
