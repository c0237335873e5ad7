//! Tokens, and the parser for replies of token services.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use longshore_core::Result;
use serde::Deserialize;
use serde_json::Value;

use super::scope::{Scope, Scopes};
use crate::credentials::Secret;

/// A token that a token service issued.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Token {
    /// The token itself.
    pub secret: Secret,
    /// The time for which the token is valid, counted from its receipt.
    pub lifetime: Duration,
    /// The access that the token grants, as stated by the service or by the token. `None` if the
    /// access is not stated.
    pub granted: Option<Vec<Scope>>,
    /// The refresh token, if one was requested and issued.
    pub refresh: Option<Secret>,
}

impl Token {
    /// Makes the `Authorization` header. Returns `None` if the token is not valid in a header.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        header(&self.secret)
    }
}

/// Makes the `Authorization` header of a token. Returns `None` if the token is not valid in a
/// header.
pub(crate) fn header(token: &Secret) -> Option<HeaderValue> {
    let text = Secret::new(format!("Bearer {}", token.expose()));
    let mut header = HeaderValue::from_str(text.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns the token or encoded password in an `Authorization` header.
pub(crate) fn from_header(header: &HeaderValue) -> Option<Secret> {
    Some(Secret::new(header.to_str().ok()?.split_once(' ')?.1))
}

/// Parses the reply of a token service.
///
/// `token` takes precedence over `access_token`. `issued_at` is ignored: the lifetime counts from
/// the receipt, so the service's clock does not matter.
///
/// # Errors
/// A clause that says what is wrong, without quoting the reply.
pub(crate) fn parse(body: &[u8]) -> Result<Token, &'static str> {
    #[derive(Deserialize)]
    struct Reply {
        token: Option<String>,
        access_token: Option<String>,
        refresh_token: Option<String>,
        scope: Option<String>,
        #[serde(default)]
        expires_in: Value,
    }
    if body.trim_ascii_start().starts_with(b"<") {
        return Err("answered with a web page");
    }
    let reply: Reply = serde_json::from_slice(body).map_err(|_| "answered with invalid JSON")?;
    let stated = reply.token.filter(|token| !token.is_empty()).or(reply.access_token);
    let token = stated.filter(|token| !token.is_empty()).ok_or("answered without a token")?;
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("answered with a token that has characters other than visible ASCII");
    }
    let seconds = reply.expires_in.as_u64().filter(|seconds| *seconds > 0);
    let lifetime = seconds.map_or(DEFAULT_LIFETIME, Duration::from_secs).min(LONGEST_LIFETIME);
    let stated_scope = reply.scope.filter(|scope| !scope.trim().is_empty());
    let granted = access(&token).or_else(|| Some(Scopes::parse(&stated_scope?).to_vec()));
    let refresh = reply.refresh_token.filter(|refresh| !refresh.is_empty()).map(Secret::new);
    Ok(Token { secret: Secret::new(token), lifetime, granted, refresh })
}

/// Returns the `access` claim of a token, if the token is a JSON Web Token that has one.
///
/// The signature is not verified, because the result is only displayed.
///
/// Source: Docker Registry v2, "Token Authentication Implementation"; RFC 7519.
fn access(token: &str) -> Option<Vec<Scope>> {
    #[derive(Deserialize)]
    struct Claims {
        access: Option<Vec<Access>>,
    }
    #[derive(Deserialize)]
    struct Access {
        #[serde(rename = "type")]
        kind: String,
        name: String,
        actions: Option<Vec<String>>,
    }
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let access = claims.access?.into_iter();
    Some(access.map(|a| Scope::new(a.kind, a.name, a.actions.unwrap_or_default())).collect())
}

/// 60 s: the specification's default.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(60);
/// One day: the longest time for which a token is used.
const LONGEST_LIFETIME: Duration = Duration::from_secs(86_400);
/// 128 KiB: the longest real tokens are a few KiB.
pub(crate) const REPLY_LIMIT: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<(String, u64), &'static str> {
        let token = parse(body.as_bytes())?;
        Ok((token.header().unwrap().to_str().unwrap().to_owned(), token.lifetime.as_secs()))
    }

    #[test]
    fn token_replies_are_parsed_and_their_lifetimes_are_limited() {
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
    fn a_reply_without_a_valid_token_is_an_error_that_does_not_quote_it() {
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
    fn token_replies_from_the_predecessors_tests_are_parsed() {
        // moby-distribution refuses a body that has only `access_token`. ACR sends such bodies.
        for (body, expected) in [
            (r#"{"token":"a"}"#, Some("a")),
            (r#"{"token":"a","access_token":"b"}"#, Some("a")),
            (r#"{"token":"","access_token":"b"}"#, Some("b")),
            (r#"{"token":""}"#, None),
            (r#"{"access_token":"b"}"#, Some("b")),
            (r#"{"token":"a","issued_at":"2009-11-10T23:00:00Z","expires_in":3600}"#, Some("a")),
            (r#"{"test"}"#, None),
            (r#"{"toke": "T"}"#, None),
        ] {
            let expected = expected.map(|token| format!("Bearer {token}"));
            assert_eq!(read(body).ok().map(|read| read.0), expected, "{body}");
        }
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn the_access_claim_of_a_json_web_token_is_read_if_present() {
        let claims = token(
            r#"{"access":[{"type":"repository","name":"a/b","actions":["pull","push"]},
                {"type":"registry","name":"catalog","actions":null}]}"#,
        );
        let claims: Vec<_> = access(&claims).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(claims, ["repository:a/b:pull,push", "registry:catalog:"]);
        assert_eq!(access(&token(r#"{"access":[]}"#)), Some(Vec::new()));
        for without_access in ["opaque", "a.b.c", "..", &token("{}"), &token("[]"), &token("x")] {
            assert_eq!(access(without_access), None, "{without_access}");
        }
    }
}
