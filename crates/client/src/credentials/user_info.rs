//! The user information of a URL.

use url::Url;

use super::{Login, Secret};

/// Returns the percent-decoded user and password in a URL. Returns `None` if there is no user, or
/// if the user or password is not UTF-8.
pub(crate) fn user_info(url: &Url) -> Option<Login> {
    if url.username().is_empty() {
        return None;
    }
    let password = decode(url.password().unwrap_or_default())?;
    Some(Login { user: decode(url.username())?, password: Secret::new(password) })
}

/// Percent-decodes a user or password from a URL. Returns `None` if the result is not UTF-8.
///
/// Source: RFC 3986, sections 2.1 and 3.2.1.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(String::from)
}
