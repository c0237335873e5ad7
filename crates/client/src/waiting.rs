//! Async waits, which are reported to the user if they exceed [`wait::LONG`].

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use http::StatusCode;
use longshore_core::wait;
use tokio::time::{sleep, timeout};

/// Runs `work`. Reports `text` if the work takes longer than [`wait::LONG`].
pub(crate) async fn report_if_long<T>(
    work: impl Future<Output = T>,
    text: impl FnOnce() -> String,
) -> T {
    let mut work = pin!(work);
    if let Ok(done) = timeout(wait::LONG, &mut work).await {
        return done;
    }
    wait::report(text());
    work.await
}

/// Waits before a retry. Reports a long wait when it begins.
pub(crate) async fn pause(time: Duration, again: Again<impl fmt::Display>) {
    if time > wait::LONG {
        wait::report(again.text(time));
    }
    sleep(time).await;
}

/// The operation that is repeated, and the reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again<H> {
    /// The host that failed.
    pub(crate) host: H,
    /// The status of the failed reply; `None` if the connection broke.
    pub(crate) status: Option<StatusCode>,
    /// True if the reply had a `Retry-After` header.
    pub(crate) has_retry_after: bool,
    /// The next step, as a clause.
    pub(crate) next: &'static str,
}

impl<H: fmt::Display> Again<H> {
    fn text(self, time: Duration) -> String {
        let Self { host, status, has_retry_after, next } = self;
        let time = wait::seconds(time);
        match status {
            Some(status) if has_retry_after => {
                format!("{host} requests a wait of {time} ({status}), then {next}")
            }
            Some(status) => format!("{host} answered {status}: {next} in {time}"),
            None => format!("the connection to {host} broke: {next} in {time}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use longshore_testkit::wait_log::WaitLog;
    use tokio::time::Instant;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_is_reported_once() {
        let reported = WaitLog::listen();
        let text = || "waiting".to_owned();
        report_if_long(sleep(wait::LONG - SECOND), text).await;
        assert!(reported.take().is_empty());
        let start = Instant::now();
        let wait = report_if_long(sleep(100 * SECOND), text);
        tokio::select! {
            () = wait => panic!("the wait ended too early"),
            () = sleep(wait::LONG + SECOND) => {}
        }
        assert_eq!(reported.take(), ["waiting"]);
        report_if_long(sleep(100 * SECOND), text).await;
        assert_eq!(reported.take(), ["waiting"]);
        assert_eq!(start.elapsed(), wait::LONG + 101 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_pause_is_reported_at_its_start_with_its_reason() {
        let reported = WaitLog::listen();
        let again = |status: Option<u16>, has_retry_after| Again {
            host: "r.example",
            status: status.map(|status| StatusCode::from_u16(status).unwrap()),
            has_retry_after,
            next: "the request is sent again",
        };
        pause(wait::LONG, again(Some(429), true)).await;
        assert!(reported.take().is_empty());
        for (again, expected) in [
            (
                again(Some(429), true),
                "r.example requests a wait of 20 s (429 Too Many Requests), then the request is \
                 sent again",
            ),
            (
                again(Some(503), false),
                "r.example answered 503 Service Unavailable: the request is sent again in 20 s",
            ),
            (
                again(None, false),
                "the connection to r.example broke: the request is sent again in 20 s",
            ),
        ] {
            tokio::select! {
                () = pause(20 * SECOND, again) => panic!("the wait ended too early"),
                () = sleep(SECOND) => {}
            }
            assert_eq!(reported.take(), [expected]);
        }
    }
}
