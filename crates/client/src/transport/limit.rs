//! Limits the number of concurrent requests to one host. The number grows while the host answers
//! fast, and shrinks when the host is overloaded.

use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::bounded::BoundedCache;
use crate::origin::Origin;

/// The layer that limits concurrent requests per origin.
///
/// A request holds its permit until the reply's head arrives, but not while its body is read,
/// because a copy within one registry reads one body to send another. For the same reason, requests
/// that send a stream have separate permits: they may wait for the reply to a request without a
/// stream.
#[derive(Debug)]
pub(crate) struct Limit {
    inner: Arc<dyn Transport>,
    most: usize,
    hosts: BoundedCache<Key, Arc<Host>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    origin: Option<Origin>,
    streams: bool,
}

/// The permits for the requests to one origin.
#[derive(Debug)]
struct Host {
    permits: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window,
    /// The number of permits that exist, which exceeds the window for a while after it shrank.
    permits: usize,
    /// The time of the fastest reply.
    fastest: Duration,
}

/// The number of requests that may be in progress, by additive increase and multiplicative
/// decrease (RFC 5681, section 3.1, with requests instead of segments).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    size: usize,
    most: usize,
    /// True until the host was slow or overloaded for the first time. Each fast reply then adds a
    /// request, so that the window doubles with each round trip.
    starting: bool,
    /// The number of fast replies since the window last grew.
    low: usize,
    /// The number of requests that were in progress when the window shrank, and whose replies show
    /// nothing about the smaller window.
    earlier: usize,
}

/// What a reply shows about the load of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// The reply took about as long as the fastest.
    Low,
    /// The reply took much longer than the fastest.
    High,
    /// The host refused the request because of its load, or did not answer in time.
    Excessive,
}

impl Limit {
    /// Creates the layer.
    ///
    /// - `most`: the maximum number of concurrent requests to one origin.
    pub(crate) fn new(inner: Arc<dyn Transport>, most: NonZeroUsize) -> Self {
        Self { inner, most: most.get(), hosts: BoundedCache::default() }
    }

    fn host(&self, request: &Request<Body>) -> Arc<Host> {
        let streams = matches!(request.body(), Body::Stream { .. });
        let key = Key { origin: Origin::of(request.uri()), streams };
        self.hosts.get_or_insert_with(key, || Arc::new(Host::new(self.most)))
    }
}

#[async_trait]
impl Transport for Limit {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let host = self.host(&request);
        // A stream takes as long as its source, which shows nothing about the host.
        let is_timed = !matches!(request.body(), Body::Stream { .. });
        // The semaphore is never closed, so acquiring a permit never fails.
        let permit = host.permits.acquire().await.ok();
        let begun = Instant::now();
        let outcome = self.inner.send(request).await;
        let took = is_timed.then(|| begun.elapsed());
        let is_surplus = host.record(&outcome, took);
        if let Some(permit) = permit.filter(|_| is_surplus) {
            permit.forget();
        }
        outcome
    }
}

impl Host {
    fn new(most: usize) -> Self {
        let window = Window::new(most);
        let state = State { window, permits: window.size, fastest: Duration::MAX };
        Self { permits: Semaphore::new(window.size), state: Mutex::new(state) }
    }

    /// Adapts the number of permits to an outcome. Returns true if the permit of the request must be
    /// removed: a shrinking window is reached one reply at a time.
    ///
    /// - `took`: the time until the head of the reply, if it shows the load of the host.
    fn record(
        &self,
        outcome: &Result<Response<Body>, TransportError>,
        took: Option<Duration>,
    ) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let load = match outcome {
            Ok(reply) if matches!(reply.status().as_u16(), 429 | 503) => Load::Excessive,
            Err(error) if error.fault() == TransportErrorKind::TimedOut => Load::Excessive,
            // A broken connection shows nothing about the load.
            Err(_) => return false,
            Ok(_) => match took {
                Some(took) if took > state.fastest.saturating_mul(2).saturating_add(SLACK) => {
                    Load::High
                }
                _ => Load::Low,
            },
        };
        state.fastest = state.fastest.min(took.unwrap_or(Duration::MAX));
        state.window.add(load);
        let State { window, permits, .. } = &mut *state;
        match window.size.cmp(permits) {
            Ordering::Less => {
                *permits -= 1;
                true
            }
            Ordering::Equal => false,
            Ordering::Greater => {
                self.permits.add_permits(window.size - *permits);
                *permits = window.size;
                false
            }
        }
    }
}

