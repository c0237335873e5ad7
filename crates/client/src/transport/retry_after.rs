//! Parses the wait that a reply requests, in the forms that registries use.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};

/// Returns the wait that the headers request, or the longest wait if there are several.
///
/// Supports seconds or an HTTP date in `Retry-After`, and a Unix time in `X-Retry-After` (Docker
/// Hub). Points in time are relative to the reply's `Date`, so the clocks of client and server may
/// differ. Malformed values are ignored, and so are points in time in a reply without `Date`.
///
/// Source: RFC 9110, section 10.2.3.
pub(crate) fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    let now = headers.get(DATE).and_then(|v| v.to_str().ok()).and_then(unix_time);
    let until = |point: u64| Some(Duration::from_secs(point.saturating_sub(now?)));
    let plain =
        headers.get_all(RETRY_AFTER).iter().filter_map(|v| v.to_str().ok()).filter_map(|text| {
            match seconds(text) {
                Some(seconds) => Some(Duration::from_secs(seconds)),
                None => until(unix_time(text)?),
            }
        });
    let extended = headers.get_all("x-retry-after").iter().filter_map(|v| v.to_str().ok());
    plain.chain(extended.filter_map(|text| until(seconds(text)?))).max()
}

/// Parses a number that consists only of digits. A number that overflows becomes the largest
/// integer.
fn seconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

fn unix_time(text: &str) -> Option<u64> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    Some(time.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn wait(lines: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        requested_wait(&headers).map(|d| d.as_secs())
    }

    #[test]
    fn all_forms_of_requested_waits_are_parsed() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        for (lines, expected) in [
            (&[][..], None),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "86400")], Some(86400)),
            (&[("retry-after", "18446744073709551616")], Some(u64::MAX)),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "1.5")], None),
            (&[("retry-after", "abc")], None),
            (&[("retry-after", "")], None),
            (&[("retry-after", "2"), ("retry-after", "7")], Some(7)),
            (&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], Some(60)),
            (&[date, ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")], Some(0)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT")], None),
            (&[date, ("x-retry-after", "784111787")], Some(10)),
        ] {
            assert_eq!(wait(lines), expected, "{lines:?}");
        }
    }
}
