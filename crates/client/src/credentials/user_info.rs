//! The user information of a URL.

use url::Url;

use super::{Login, Secret};

/// The user and password in a URL, percent-decoded; `None` if it names no user, or they are not text.
pub(crate) fn user_info(url: &Url) -> Option<Login> {
    if url.username().is_empty() {
        return None;
    }
    let password = decode(url.password().unwrap_or_default())?;
    Some(Login { user: decode(url.username())?, password: Secret::new(password) })
}

/// A user or password as it is in a URL, in plain text; `None` where that is no text.
///
/// Source: RFC 3986, sections 2.1 and 3.2.1.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
}
