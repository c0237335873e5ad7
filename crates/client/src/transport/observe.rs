//! Counts each request, and shows it to the observer of the client, without secrets.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use http::header::{CONTENT_LENGTH, HOST};
use http::{Method, Request, Response, StatusCode};
use longshore_core::BlobStream;
use tokio::time::Instant;

use super::activity::{Activity, Spent};
use super::{Body, Transport, TransportError, TransportErrorKind};
use crate::origin::Origin;
use crate::redact::{redacted, redacted_headers};
use crate::statistics::Counters;

/// A function that receives each request of a client when its reply has been read or dropped.
pub(crate) type ExchangeObserver = Arc<dyn Fn(&HttpExchange) + Send + Sync>;

/// A request and its reply, without secrets and without bodies.
///
/// Each attempt and each hop of a redirect is an exchange of its own. Values that may be secrets
/// are replaced by `…`: user information and query parameters of URLs, and all headers but those
/// that are known to hold no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpExchange {
    /// The time at which the request was sent.
    pub started: SystemTime,
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: String,
    /// The headers of the request. The built-in transport adds `Accept-Encoding` and `User-Agent`,
    /// which are not listed.
    pub request_headers: Vec<(String, String)>,
    /// The number of bytes of the request's body that were passed to the connection.
    pub sent: u64,
    /// The status of the reply. `None` if no reply arrived.
    pub status: Option<StatusCode>,
    /// The headers of the reply.
    pub reply_headers: Vec<(String, String)>,
    /// The number of bytes of the reply's body that were received.
    pub received: u64,
    /// The reason why no reply arrived, or why its body is incomplete.
    pub error: Option<String>,
    /// The phases of the exchange.
    pub timings: Timings,
}

/// The time that each phase of an exchange took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// The resolution of the host's name. `None` if no name was resolved for this request.
    pub name_resolution: Option<Duration>,
    /// The connection, including TLS. `None` if an existing connection was used.
    pub connection: Option<Duration>,
    /// The sending of the request's body, if it is a stream.
    pub send: Duration,
    /// The remaining time until the head of the reply arrived.
    pub wait: Duration,
    /// The time from the head of the reply to the end of its body.
    pub receive: Duration,
}

/// The mark of a request to a token service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForToken;

/// The statistics of a client, and its observer.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) counters: Counters,
    observer: Option<ExchangeObserver>,
}

impl Recorder {
    pub(crate) fn new(observer: Option<ExchangeObserver>) -> Self {
        Self { counters: Counters::default(), observer }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

/// The layer around the wire that records each request.
#[derive(Debug)]
pub(crate) struct Observe {
    inner: Arc<dyn Transport>,
    recorder: Arc<Recorder>,
}

impl Observe {
    pub(crate) fn new(inner: Arc<dyn Transport>, recorder: Arc<Recorder>) -> Self {
        Self { inner, recorder }
    }
}

#[async_trait]
impl Transport for Observe {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let mut open = Open::new(&self.recorder, &mut request);
        match self.inner.send(request).await {
            Ok(reply) => Ok(open.receive(reply)),
            Err(error) => {
                if error.fault() == TransportErrorKind::NotSent {
                    open.sent.store(0, Ordering::Relaxed);
                }
                open.finish(Some(&error));
                Err(error)
            }
        }
    }
}

/// An exchange that has not ended. Dropping this value ends it.
struct Open {
    recorder: Arc<Recorder>,
    /// `None` if the client has no observer.
    exchange: Option<HttpExchange>,
    is_for_token: bool,
    start: Instant,
    activity: Activity,
    sent: Arc<AtomicU64>,
    received: u64,
    /// The times when the head of the reply had arrived. `None` until then.
    head: Option<Head>,
    /// The number of bytes in the reply's body, if known.
    size: Option<u64>,
    has_ended: bool,
}

/// The times when the head of a reply had arrived.
#[derive(Clone, Copy)]
struct Head {
    at: Instant,
    spent: Spent,
}

impl Open {
    /// Begins an exchange, and counts the bytes of the request's body while they are sent.
    fn new(recorder: &Arc<Recorder>, request: &mut Request<Body>) -> Self {
        let is_for_token = request.extensions().get::<ForToken>().is_some();
        {
            let host = Origin::of(request.uri()).map(|origin| origin.address());
            let mut statistics = recorder.counters.lock();
            statistics.count(&host.unwrap_or_default(), request.method().as_str());
            statistics.token_requests += u64::from(is_for_token);
        }
        let exchange = recorder.observer.is_some().then(|| HttpExchange::of(request));
        let (activity, sent) = (Activity::new(), Arc::new(AtomicU64::new(0)));
        request.extensions_mut().insert(activity.clone());
        *request.body_mut() = match std::mem::take(request.body_mut()) {
            Body::Stream { stream, size } => {
                Body::Stream { stream: counted(stream, Arc::clone(&sent)), size }
            }
            whole => {
                sent.store(whole.size().unwrap_or_default(), Ordering::Relaxed);
                whole
            }
        };
        Self {
            recorder: Arc::clone(recorder),
            exchange,
            is_for_token,
            start: Instant::now(),
            activity,
            sent,
            received: 0,
            head: None,
            size: Some(0),
            has_ended: false,
        }
    }

