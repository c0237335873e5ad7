//! HTTP Basic authentication, for the policies that check passwords.
//!
//! Source: RFC 7617.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A name and password sent by a client.
pub(super) struct Offered {
    pub(super) name: String,
    pub(super) password: String,
}

/// Parses the login in a Basic `Authorization` header.
pub(super) fn offered(authorization: Option<&str>) -> Option<Offered> {
    let (scheme, encoded) = authorization?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some(Offered { name: name.to_owned(), password: password.to_owned() })
}

/// Returns the `WWW-Authenticate` value that requests a password.
pub(super) fn challenge() -> String {
    r#"Basic realm="longshore", charset="UTF-8""#.to_owned()
}
