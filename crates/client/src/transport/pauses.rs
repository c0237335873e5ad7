//! The waits that hosts have requested of all requests.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Uri;
use tokio::time::{Instant, sleep_until};

use crate::origin::Origin;

/// The hosts to which requests must wait, each with the end of the wait.
#[derive(Debug, Default)]
pub(crate) struct Pauses(Mutex<HashMap<Origin, Instant>>);

impl Pauses {
    /// Makes requests to the origin wait.
    pub(crate) fn hold_off(&self, uri: &Uri, wait: Duration) {
        let end = Instant::now().checked_add(wait);
        let (Some(origin), Some(end)) = (Origin::of(uri), end) else { return };
        let mut ends = self.ends();
        ends.retain(|_, end| *end > Instant::now());
        let known = ends.entry(origin).or_insert(end);
        *known = end.max(*known);
    }

    /// Waits until requests to the origin are allowed again. Returns the time of the wait.
    pub(crate) async fn wait(&self, uri: &Uri) -> Duration {
        let end = Origin::of(uri).and_then(|origin| self.ends().get(&origin).copied());
        let wait = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
        if let Some(end) = end.filter(|_| !wait.is_zero()) {
            sleep_until(end).await;
        }
        wait
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<Origin, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
