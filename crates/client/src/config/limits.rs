//! Limits: how long things may take, and how many may happen at once.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How long things may take, and how many may happen at once.
///
/// What takes more than five seconds is told meanwhile, see [`wait`](longshore_core::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The wait for a connection, TLS included. Default: 30 s.
    pub connect: Duration,
    /// The wait for a reply once a request is sent. Default: 60 s.
    pub response: Duration,
    /// The wait for the next bytes of a body; also the time over which one must reach a kilobyte a
    /// second. Default: 30 s.
    pub idle: Duration,
    /// The time for one request in all: its connection, tokens, attempts and redirects, and the whole
    /// of its reply's body. Default: none.
    pub total: Option<Duration>,
    /// Requests to one host that wait for their reply at the same time. Default: 16. One number for
    /// a client: that of limits set later, for some calls, is not looked at.
    pub requests_per_host: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: None,
            requests_per_host: NonZeroUsize::MIN.saturating_add(15),
        }
    }
}
