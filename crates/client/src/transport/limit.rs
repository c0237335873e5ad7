//! Limits the number of concurrent requests to one host. `window` adapts the number to the host.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, Response};
use tokio::time::Instant;

use super::observe::Recorder;
use super::pauses::Pauses;
use super::window::{Answer, Window};
use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::bounded::BoundedCache;
use crate::origin::Origin;

/// The layer that limits concurrent requests per origin. A request that waits for its place also
/// waits for the time that the host has requested meanwhile.
///
/// A request holds its place only until the head of the reply arrives, and none while the body is
/// read: a copy within one registry sends a request while it reads the body of another reply. For the
/// same reason, requests that send a stream have separate places: such a request may wait for the
/// reply to a request without a stream.
#[derive(Debug)]
pub(crate) struct Limit {
    inner: Arc<dyn Transport>,
    places: NonZeroUsize,
    hosts: BoundedCache<Key, Arc<Window>>,
    pauses: Arc<Pauses>,
    recorder: Arc<Recorder>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    origin: Option<Origin>,
    streams: bool,
}

impl Limit {
    pub(crate) fn new(
        inner: Arc<dyn Transport>,
        places: NonZeroUsize,
        pauses: Arc<Pauses>,
        recorder: Arc<Recorder>,
    ) -> Self {
        Self { inner, places, hosts: BoundedCache::default(), pauses, recorder }
    }

    fn window_of(&self, request: &Request<Body>) -> Arc<Window> {
        let streams = matches!(request.body(), Body::Stream { .. });
        let key = Key { origin: Origin::of(request.uri()), streams };
        self.hosts.get_or_insert_with(key, || Window::new(self.places).into())
    }
}

/// Returns true if a reply, or the lack of one, shows that the host has too much work.
fn is_overloaded(result: &Result<Response<Body>, TransportError>) -> bool {
    match result {
        Ok(reply) => matches!(reply.status().as_u16(), 429 | 500 | 502..=504),
        Err(e) => matches!(e.fault(), TransportErrorKind::NotSent | TransportErrorKind::TimedOut),
    }
}

#[async_trait]
impl Transport for Limit {
    async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let window = self.window_of(&request);
        let mut place = match window.try_enter() {
            Some(place) => place,
            None => {
                let start = Instant::now();
                let place = window.enter().await;
                self.recorder.counters.lock().waits.request_limit += start.elapsed();
                place
            }
        };
        let wait = self.pauses.wait(request.uri()).await;
        self.recorder.counters.lock().waits.retries += wait;
        let is_light = matches!(*request.method(), Method::GET | Method::HEAD);
        place.begin();
        let result = self.inner.send(request).await;
        place.record(match is_overloaded(&result) {
            true => Answer::Overloaded,
            false if is_light => Answer::Light,
            false => Answer::Heavy,
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[derive(Debug, Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    #[async_trait]
    impl Transport for Slow {
        async fn send(&self, _: Request<Body>) -> Result<Response<Body>, TransportError> {
            let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            Ok(Response::new(Body::Empty))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_than_the_limit_are_sent_concurrently() {
        let slow = Arc::new(Slow::default());
        let recorder = Arc::new(Recorder::default());
        let limit = Limit::new(
            Arc::clone(&slow) as _,
            NonZeroUsize::new(3).unwrap(),
            Arc::default(),
            Arc::clone(&recorder),
        );
        let requests = (0..10)
            .map(|_| limit.send(Request::get("http://localhost/").body(Body::Empty).unwrap()));
        futures_util::future::join_all(requests).await;
        assert_eq!(slow.most.load(Ordering::SeqCst), 3);
        // Three requests wait for 1 s, three for 2 s and one for 3 s.
        let waited = recorder.counters.lock().waits.request_limit;
        assert_eq!(waited, Duration::from_secs(3 + 6 + 3));
    }
}