    /// Records the head of a reply. The exchange ends with the reply's body.
    fn receive(mut self, reply: Response<Body>) -> Response<Body> {
        self.head = Some(Head { at: Instant::now(), spent: self.activity.spent() });
        if let Some(exchange) = &mut self.exchange {
            exchange.status = Some(reply.status());
            exchange.reply_headers = redacted_headers(reply.headers());
        }
        let (parts, body) = reply.into_parts();
        self.size = body.size();
        let body = match body {
            Body::Stream { stream, size } => Body::Stream { stream: self.watch(stream), size },
            whole => {
                self.received = whole.size().unwrap_or_default();
                whole
            }
        };
        Response::from_parts(parts, body)
    }

    fn watch(mut self, mut body: BlobStream) -> BlobStream {
        BlobStream::new(poll_fn(move |cx| {
            let polled = body.poll_next_unpin(cx);
            polled.map(|chunk| {
                match &chunk {
                    Some(Ok(bytes)) => self.received += bytes.len() as u64,
                    Some(Err(error)) => self.finish(Some(error)),
                    None => self.finish(None),
                }
                chunk
            })
        }))
    }

    /// Ends the exchange: adds it to the statistics, and shows it to the observer.
    fn finish(&mut self, error: Option<&dyn fmt::Display>) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let timings = self.timings();
        // A body in memory counts as a whole, unless the request ended before it had a connection.
        let is_canceled = error.is_none() && self.head.is_none();
        let sent = match is_canceled && self.activity.is_connecting() {
            true => 0,
            false => self.sent.load(Ordering::Relaxed),
        };
        {
            let mut statistics = self.recorder.counters.lock();
            statistics.body_bytes_sent += sent;
            statistics.body_bytes_received += self.received;
            let waits = &mut statistics.waits;
            waits.name_resolution += timings.name_resolution.unwrap_or_default();
            waits.connections += timings.connection.unwrap_or_default();
            match self.is_for_token {
                true => waits.tokens += timings.wait + timings.receive,
                false => waits.replies += timings.wait,
            }
        }
        if let (Some(mut exchange), Some(observer)) =
            (self.exchange.take(), &self.recorder.observer)
        {
            let error = error.map(ToString::to_string);
            exchange.error = error.or_else(|| self.interruption().map(str::to_owned));
            (exchange.sent, exchange.received, exchange.timings) = (sent, self.received, timings);
            observer(&exchange);
        }
    }

    /// Returns the reason why an exchange without an error is incomplete.
    fn interruption(&self) -> Option<&'static str> {
        match (self.head, self.size) {
            (None, _) => Some("the request was canceled before a reply arrived"),
            (Some(_), Some(size)) if self.received < size => {
                Some("the rest of the reply was not read")
            }
            _ => None,
        }
    }

    fn timings(&self) -> Timings {
        let now = Instant::now();
        let Head { at, spent } =
            self.head.unwrap_or_else(|| Head { at: now, spent: self.activity.spent() });
        let Spent { address, connection, body } = spent;
        let known = [address, connection, body].into_iter().flatten().sum();
        Timings {
            name_resolution: address,
            connection,
            send: body.unwrap_or_default(),
            wait: (at - self.start).saturating_sub(known),
            receive: now - at,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.finish(None);
    }
}

impl HttpExchange {
    /// Describes a request that is about to be sent.
    fn of(request: &Request<Body>) -> Self {
        let mut headers = redacted_headers(request.headers());
        let size = request.body().size().filter(|size| *size > 0);
        let size = size.filter(|_| !request.headers().contains_key(CONTENT_LENGTH));
        headers.extend(size.map(|size| (CONTENT_LENGTH.to_string(), size.to_string())));
        let host = request.uri().authority().map(|authority| {
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            (HOST.to_string(), host.to_owned())
        });
        headers.extend(host);
        Self {
            // The time is only shown. No decision depends on it.
            #[expect(clippy::disallowed_methods)]
            started: SystemTime::now(),
            method: request.method().clone(),
            url: redacted(request.uri()),
            request_headers: headers,
            sent: 0,
            status: None,
            reply_headers: Vec::new(),
            received: 0,
            error: None,
            timings: Timings::default(),
        }
    }
}

