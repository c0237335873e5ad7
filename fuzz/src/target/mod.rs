//! The targets, one for each format.

pub mod challenge;
pub mod content_range;
pub mod htpasswd;
pub mod link;
pub mod manifest;
pub mod netrc;
pub mod range;
pub mod reference;
pub mod tar_members;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A target: the parser of one format.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name on the command line.
    pub name: &'static str,
    /// Parses an input, and panics if a property does not hold. Returns true if the input was
    /// accepted.
    pub run: fn(&[u8]) -> bool,
    /// Returns the inputs from which the fuzzer starts.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 9] = [
    Target { name: "challenge", run: challenge::run, seeds: challenge::seeds },
    Target { name: "content_range", run: content_range::run, seeds: content_range::seeds },
    Target { name: "htpasswd", run: htpasswd::run, seeds: htpasswd::seeds },
    Target { name: "link", run: link::run, seeds: link::seeds },
    Target { name: "manifest", run: manifest::run, seeds: manifest::seeds },
    Target { name: "netrc", run: netrc::run, seeds: netrc::seeds },
    Target { name: "range", run: range::run, seeds: range::seeds },
    Target { name: "reference", run: reference::run, seeds: reference::seeds },
    Target { name: "tar_members", run: tar_members::run, seeds: tar_members::seeds },
];

/// Returns a header with each line of the input as a value; `None` if a line is not a valid value.
fn headers(name: &HeaderName, data: &[u8]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in data.split(|b| *b == b'\n') {
        headers.append(name, HeaderValue::from_bytes(line).ok()?);
    }
    Some(headers)
}

/// Returns the text in double quotes, with backslashes where needed.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
