//! Messages about long waits.
//!
//! Longshore sometimes waits for an external resource, such as a registry, a lock or a credential
//! helper. A wait longer than [`LONG`] is reported once, by a `tracing` event at level `INFO` with
//! the target [`TARGET`]. The message is a sentence for users with the reason for the wait and, if
//! known, its length or limit. A program can show these messages in any way. The CLI prints them to
//! stderr.

use std::fmt;
use std::time::Duration;

/// The target of the events, for use in filters.
pub const TARGET: &str = "longshore::wait";

/// 5 s: shorter waits need no message.
pub const LONG: Duration = Duration::from_secs(5);

/// Reports a wait.
pub fn report(text: impl fmt::Display) {
    tracing::info!(target: TARGET, "{text}");
}

/// Formats a duration for these messages, such as `20 s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.saturating_add(Duration::from_millis(500)).as_secs())
}

/// Formats the time limit of a wait for the end of a message, such as ` (gives up after 30 s)`.
/// Returns an empty text for a limit of a day or more.
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
    fn times_are_rounded_to_seconds_and_limits_of_days_are_omitted() {
        let texts = [4_400, 4_500, 90_000].map(|ms| seconds(Duration::from_millis(ms)));
        assert_eq!(texts, ["4 s", "5 s", "90 s"]);
        assert_eq!(gives_up(Duration::from_secs(30)), " (gives up after 30 s)");
        assert_eq!(gives_up(Duration::MAX), "");
    }
}
