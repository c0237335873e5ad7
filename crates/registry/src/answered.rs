//! What is told of a request once it is over.
//!
//! Owns the line that the log gets for each request, and what an observer is told. It decides
//! nothing: `registry` begins a [`Telling`] with each request, and the response's body ends it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};

/// A request that is over: its answer was sent, or nobody waits for it any more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answered {
    /// Where it came from, if [`serve`](crate::serve) or whoever answers in its place put that, as a
    /// [`SocketAddr`], among the request's extensions.
    pub peer: Option<SocketAddr>,
    /// Its method.
    pub method: Method,
    /// Its path and parameters, without what could be a secret.
    pub path: String,
    /// The kind of its path: `base`, `catalog`, `blob`, `uploads`, `upload`, `manifest`, `tags`,
    /// `referrers`; `other` for what is no path of the API.
    pub route: &'static str,
    /// What was answered; `None` if the client went away before.
    pub status: Option<StatusCode>,
    /// Who asked, if they said so and were let in.
    pub user: Option<String>,
    /// Bytes of its body.
    pub received: u64,
    /// Bytes of the answer's body.
    pub sent: u64,
    /// How long it took, from its head to the end of the answer.
    pub took: Duration,
}

/// Told of each request; called where the request ends, and so must not take long.
pub(crate) type Observer = Arc<dyn Fn(&Answered) + Send + Sync>;

/// A request under way. Tells when it is dropped.
pub(crate) struct Telling {
    pub(crate) answered: Answered,
    observer: Option<Observer>,
    received: Arc<AtomicU64>,
    started: Instant,
}

impl Telling {
    /// Begins one, if anybody wants to know.
    ///
    /// - `received`: where the bytes of the request's body are counted.
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

impl Drop for Telling {
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

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answered.fmt(f)
    }
}

/// Path and parameters as they were sent. Who knows an upload's whole id could go on with it, and
/// parameters that the API does not know may be anything.
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
    fn what_could_be_a_secret_is_not_shown() {
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
