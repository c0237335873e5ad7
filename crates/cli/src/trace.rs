//! Writes the requests of a command to a HAR file.
//!
//! Owns the format and the file. The library removes the secrets from the requests before it passes
//! them on.
//!
//! Source: HTTP Archive format (HAR) 1.2, <http://www.softwareishard.com/blog/har-12-spec/>.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore::{Error, ErrorKind, HttpExchange, Result, Timings};
use serde_json::{Value, json};

use crate::message::warn;

/// A HAR file that is a complete JSON document after each write.
#[derive(Debug)]
pub(crate) struct Trace {
    path: PathBuf,
    end: Mutex<End>,
}

/// The end of the file.
#[derive(Debug)]
struct End {
    file: File,
    /// The offset of the closing brackets, which the next entry replaces.
    offset: u64,
    is_empty: bool,
    /// True after a failed write. Nothing more is written.
    has_failed: bool,
}

impl Trace {
    /// Creates a HAR file without entries that only the user can read. Replaces an existing file.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the file cannot be written; [`Invalid`](ErrorKind::Invalid) if the
    /// path leads to something other than a file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let at = |e| Error::io(path, e);
        if std::fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
            let clause = "the trace needs a regular file, to change its end after each request";
            return Err(Error::new(ErrorKind::Invalid).at(path.display()).detail(clause));
        }
        let head = head();
        let file = create(path, &format!("{head}{CLOSING}")).map_err(at)?;
        let end = End { file, offset: head.len() as u64, is_empty: true, has_failed: false };
        Ok(Self { path: path.to_owned(), end: Mutex::new(end) })
    }

    /// Adds an exchange. Warns once if the file can no longer be written.
    pub(crate) fn add(&self, exchange: &HttpExchange) {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if end.has_failed {
            return;
        }
        if let Err(e) = end.add(&entry(exchange)) {
            end.has_failed = true;
            let path = self.path.display();
            warn(format_args!("{path}: the trace is incomplete: {e}"));
        }
    }
}

impl End {
    /// Writes an entry over the closing brackets, and the brackets after it, in one write.
    fn add(&mut self, entry: &Value) -> io::Result<()> {
        let comma = if self.is_empty { "" } else { "," };
        let text = format!("{comma}\n{entry}");
        let written = self.write(&format!("{text}{CLOSING}"));
        if written.is_err() {
            // Part of the entry may have been written.
            self.file.set_len(self.offset)?;
            self.write(CLOSING)?;
            return written;
        }
        self.offset += text.len() as u64;
        self.is_empty = false;
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.offset))?;
        self.file.write_all(text.as_bytes())
    }
}

/// Creates a file with this content at `path`, with the mode 0600. The file is complete when it gets
/// its name.
fn create(path: &Path, content: &str) -> io::Result<File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(content.as_bytes())?;
    Ok(file.persist(path)?)
}

fn head() -> String {
    let creator = json!({ "name": "longshore", "version": env!("CARGO_PKG_VERSION") });
    format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":[")
}

fn entry(exchange: &HttpExchange) -> Value {
    let timings = timings(&exchange.timings);
    let time: f64 = ["dns", "connect", "send", "wait", "receive"]
        .iter()
        .filter_map(|phase| timings[phase].as_f64())
        .filter(|ms| *ms > 0.0)
        .sum();
    let mut entry = json!({
        "startedDateTime": timestamp(exchange.started),
        "time": time,
        "request": request(exchange),
        "response": response(exchange),
        "cache": {},
        "timings": timings,
    });
    if let Some(error) = &exchange.error {
        entry["comment"] = json!(error);
    }
    entry
}

fn request(exchange: &HttpExchange) -> Value {
    let query = exchange.url.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!({ "name": name, "value": value })
    });
    let mut request = json!({
        "method": exchange.method.as_str(),
        "url": exchange.url,
        "httpVersion": HTTP_VERSION,
        "cookies": [],
        "headers": headers(&exchange.request_headers),
        "queryString": pairs.collect::<Vec<_>>(),
        "headersSize": UNKNOWN,
        "bodySize": exchange.sent,
    });
    if exchange.sent > 0 {
        let media_type = header(&exchange.request_headers, "content-type").unwrap_or_default();
        request["postData"] = json!({ "mimeType": media_type, "params": [], "text": "" });
    }
    request
}

/// Describes the reply. If none arrived, its status is 0, as in the HAR files of browsers.
fn response(exchange: &HttpExchange) -> Value {
    let status = exchange.status;
    let media_type = header(&exchange.reply_headers, "content-type").unwrap_or_default();
    json!({
        "status": status.map_or(0, |status| status.as_u16()),
        "statusText": status.and_then(|status| status.canonical_reason()).unwrap_or_default(),
        "httpVersion": if status.is_some() { HTTP_VERSION } else { "" },
        "cookies": [],
        "headers": headers(&exchange.reply_headers),
        "content": { "size": exchange.received, "mimeType": media_type },
        "redirectURL": header(&exchange.reply_headers, "location").unwrap_or_default(),
        "headersSize": UNKNOWN,
        "bodySize": if status.is_some() { json!(exchange.received) } else { json!(UNKNOWN) },
    })
}

fn headers(headers: &[(String, String)]) -> Value {
    headers.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Returns the phases in milliseconds. HAR's `connect` includes TLS, whose own time is unknown.
fn timings(timings: &Timings) -> Value {
    let ms = |time: Duration| json!(time.as_secs_f64() * 1000.0);
    let known = |time: Option<Duration>| time.map_or(json!(UNKNOWN), ms);
    json!({
        "blocked": UNKNOWN,
        "dns": known(timings.name_resolution),
        "connect": known(timings.connection),
        "ssl": UNKNOWN,
        "send": ms(timings.send),
        "wait": ms(timings.wait),
        "receive": ms(timings.receive),
    })
}

/// Formats a time as in RFC 3339, in UTC with milliseconds.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / DAY, since.as_secs() % DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let ms = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Returns the year, month and day that begin this number of days after 1970-01-01.
fn date(mut days: u64) -> (u64, usize, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// The version of all requests and replies.
const HTTP_VERSION: &str = "HTTP/1.1";
/// HAR's number for an unknown size or time.
const UNKNOWN: i32 = -1;
/// The brackets that close the document.
const CLOSING: &str = "\n]}}\n";
/// 86,400 seconds.
const DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted_in_utc() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (1_735_689_599_001, "2024-12-31T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(ms)), expected);
        }
    }

    #[test]
    fn unknown_phases_are_minus_one() {
        let known = timings(&Timings::default());
        assert_eq!((&known["dns"], &known["connect"]), (&json!(-1), &json!(-1)));
        assert_eq!((&known["blocked"], &known["ssl"]), (&json!(-1), &json!(-1)));
        assert_eq!((&known["send"], &known["receive"]), (&json!(0.0), &json!(0.0)));
    }

    #[test]
    fn the_file_is_a_complete_document_after_each_entry() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.har");
        std::fs::write(&path, "x".repeat(10_000)).unwrap();
        let trace = Trace::create(&path).unwrap();
        for number in 0..3 {
            let text = std::fs::read_to_string(&path).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap();
            let entries = document["log"]["entries"].as_array().unwrap();
            assert_eq!(entries.len(), number);
            trace.end.lock().unwrap().add(&json!({ "number": number })).unwrap();
        }
    }
}
