//! Waits that people are told of.
//!
//! What waits for something outside, such as a registry, a lock or a credential helper, for longer
//! than [`LONG`] says so once a wait, by a `tracing` event at level `INFO` with [`TARGET`] as its
//! target. The message is a sentence for people: whom is waited for, why, and when that ends.
//! A program shows these as it likes; `longshore` prints them on stderr.

use std::fmt;
use std::time::Duration;

/// The target of the events, to filter them by.
pub const TARGET: &str = "longshore::wait";

/// 5 s: as long as people wait without a doubt.
pub const LONG: Duration = Duration::from_secs(5);

/// Tells of a wait.
pub fn tell(text: impl fmt::Display) {
    tracing::info!(target: TARGET, "{text}");
}

/// A time as these messages have it: `20 s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.saturating_add(Duration::from_millis(500)).as_secs())
}

/// When a wait ends by itself, as the end of such a message: ` (gives up after 30 s)`; nothing, where
/// it does not end within a day.
#[must_use]
pub fn gives_up(limit: Duration) -> String {
    match limit < DAY {
        true => format!(" (gives up after {})", seconds(limit)),
        false => String::new(),
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_and_a_limit_without_end_is_not_told() {
        let told = [4_400, 4_500, 90_000].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(told, ["4 s", "5 s", "90 s"]);
        assert_eq!(gives_up(Duration::from_secs(30)), " (gives up after 30 s)");
        assert_eq!(gives_up(Duration::MAX), "");
    }
}
