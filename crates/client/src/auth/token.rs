//! Tokens: the request to the service that makes them, and the reading of its reply.

use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Uri};
use longshore_core::Result;
use serde::Deserialize;
use serde_json::Value;

use super::challenge::Bearer;
use super::scope::Scopes;
use crate::origin::{check_realm, resolve};
use crate::transport::Body;

/// A token, ready for the header, and how long it is good for from its receipt on.
pub(crate) struct Token {
    pub(crate) header: HeaderValue,
    pub(crate) lifetime: Duration,
}

/// The URL of the token service, if it may be given credentials.
///
/// The realm is whatever the registry wrote; it must be https unless the registry is not, hold no
/// user name, and not lead into a private network.
///
/// # Errors
/// A clause that says what is wrong with it.
pub(crate) fn realm(registry: &Uri, bearer: &Bearer) -> Result<Uri, &'static str> {
    let realm = resolve(registry, bearer.realm.as_bytes())?;
    check_realm(registry, &realm)?;
    Ok(realm)
}

/// Asks for a token.
///
/// Source: Docker Registry v2, "Token Authentication Specification".
pub(crate) fn request(
    realm: &Uri,
    service: Option<&str>,
    scopes: &Scopes,
    basic: Option<HeaderValue>,
) -> Option<Request<Body>> {
    let mut url = url::Url::parse(&realm.to_string()).ok()?;
    if service.is_some() || scopes.iter().next().is_some() {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(service.map(|service| ("service", service)));
        query.extend_pairs(scopes.iter().map(|scope| ("scope", scope.to_string())));
    }
    let mut request = Request::get(url.as_str()).body(Body::Empty).ok()?;
    if let Some(basic) = basic {
        request.headers_mut().insert(AUTHORIZATION, basic);
    }
    Some(request)
}

/// Reads the service's reply.
///
/// `token` is taken before `access_token`, where both are there. `issued_at` is not looked at: the
/// lifetime counts from the receipt, whatever the service's clock says.
///
/// # Errors
/// A clause that says what is wrong with it, and quotes nothing.
pub(crate) fn parse(body: &[u8]) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Reply {
        token: Option<String>,
        access_token: Option<String>,
        #[serde(default)]
        expires_in: Value,
    }
    if body.trim_ascii_start().starts_with(b"<") {
        return Err("answered with a web page");
    }
    let reply: Reply = serde_json::from_slice(body).map_err(|_| "answered with no valid JSON")?;
    let stated = reply.token.filter(|token| !token.is_empty()).or(reply.access_token);
    let token = stated.filter(|token| !token.is_empty()).ok_or("answered without a token")?;
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("answered with a token that has spaces or control characters");
    }
    let mut header = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| "answered with a token that no header can hold")?;
    header.set_sensitive(true);
    let seconds = reply.expires_in.as_u64().filter(|seconds| *seconds > 0);
    let lifetime = seconds.map_or(DEFAULT_LIFETIME, Duration::from_secs).min(LONGEST_LIFETIME);
    Ok(Token { header, lifetime })
}

/// 60 s, as the specification has it where nothing is said.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// A day: whatever is said, a token is renewed then.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);
/// 128 KiB: the longest real tokens have a few KiB.
pub(crate) const REPLY_LIMIT: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, u64), &'static str> {
        let token = parse(body.as_bytes())?;
        Ok((token.header.to_str().unwrap().to_owned(), token.lifetime.as_secs()))
    }

    #[test]
    fn tokens_are_read_with_sane_lifetimes() {
        for (body, token, seconds) in [
            (r#"{"token":"t"}"#, "t", 60),
            (r#"{"access_token":"a"}"#, "a", 60),
            (r#"{"token":"t","access_token":"a","expires_in":300}"#, "t", 300),
            (r#"{"token":"","access_token":"a"}"#, "a", 60),
            (r#"{"token":"t","expires_in":0}"#, "t", 60),
            (r#"{"token":"t","expires_in":-5}"#, "t", 60),
            (r#"{"token":"t","expires_in":1e300}"#, "t", 60),
            (r#"{"token":"t","expires_in":"x"}"#, "t", 60),
            (r#"{"token":"t","expires_in":18446744073709551615}"#, "t", 86_400),
            (r#"{"token":"t","issued_at":"2100-01-01T00:00:00Z"}"#, "t", 60),
        ] {
            assert_eq!(read(body).unwrap(), (format!("Bearer {token}"), seconds), "{body}");
        }
    }

    #[test]
    fn what_is_no_token_is_an_error_that_quotes_nothing() {
        for bad in [
            "",
            "{}",
            r#"{"token":null}"#,
            r#"{"token":"s3cret\r\nX: y"}"#,
            r#"{"token":"s3 cret"}"#,
            r#"{"token":"s3cret"} x"#,
            "<html>s3cret",
            &"[".repeat(100_000),
        ] {
            let e = read(bad).unwrap_err();
            assert!(!e.contains("s3"), "{e}");
        }
    }

    #[test]
    fn a_realm_is_held_to_the_rules() {
        let realm_of = |registry: &str, realm_text: &str| {
            let bearer =
                Bearer { realm: realm_text.to_owned(), service: None, scopes: Scopes::default() };
            realm(&registry.parse().unwrap(), &bearer)
        };
        let https = "https://r.example/v2/";
        for (registry, text, good) in [
            (https, "https://auth.example/token", true),
            (https, "http://auth.example/token", false),
            (https, "http://169.254.169.254/", false),
            (https, "https://169.254.169.254/", false),
            (https, "https://[::ffff:127.0.0.1]/", false),
            (https, "https://2852039166/", false),
            (https, "https://10.0.0.1/", false),
            (https, "file:///etc/passwd", false),
            (https, "null://", false),
            (https, "https://u:p@auth.example/", false),
            (https, "", false),
            ("http://127.0.0.1:5000/v2/", "http://127.0.0.1:5001/token", true),
        ] {
            assert_eq!(realm_of(registry, text).is_ok(), good, "{text}");
        }
    }
}