impl Window {
    fn new(most: usize) -> Self {
        Self { size: START.min(most), most, starting: true, low: 0, earlier: 0 }
    }

    /// Grows or shrinks the window after a reply.
    fn add(&mut self, load: Load) {
        if self.earlier > 0 {
            self.earlier -= 1;
            return;
        }
        match load {
            Load::Low if self.starting => self.size += 1,
            Load::Low => {
                self.low += 1;
                if self.low >= self.size {
                    (self.size, self.low) = (self.size + 1, 0);
                }
            }
            Load::High => self.starting = false,
            Load::Excessive => {
                (self.earlier, self.low, self.starting) = (self.size - 1, 0, false);
                self.size = (self.size / 2).max(1);
            }
        }
        self.size = self.size.min(self.most);
    }
}

/// 16 requests: the window before the first reply.
const START: usize = 16;
/// 10 ms: a reply that is slower by less than this is not slow.
const SLACK: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    /// A host whose replies take one second, and that refuses requests beyond a number per second.
    #[derive(Debug)]
    struct Slow {
        begun: Instant,
        limit: usize,
        /// The number of requests in each second.
        seconds: Mutex<Vec<usize>>,
    }

    #[async_trait]
    impl Transport for Slow {
        async fn send(&self, _: Request<Body>) -> Result<Response<Body>, TransportError> {
            let second = usize::try_from(self.begun.elapsed().as_secs()).unwrap();
            let count = {
                let mut seconds = self.seconds.lock().unwrap();
                let known = seconds.len().max(second + 1);
                seconds.resize(known, 0);
                seconds[second] += 1;
                seconds[second]
            };
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut reply = Response::new(Body::Empty);
            if count > self.limit {
                *reply.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
            }
            Ok(reply)
        }
    }

    /// Sends this many requests at the same time, and returns the number of requests that arrive in
    /// each second.
    async fn send(requests: usize, most: usize, limit: usize) -> Vec<usize> {
        let slow = Arc::new(Slow { begun: Instant::now(), limit, seconds: Mutex::default() });
        let layer = Limit::new(Arc::clone(&slow) as _, NonZeroUsize::new(most).unwrap());
        let request = || Request::get("http://localhost/").body(Body::Empty).unwrap();
        join_all((0..requests).map(|_| layer.send(request()))).await;
        slow.seconds.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_than_the_maximum_are_sent_concurrently() {
        assert_eq!(send(10, 3, usize::MAX).await, [3, 3, 3, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_requests_doubles_with_each_round_trip() {
        assert_eq!(send(112, 1000, usize::MAX).await, [16, 32, 64]);
        assert_eq!(send(112, 40, usize::MAX).await, [16, 32, 40, 24]);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_requests_shrink_the_number_of_requests() {
        let seconds = send(2_000, 1000, 50).await;
        assert_eq!(seconds[..3], [16, 32, 64]);
        let refused: usize = seconds.iter().map(|count| count.saturating_sub(50)).sum();
        assert!(refused < 100, "{refused} of 2000 requests are refused: {seconds:?}");
    }

    #[test]
    fn the_window_follows_the_load_of_the_host() {
        use Load::{Excessive, High, Low};
        let window = |size, starting| Window { starting, ..Window { size, ..Window::new(64) } };
        for (before, loads, size) in [
            (window(16, true), vec![Low; 3], 19),
            (window(63, true), vec![Low; 3], 64),
            (window(16, true), vec![High, Low, Low], 16),
            (window(16, false), vec![Low; 16], 17),
            (window(16, false), vec![High; 100], 16),
            (window(16, true), vec![Excessive; 16], 8),
            (window(16, true), vec![Excessive; 17], 4),
            (window(1, true), vec![Excessive; 9], 1),
        ] {
            let mut after = before;
            loads.iter().for_each(|load| after.add(*load));
            assert_eq!(after.size, size, "{before:?} {loads:?}");
        }
    }
}
