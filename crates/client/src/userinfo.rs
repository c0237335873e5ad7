//! The user information of URLs.

/// A user or password as it is in a URL, in plain text; `None` where that is no text.
///
/// Source: RFC 3986, sections 2.1 and 3.2.1.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
}