/// Counts the bytes of a request's body while the connection takes them.
fn counted(mut body: BlobStream, sent: Arc<AtomicU64>) -> BlobStream {
    BlobStream::new(poll_fn(move |cx| {
        let polled = body.poll_next_unpin(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        polled
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::Bytes;
    use futures_util::stream::unfold;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A transport that reads the request's body, and replies after a second with a body of two
    /// bytes, each after a second.
    #[derive(Debug)]
    struct Slow;

    #[async_trait]
    impl Transport for Slow {
        async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
            let mut body = request.into_body().into_stream();
            while body.next().await.is_some() {}
            sleep(SECOND).await;
            let stream = BlobStream::new(Box::pin(unfold(0, |sent| async move {
                sleep(SECOND).await;
                (sent < 2).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
            })));
            Ok(Response::new(Body::Stream { stream, size: Some(2) }))
        }
    }

    /// A transport that never replies. It waits for a new connection, which exists after a second.
    #[derive(Debug)]
    struct Connecting;

    #[async_trait]
    impl Transport for Connecting {
        async fn send(&self, request: Request<Body>) -> Result<Response<Body>, TransportError> {
            let activity = request.extensions().get::<Activity>().unwrap();
            activity.set_connecting(true);
            sleep(SECOND).await;
            activity.set_connecting(false);
            std::future::pending().await
        }
    }

    fn request(body: Body) -> Request<Body> {
        let mut request = Request::put("https://r.example/v2/?key=s3cret").body(body).unwrap();
        request.headers_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
        request
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_canceled_before_it_has_a_connection_sent_nothing() {
        let recorder = Arc::new(Recorder::default());
        let observe = Observe::new(Arc::new(Connecting), Arc::clone(&recorder));
        for (limit, sent) in [(SECOND / 2, 0), (2 * SECOND, 5)] {
            let body = Body::Bytes(Bytes::from_static(b"abcde"));
            assert!(timeout(limit, observe.send(request(body))).await.is_err());
            assert_eq!(recorder.counters.lock().body_bytes_sent, sent, "{limit:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_ends_when_its_reply_is_read_or_dropped() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let observer: ExchangeObserver =
            Arc::new(move |exchange: &HttpExchange| list.lock().unwrap().push(exchange.clone()));
        let recorder = Arc::new(Recorder::new(Some(observer)));
        let observe = Observe::new(Arc::new(Slow), Arc::clone(&recorder));

        let stream = BlobStream::from(Bytes::from_static(b"abc"));
        let reply = observe.send(request(Body::Stream { stream, size: Some(3) })).await.unwrap();
        let mut body = reply.into_body().into_stream();
        while body.next().await.is_some() {}
        let mut token = request(Body::Bytes(Bytes::from_static(b"ab")));
        token.extensions_mut().insert(ForToken);
        let reply = observe.send(token).await.unwrap();
        assert!(reply.into_body().into_stream().next().await.is_some());
        assert!(timeout(SECOND / 2, observe.send(request(Body::Empty))).await.is_err());

        let found = seen.lock().unwrap().clone();
        let summary = |e: &HttpExchange| (e.sent, e.received, e.timings.wait, e.timings.receive);
        assert_eq!(
            found.iter().map(summary).collect::<Vec<_>>(),
            [
                (3, 2, SECOND, 3 * SECOND),
                (2, 1, SECOND, SECOND),
                (0, 0, SECOND / 2, Duration::ZERO),
            ]
        );
        let errors = found.iter().map(|e| (e.status.is_some(), e.error.as_deref()));
        assert_eq!(
            errors.collect::<Vec<_>>(),
            [
                (true, None),
                (true, Some("the rest of the reply was not read")),
                (false, Some("the request was canceled before a reply arrived")),
            ]
        );
        assert!(!format!("{found:?}").contains("s3cret"));
        let statistics = recorder.counters.lock().clone();
        assert_eq!((statistics.all_requests(), statistics.token_requests), (3, 1));
        assert_eq!((statistics.body_bytes_sent, statistics.body_bytes_received), (5, 3));
        assert_eq!(
            (statistics.waits.replies, statistics.waits.tokens),
            (SECOND * 3 / 2, 2 * SECOND)
        );
    }
}
