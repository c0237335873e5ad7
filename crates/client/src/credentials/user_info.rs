//! The user information of a URL.

use url::Url;

use super::{Login, Secret};
use crate::userinfo::decode;

/// The user and password in a URL, percent-decoded; `None` if it names no user, or they are not text.
pub(crate) fn user_info(url: &Url) -> Option<Login> {
    if url.username().is_empty() {
        return None;
    }
    let password = decode(url.password().unwrap_or_default())?;
    Some(Login { user: decode(url.username())?, password: Secret::new(password) })
}
