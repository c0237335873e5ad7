//! Metrics of a registry for Prometheus.
//!
//! Owns the counters, their text format, and the HTTP server for the metrics. Labels never contain
//! values that clients choose, such as paths, names and users.
//!
//! Source: Prometheus, "Exposition formats", text format 0.0.4.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use longshore::http::header::{ALLOW, CONTENT_TYPE};
use longshore::http::{HeaderValue, Method, Request, Response, StatusCode};
use longshore_registry::{Answered, Registry};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Counters of finished requests. Clones share the counters.
#[derive(Clone, Default)]
pub(super) struct Metrics(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    requests: BTreeMap<Kind, u64>,
    received: u64,
    sent: u64,
}

/// The labels of a request counter.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    method: &'static str,
    route: &'static str,
    /// The status, or 0 if the client disconnected before the response.
    status: u16,
}

/// The current values of the gauges.
struct Now {
    connections: usize,
    uploads: usize,
    stored: Option<u64>,
}

impl Metrics {
    pub(super) fn add(&self, answered: &Answered) {
        let method = METHODS.iter().find(|method| **method == answered.method.as_str());
        let kind = Kind {
            method: method.copied().unwrap_or("other"),
            route: answered.route,
            status: answered.status.map_or(0, |status| status.as_u16()),
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry(kind).or_default() += 1;
        counts.received += answered.received;
        counts.sent += answered.sent;
    }

    /// Serves `GET /metrics` on a socket until the process ends.
    pub(super) async fn serve(self, socket: TcpListener, registry: Registry) {
        let connections = Arc::new(Semaphore::new(CONNECTION_LIMIT));
        loop {
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            let Ok((stream, _)) = socket.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (metrics, registry) = (self.clone(), registry.clone());
            tokio::spawn(async move {
                let answering = metrics.answer(stream, registry);
                tokio::time::timeout(CONNECTION_TIME, answering).await.ok();
                drop(permit);
            });
        }
    }

    async fn answer(self, stream: TcpStream, registry: Registry) {
        let service = service_fn(move |request: Request<hyper::body::Incoming>| {
            let usage = registry.repositories().usage();
            let (uploads, stored) = (usage.uploads, usage.stored);
            let now = Now { connections: registry.connections(), uploads, stored };
            let response = self.respond(request.method(), request.uri().path(), &now);
            async { Ok::<_, Infallible>(response) }
        });
        let mut server = hyper::server::conn::http1::Builder::new();
        let server = server.timer(TokioTimer::new()).keep_alive(false);
        // A client that disconnects early is not an error.
        server.serve_connection(TokioIo::new(stream), service).await.ok();
    }

    fn respond(&self, method: &Method, path: &str, now: &Now) -> Response<Full<Bytes>> {
        let is_read = matches!(*method, Method::GET | Method::HEAD);
        let (status, text) = match path {
            "/metrics" if is_read => (StatusCode::OK, self.text(now)),
            "/metrics" => (StatusCode::METHOD_NOT_ALLOWED, "expected GET\n".to_owned()),
            _ => (StatusCode::NOT_FOUND, "metrics are at /metrics\n".to_owned()),
        };
        let mut response = Response::new(Full::new(text.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, TEXT);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn text(&self, now: &Now) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = Page(String::new());
        page.metric("requests_total", "counter", "Finished requests; status 0 if disconnected.");
        for (Kind { method, route, status }, count) in &counts.requests {
            let labels = format!(r#"{{method="{method}",route="{route}",status="{status}"}}"#);
            page.sample("requests_total", &labels, count);
        }
        page.single("received_bytes_total", "counter", "Bytes of request bodies.", counts.received);
        page.single("sent_bytes_total", "counter", "Bytes of response bodies.", counts.sent);
        page.single("connections", "gauge", "Open connections.", now.connections);
        page.single("uploads", "gauge", "Unfinished uploads.", now.uploads);
        if let Some(stored) = now.stored {
            page.single("stored_bytes", "gauge", "Bytes of blobs, manifests and uploads.", stored);
        }
        page.metric("build_info", "gauge", "Always 1; the label is the version.");
        let version = concat!(r#"{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#);
        page.sample("build_info", version, 1);
        page.0
    }
}

/// The text of a metrics page.
struct Page(String);

impl Page {
    fn metric(&mut self, name: &str, kind: &str, help: &str) {
        let name = format!("longshore_{name}");
        self.0 += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl fmt::Display) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "longshore_{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl fmt::Display) {
        self.metric(name, kind, help);
        self.sample(name, "", value);
    }
}

/// The known methods; any other method is counted as `other`.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"];
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// 16: usually, one or two servers read the metrics every few seconds.
const CONNECTION_LIMIT: usize = 16;
/// 10 s: for a request and a response of a few KiB.
const CONNECTION_TIME: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
