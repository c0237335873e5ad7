//! Reports on finished requests.
//!
//! Owns the log line of each request and the report to an observer. `registry` creates a
//! [`RequestReport`] for each request if an observer or the log needs one. The report is sent when
//! the response ends or the client disconnects.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};

/// A finished request: its response was sent, or its client disconnected.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// The client's address, if the request's extensions contain a [`SocketAddr`].
    /// [`serve`](crate::serve) adds this extension, and other servers can add it too.
    pub peer: Option<SocketAddr>,
    /// The method.
    pub method: Method,
    /// The path and parameters, with `…` in place of possible secrets.
    pub path: String,
    /// The kind of path: `base`, `catalog`, `blob`, `uploads`, `upload`, `manifest`, `tags`,
    /// `referrers`, or `other` for paths that are invalid or outside the API.
    pub route: &'static str,
    /// The status of the response, or `None` if the client disconnected first.
    pub status: Option<StatusCode>,
    /// The name of the authenticated user, if any.
    pub user: Option<String>,
    /// The number of bytes of the request's body that were received.
    pub received: u64,
    /// The number of bytes of the response's body that were sent.
    pub sent: u64,
    /// The time from the request's head to the end of the response.
    pub took: Duration,
}

/// A function that receives the report of each request. It runs on the task that serves the
/// request, so it must be fast.
pub(crate) type Observer = Arc<dyn Fn(&Answered) + Send + Sync>;

/// A request in progress. Dropping it sends the report.
pub(crate) struct RequestReport {
    pub(crate) answered: Answered,
    observer: Option<Observer>,
    received: Arc<AtomicU64>,
    started: Instant,
}

impl RequestReport {
    /// Begins a report if an observer or the log needs one.
    ///
    /// - `received`: the counter of the bytes of the request's body.
    pub(crate) fn begin(
        observer: Option<&Observer>,
        method: &Method,
        uri: &Uri,
        route: impl FnOnce() -> &'static str,
        received: &Arc<AtomicU64>,
    ) -> Option<Self> {
        if observer.is_none() && !tracing::enabled!(tracing::Level::DEBUG) {
            return None;
        }
        let answered = Answered {
            peer: None,
            method: method.clone(),
            path: redacted(uri),
            route: route(),
            status: None,
            user: None,
            received: 0,
            sent: 0,
            took: Duration::ZERO,
        };
        let (observer, received) = (observer.cloned(), Arc::clone(received));
        Some(Self { answered, observer, received, started: Instant::now() })
    }
}

impl Drop for RequestReport {
    fn drop(&mut self) {
        let answered = &mut self.answered;
        answered.received = self.received.load(Ordering::Relaxed);
        answered.took = self.started.elapsed();
        tracing::debug!(
            peer = answered.peer.map(tracing::field::display),
            method = %answered.method,
            path = answered.path,
            status = answered.status.map(|status| status.as_u16()),
            received = answered.received,
            sent = answered.sent,
            ms = %format_args!("{:.1}", answered.took.as_secs_f64() * 1_000.0),
            user = answered.user,
            "answered"
        );
        if let Some(observer) = &self.observer {
            observer(answered);
        }
    }
}

impl fmt::Debug for RequestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answered.fmt(f)
    }
}

/// Returns the path and parameters, with `…` in place of possible secrets. The full id of an upload
/// would allow others to continue the upload. Parameters outside the API may contain secrets.
fn redacted(uri: &Uri) -> String {
    let mut shown = uri.path().to_owned();
    if let Some((before, id)) = shown.rsplit_once("/uploads/")
        && let Some((start, _)) = id.split_at_checked(ID_SHOWN)
    {
        shown = format!("{before}/uploads/{start}…");
    }
    let parameters = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
    for (index, part) in parameters.enumerate() {
        shown.push(if index == 0 { '?' } else { '&' });
        match part.split_once('=') {
            Some((name, _)) if KNOWN.contains(&name) => shown += part,
            Some((name, _)) => shown += &format!("{name}=…"),
            None => shown.push('…'),
        }
    }
    shown
}

/// Parameters of the API.
const KNOWN: [&str; 10] = [
    "artifactType",
    "digest",
    "digest-algorithm",
    "from",
    "last",
    "mount",
    "n",
    "scope",
    "service",
    "tag",
];
/// 8 of 32 digits: enough to tell uploads apart.
const ID_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn possible_secrets_are_not_shown() {
        for (target, shown) in [
            ("/v2/", "/v2/"),
            ("/v2/a/tags/list?n=5&last=v1", "/v2/a/tags/list?n=5&last=v1"),
            ("/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/"),
            (
                "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef?digest=sha256:00",
                "/v2/a/blobs/uploads/01234567…?digest=sha256:00",
            ),
            ("/v2/?access_token=secret&n=1", "/v2/?access_token=…&n=1"),
            ("/v2/?secret", "/v2/?…"),
            (
                "/token?scope=repository:a:pull&password=x",
                "/token?scope=repository:a:pull&password=…",
            ),
        ] {
            assert_eq!(redacted(&target.parse().unwrap()), shown, "{target}");
        }
    }
}
