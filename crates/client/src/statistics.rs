//! Counts the requests of a client, their bytes and their waits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The requests that a client has sent so far, the bytes of their bodies, and the time that they
/// waited.
///
/// Every request counts, including requests for tokens, redirected requests and retries. The bytes
/// and waits of a request are added when its reply has been read or dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Statistics {
    /// The number of requests to each host with each method, in the order of their first requests.
    /// After 1000 pairs of host and method, the requests to further hosts are in `other_requests`.
    pub requests: Vec<RequestCount>,
    /// The number of requests that `requests` does not list.
    pub other_requests: u64,
    /// The number of requests to token services.
    pub token_requests: u64,
    /// The number of repeated attempts of requests, downloads and uploads after a failure.
    pub retries: u64,
    /// The bytes of request bodies that were passed to connections.
    pub body_bytes_sent: u64,
    /// The bytes of reply bodies that were received.
    pub body_bytes_received: u64,
    /// The time that requests waited.
    pub waits: Waits,
}

/// The number of requests to one host with one method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RequestCount {
    /// The host, with its port unless it is the default port of the scheme.
    pub host: String,
    /// The method, such as `GET`.
    pub method: String,
    /// The number of requests.
    pub count: u64,
}

/// The time that requests waited, by reason. The reasons do not overlap.
///
/// The waits of concurrent requests are added up, so that the sum can exceed the run time. JSON has
/// milliseconds, in fields whose names end with `_ms`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Waits {
    /// For the addresses of hosts.
    #[serde(rename = "name_resolution_ms", serialize_with = "as_ms")]
    pub name_resolution: Duration,
    /// For connections, including TLS.
    #[serde(rename = "connections_ms", serialize_with = "as_ms")]
    pub connections: Duration,
    /// For the replies of token services, including their bodies.
    #[serde(rename = "tokens_ms", serialize_with = "as_ms")]
    pub tokens: Duration,
    /// For the heads of all other replies.
    #[serde(rename = "replies_ms", serialize_with = "as_ms")]
    pub replies: Duration,
    /// Between attempts, including waits that registries requested with `Retry-After`.
    #[serde(rename = "retries_ms", serialize_with = "as_ms")]
    pub retries: Duration,
    /// For a permit of [`Limits::requests_per_host`](crate::Limits::requests_per_host).
    #[serde(rename = "request_limit_ms", serialize_with = "as_ms")]
    pub request_limit: Duration,
}

impl Statistics {
    /// Returns the number of all requests.
    #[must_use]
    pub fn all_requests(&self) -> u64 {
        self.other_requests + self.requests.iter().map(|request| request.count).sum::<u64>()
    }

    /// Counts a request.
    pub(crate) fn count(&mut self, host: &str, method: &str) {
        let fits = |known: &RequestCount| known.host == host && known.method == method;
        match self.requests.iter().position(fits) {
            Some(known) => self.requests[known].count += 1,
            None if self.requests.len() < LISTED => self.requests.push(RequestCount {
                host: host.to_owned(),
                method: method.to_owned(),
                count: 1,
            }),
            None => self.other_requests += 1,
        }
    }
}

/// The statistics of a running client.
#[derive(Debug, Default)]
pub(crate) struct Counters(Mutex<Statistics>);

impl Counters {
    /// Locks the statistics, to change or copy them.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Statistics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a repeated attempt, and the wait before it.
    pub(crate) fn retry(&self, wait: Duration) {
        let mut statistics = self.lock();
        statistics.retries += 1;
        statistics.waits.retries += wait;
    }
}

fn as_ms<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// 1000 pairs of host and method, so that memory is bounded: a registry chooses the hosts of its
/// redirects.
const LISTED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_host_and_method_up_to_a_limit() {
        let mut statistics = Statistics::default();
        for method in ["GET", "PUT", "GET"] {
            statistics.count("r.example", method);
        }
        let counts: Vec<_> = statistics.requests.iter().map(|r| (&*r.method, r.count)).collect();
        assert_eq!(counts, [("GET", 2), ("PUT", 1)]);
        for number in 0..1000 {
            statistics.count(&number.to_string(), "GET");
        }
        statistics.count("r.example", "GET");
        assert_eq!((statistics.requests.len(), statistics.other_requests), (1000, 2));
        assert_eq!(statistics.all_requests(), 1004);
    }

    #[test]
    fn waits_are_milliseconds_in_json() {
        let waits = Waits { tokens: Duration::from_micros(1_500), ..Waits::default() };
        let json = serde_json::to_value(waits).unwrap();
        assert_eq!((&json["tokens_ms"], &json["retries_ms"]), (&1.into(), &0.into()));
    }
}
