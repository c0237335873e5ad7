//! Messages about long waits.
//!
//! A wait for something external, such as a registry, a lock or a credential helper, that exceeds
//! [`LONG`] is reported once, by a `tracing` event at level `INFO` with [`TARGET`] as its target.
//! The message is a sentence for people: what is waited for, why, and when the wait ends. A program
//! shows these as it likes; `longshore` prints them on stderr.

use std::fmt;
use std::time::Duration;

/// The target of the events, to filter them by.
pub const TARGET: &str = "longshore::wait";

/// 5 s: users do not wonder about shorter waits.
pub const LONG: Duration = Duration::from_secs(5);

/// Reports a wait.
pub fn tell(text: impl fmt::Display) {
    tracing::info!(target: TARGET, "{text}");
}

/// Formats a duration for these messages: `20 s`.
#[must_use]
pub fn seconds(time: Duration) -> String {
    format!("{} s", time.saturating_add(Duration::from_millis(500)).as_secs())
}

/// Formats the time limit of a wait for the end of a message: ` (gives up after 30 s)`. Empty if
/// there is none within a day.
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
