//! Reads replies. This is the only place that maps a status and body to an [`Error`].

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Response, StatusCode, Uri};
use longshore_core::{Digest, Error, ErrorCode, ErrorKind, EscapedText, RegistryError, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::coding::Coding;
use crate::credentials::Secret;
use crate::origin::{Origin, check_hop, resolve};
use crate::redact::redacted;
use crate::transport::failure::PROXY_LOGIN_HINT;
use crate::transport::redirect::FinalUri;
use crate::transport::retry_after::requested_wait;
use crate::transport::{Body, Repeated, header, protocol_error};

/// The identity that a request used, stored with its reply for errors.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The identity, as a clause.
    pub(crate) description: String,
    /// Secrets that errors must not show, in case the server echoes them.
    pub(crate) secrets: Secrets,
}

/// Secrets that are supplied on demand, because most replies have no text that could contain a
/// secret.
#[derive(Clone)]
pub(crate) struct Secrets(Arc<dyn Fn() -> Vec<Secret> + Send + Sync>);

impl Secrets {
    pub(crate) fn new(supply: impl Fn() -> Vec<Secret> + Send + Sync + 'static) -> Self {
        Self(Arc::new(supply))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// The head of a reply; the body is read later.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The URL of the reply, after redirects.
    pub(crate) uri: Uri,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// True if the server may have processed the same request before.
    pub(crate) is_repeated: bool,
    identity: Option<Identity>,
}

impl Reply {
    /// Creates the reply to a request for `uri`.
    pub(crate) fn new(response: Response<Body>, uri: &Uri) -> Self {
        let (mut head, body) = response.into_parts();
        let uri = head.extensions.remove::<FinalUri>().map_or_else(|| uri.clone(), |f| f.0);
        let identity = head.extensions.remove::<Identity>();
        let is_repeated = head.extensions.remove::<Repeated>().is_some();
        Self { uri, status: head.status, headers: head.headers, body, is_repeated, identity }
    }

    /// Returns the value of a header, if it occurs once and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Returns the digest that the registry states for sent or stored content, if it is valid.
    pub(crate) fn stated_digest(&self) -> Option<Digest> {
        self.header(DOCKER_CONTENT_DIGEST)?.parse().ok()
    }

    /// Returns true if the status is one of these.
    pub(crate) fn is(&self, statuses: &[u16]) -> bool {
        statuses.contains(&self.status.as_u16())
    }

    /// Returns the content coding of the body, although no request permits one.
    pub(crate) fn coding(&self) -> Coding {
        Coding::of(&self.headers)
    }

    /// Reads the document in the body, of at most `limit` bytes, and decodes it.
    pub(crate) async fn document(&mut self, limit: usize) -> Result<Bytes> {
        let body = std::mem::take(&mut self.body).into_stream();
        self.coding().document(body, limit).await
    }

    /// Returns the reply if its status is one of these. An unexpected success is an error too.
    pub(crate) async fn expect(self, statuses: &[u16]) -> Result<Self> {
        if self.is(statuses) {
            return Ok(self);
        }
        Err(self.into_error().await)
    }

    /// Resolves the `Location` header, and applies the rule for hops to it.
    pub(crate) fn location(&self) -> Result<Uri> {
        let refused = |clause: &str| protocol_error(&self.uri, format!("the Location {clause}"));
        let location = self.headers.get(http::header::LOCATION);
        let location = location.ok_or_else(|| refused("is missing"))?;
        let uri = resolve(&self.uri, location.as_bytes()).map_err(refused)?;
        check_hop(&self.uri, &uri).map_err(refused)?;
        Ok(uri)
    }

    /// Returns the URL of the next page of a listing. `requested` is the URL of this page.
    ///
    /// Only the query of the link is used, because the path may be wrong behind a proxy that does
    /// not rewrite links (Nexus).
    pub(crate) fn next_page(&self, requested: &Uri) -> Result<Option<Uri>> {
        let refused = |clause: &str| protocol_error(requested, format!("the Link {clause}"));
        let Some(target) = crate::link::next(&self.headers).map_err(refused)? else {
            return Ok(None);
        };
        let next = resolve(requested, target.as_bytes()).map_err(refused)?;
        if Origin::of(&next) != Origin::of(requested) {
            return Err(refused("leads to another host"));
        }
        let last = |uri: &Uri| uri.path().rsplit('/').next().map(str::to_owned);
        if last(&next) != last(requested) {
            return Err(refused("leads to another listing"));
        }
        let path_and_query = format!("{}?{}", requested.path(), next.query().unwrap_or_default());
        let mut parts = requested.clone().into_parts();
        parts.path_and_query = path_and_query.parse().ok();
        Uri::from_parts(parts).map(Some).map_err(|_| refused("is not a URL"))
    }

    /// Describes a reply for errors about an unusable body: its URL, status, type and first
    /// characters.
    pub(crate) fn shown(&self, body: &[u8]) -> Error {
        let media_type = self.header(CONTENT_TYPE.as_str()).unwrap_or("no type");
        let detail = format!("a reply of {media_type} that starts with {}", start_of(body));
        protocol_error(&self.uri, detail).with_status(self.status.as_u16())
    }

    /// Converts the reply to its error.
    pub(crate) async fn into_error(self) -> Error {
        let coding = self.coding();
        let mut text = Vec::new();
        let mut stream = coding.decode(self.body.into_stream());
        while let Some(Ok(chunk)) = futures_util::StreamExt::next(&mut stream).await {
            text.extend_from_slice(&chunk[..chunk.len().min(ERROR_LIMIT - text.len())]);
            if text.len() >= ERROR_LIMIT {
                break;
            }
        }
        drop(stream);
        if !coding.shows(&text) {
            text.clear();
        }
        let identity = self.identity.as_ref().filter(|_| !text.is_empty());
        if let Some(Identity { secrets: Secrets(supply), .. }) = identity {
            text = without(&text, &supply()).into_bytes();
        }
        let who = self.identity.as_ref().map(|identity| identity.description.as_str());
        error(self.status, &self.headers, &text, who).with_url(redacted(&self.uri))
    }
}

/// Returns a text with all secrets removed, including those escaped for JSON.
fn without(text: &[u8], secrets: &[Secret]) -> String {
    let mut secrets: Vec<_> = secrets.iter().map(Secret::expose).collect();
    secrets.retain(|secret| secret.len() >= SHORTEST_SECRET);
    // Longer secrets are removed first. If a shorter secret is part of a longer one, removing the
    // shorter one first would leave the rest readable.
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    let mut shown = String::from_utf8_lossy(text).into_owned();
    for secret in secrets {
        let escaped = Value::from(secret).to_string();
        shown = shown.replace(secret, "…").replace(escaped.trim_matches('"'), "…");
    }
    shown
}

/// Parses the JSON document of a 200 reply. The body must not contain a secret, because an error
/// quotes its start.
///
/// # Errors
/// [`Protocol`](ErrorKind::Protocol) if the body is not the expected JSON, with a hint if it is a
/// web page.
pub(crate) fn json<'a, T: Deserialize<'a>>(uri: &Uri, body: &'a [u8]) -> Result<T> {
    refuse_web_page(uri, body)?;
    serde_json::from_slice(body).map_err(|e| {
        let clause =
            format!("the reply is not the expected JSON; it starts with {}", start_of(body));
        protocol_error(uri, clause).with_status(200).with_source(e)
    })
}

/// Checks that a body is not a web page, such as the page of a proxy or a login.
///
/// # Errors
/// [`Protocol`](ErrorKind::Protocol) with a hint, if the body is a web page.
pub(crate) fn refuse_web_page(uri: &Uri, body: &[u8]) -> Result<()> {
    match is_web_page(body) {
        true => Err(protocol_error(uri, "expected JSON, got a web page".to_owned())
            .with_hint(WEB_PAGE_HINT)),
        false => Ok(()),
    }
}

/// Maps a status, headers and the start of a body to an error. The error does not name the
/// requested item, which is unknown here.
///
/// Source: distribution-spec v1.1.1, "Error Codes".
fn error(status: StatusCode, headers: &HeaderMap, body: &[u8], identity: Option<&str>) -> Error {
    let errors = registry_errors(body);
    let mut error = Error::new(kind(status, &errors)).with_status(status.as_u16());
    // Several clauses can apply, such as the text of a 403 and the identity.
    let mut clauses = Vec::new();
    let page = header(headers, CONTENT_TYPE.as_str()).is_some_and(|t| t.contains("text/html"));
    if page || is_web_page(body) {
        clauses.push("answered with a web page".to_owned());
        error = error.with_hint(page_hint(status, body));
    } else if status.is_success() {
        clauses.push("unexpected success response".to_owned());
    } else if errors.is_empty() && !body.trim_ascii().is_empty() {
        let text = String::from_utf8_lossy(body).trim().to_owned();
        let shown = EscapedText(&text).at_most(TEXT_SHOWN).to_string();
        if shown.contains("HTTP request to an HTTPS server") {
            error = error.with_hint("The server requires TLS: use --scheme https.");
        }
        clauses.push(shown);
    }
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        error = error.with_hint(PROXY_LOGIN_HINT);
    }
    if let (401 | 403, Some(identity)) = (status.as_u16(), identity) {
        clauses.push(format!("requested as {identity}"));
        error = error.with_hint(LOGIN_HINT);
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        && let Some(wait) = requested_wait(headers)
    {
        clauses.push(format!("the registry requests a wait of {} seconds", wait.as_secs()));
        error = error.with_retry_after(wait);
    }
    if !clauses.is_empty() {
        error = error.detail(clauses.join("; "));
    }
    error.with_registry_errors(errors)
}

/// Returns the hint for a web page: proxies answer some failures with a page.
fn page_hint(status: StatusCode, body: &[u8]) -> &'static str {
    match status.as_u16() {
        400 if contains(body, b"SSL certificate") => {
            "The server requires a client certificate: use --client-cert."
        }
        413 => "The registry, or a proxy in front of it, limits the size of requests.",
        _ => WEB_PAGE_HINT,
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    body.windows(text.len()).any(|window| window == text)
}

fn kind(status: StatusCode, errors: &[RegistryError]) -> ErrorKind {
    let says = |code: ErrorCode| errors.iter().any(|e| e.code == code);
    match status.as_u16() {
        400 | 422 if says(ErrorCode::UNSUPPORTED) => ErrorKind::Unsupported,
        400 | 422 if says(ErrorCode::DIGEST_INVALID) => ErrorKind::DigestMismatch,
        400 | 422 if says(ErrorCode::MANIFEST_UNVERIFIED) => ErrorKind::Unverified,
        400 | 422 if says(ErrorCode::SIZE_INVALID) => ErrorKind::SizeMismatch,
        401 | 407 => ErrorKind::Unauthorized,
        402 | 403 | 451 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        405 | 406 | 411 | 415 | 501 => ErrorKind::Unsupported,
        408 => ErrorKind::Timeout,
        409 | 412 | 423 => ErrorKind::Conflict,
        413 | 431 => ErrorKind::TooLarge,
        429 => ErrorKind::RateLimited,
        400..=499 => ErrorKind::Invalid,
        // The registry, or a server in front of it, exists but does not work.
        500..=599 => ErrorKind::Transport,
        _ => ErrorKind::Protocol,
    }
}

/// Returns the errors in a body of the format that the specification defines. Returns none for any
/// other body.
fn registry_errors(body: &[u8]) -> Vec<RegistryError> {
    let Ok(document) = serde_json::from_slice::<Value>(body) else { return Vec::new() };
    let entries = document.get("errors").and_then(Value::as_array);
    let text = |entry: &Value, field: &str| {
        entry.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let read = |entry: &Value| RegistryError {
        code: ErrorCode::new(text(entry, "code")),
        message: text(entry, "message"),
        detail: cut(entry.get("detail")),
    };
    entries.into_iter().flatten().take(ENTRY_LIMIT).map(read).collect()
}

/// Returns a detail, or the start of its text if it is long.
fn cut(detail: Option<&Value>) -> Value {
    let Some(detail) = detail else { return Value::Null };
    let text = detail.to_string();
    match text.char_indices().nth(TEXT_SHOWN) {
        Some((end, _)) => Value::String(format!("{}…", &text[..end])),
        None => detail.clone(),
    }
}

/// Returns the start of a body, quoted.
fn start_of(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT * 4)]);
    format!("\"{}\"", EscapedText(&text).at_most(EXCERPT))
}

fn is_web_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";

/// 4 bytes: shorter secrets also occur in ordinary words.
const SHORTEST_SECRET: usize = 4;

const LOGIN_HINT: &str = "`longshore login` stores credentials, and `longshore auth explain` shows \
    which were used.";

const WEB_PAGE_HINT: &str =
    "Check the address: a proxy, a login page or another service answered instead of a registry.";

/// 60 characters: the excerpt shown of an unusable body.
const EXCERPT: usize = 60;
/// 64 KiB: the part of an error's body that is read.
const ERROR_LIMIT: usize = 64 << 10;
/// 256 characters: the part of a text or detail that is kept.
const TEXT_SHOWN: usize = 256;
/// 16: further errors of a document add no information.
const ENTRY_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn of(status: u16, body: &str) -> Error {
        let status = StatusCode::from_u16(status).unwrap();
        error(status, &HeaderMap::new(), body.as_bytes(), Some("anonymous"))
    }

    #[test]
    fn a_secret_that_contains_another_is_removed_completely() {
        let secrets = ["pass", "pass\"word", "it", "words"].map(Secret::new);
        for (text, expected) in [
            ("it is pass\"word", "it is …"),
            (r#"{"said":"pass\"word"}"#, r#"{"said":"…"}"#),
            ("pass", "…"),
        ] {
            assert_eq!(without(text.as_bytes(), &secrets), expected);
        }
    }

    #[tokio::test]
    async fn secrets_are_collected_only_if_there_is_a_body() {
        let uri = "https://r.example/v2/".parse().unwrap();
        let error = async |body: Body, calls: &Arc<AtomicU32>| {
            let mut reply = Response::new(body);
            *reply.status_mut() = StatusCode::FORBIDDEN;
            let counter = Arc::clone(calls);
            let secrets = Secrets::new(move || {
                counter.fetch_add(1, Ordering::Relaxed);
                vec![Secret::new("s3cret")]
            });
            reply.extensions_mut().insert(Identity { description: "me".to_owned(), secrets });
            Reply::new(reply, &uri).into_error().await.to_string()
        };
        let calls = Arc::new(AtomicU32::new(0));
        assert_eq!(error(Body::Empty, &calls).await, "denied: requested as me (HTTP 403)");
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        let body = Body::Bytes(Bytes::from_static(b"not with s3cret"));
        assert_eq!(error(body, &calls).await, "denied: not with …; requested as me (HTTP 403)");
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn each_status_maps_to_an_error_kind() {
        for (status, kind) in [
            (200, ErrorKind::Protocol),
            (400, ErrorKind::Invalid),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Denied),
            (404, ErrorKind::NotFound),
            (405, ErrorKind::Unsupported),
            (412, ErrorKind::Conflict),
            (413, ErrorKind::TooLarge),
            (416, ErrorKind::Invalid),
            (429, ErrorKind::RateLimited),
            (500, ErrorKind::Transport),
            (503, ErrorKind::Transport),
        ] {
            assert_eq!(of(status, "").kind(), kind, "{status}");
        }
    }

    #[test]
    fn errors_keep_the_registrys_codes_and_messages() {
        let e = of(
            404,
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"gone"},{"code":"QUOTA"}]}"#,
        );
        assert_eq!(e.to_string(), "not found: MANIFEST_UNKNOWN: gone (and 1 more) (HTTP 404)");
        assert!(e.has_code(&ErrorCode::new("QUOTA")));
        let e = of(400, r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
        let e = of(401, r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#);
        assert_eq!(e.to_string(), "unauthorized: requested as anonymous: UNAUTHORIZED (HTTP 401)");
        let e = of(403, "your network is blocked");
        assert_eq!(
            e.to_string(),
            "denied: your network is blocked; requested as anonymous (HTTP 403)"
        );
    }

    #[test]
    fn any_body_results_in_a_bounded_error_without_control_characters() {
        let many = format!(r#"{{"errors":[{}{{"code":"B"}}]}}"#, r#"{"code":"A"},"#.repeat(9_999));
        let deep = format!(r#"{{"errors":[{{"code":"A","detail":"{}"}}]}}"#, "x".repeat(1 << 20));
        for (body, expected) in [
            ("", "invalid (HTTP 400)"),
            (r#"{"errors":[]}"#, r#"invalid: {"errors":[]} (HTTP 400)"#),
            (r#"{"errors":null}"#, r#"invalid: {"errors":null} (HTTP 400)"#),
            (r#"{"errors":"x"}"#, r#"invalid: {"errors":"x"} (HTTP 400)"#),
            ("plain \x1b[2J", "invalid: plain \\u{1b}[2J (HTTP 400)"),
            ("<html>", "invalid: answered with a web page (HTTP 400)"),
            (&many, "invalid: A (and 15 more) (HTTP 400)"),
            (&deep, "invalid: A (HTTP 400)"),
        ] {
            let e = of(400, body);
            assert_eq!(e.to_string(), expected);
            assert!(format!("{e:?}").len() < 4096);
        }
        assert!(of(404, "<!DOCTYPE html>").hint().unwrap().contains("proxy"));
        assert!(of(500, &"x".repeat(1000)).to_string().contains("744 bytes more"));
    }

    #[test]
    fn secrets_are_removed_from_error_texts() {
        let secrets = [Secret::new("a \"b\" c d")];
        for (text, expected) in [
            (&b"Basic a \"b\" c d"[..], "Basic \u{2026}"),
            (br#"{"x":"a \"b\" c d"}"#, "{\"x\":\"\u{2026}\"}"),
            (b"\xff a \"b\" c d", "\u{fffd} \u{2026}"),
            (b"a \"b\" c d \xc3", "\u{2026} \u{fffd}"),
        ] {
            assert_eq!(without(text, &secrets), expected);
        }
    }

    #[test]
    fn an_error_states_a_requested_wait() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", 86_400.into());
        for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE] {
            let e = error(status, &headers, b"", None);
            assert_eq!(e.retry_after().unwrap().as_secs(), 86_400);
            assert!(e.to_string().contains("86400 seconds"), "{e}");
        }
    }

    #[test]
    fn a_next_page_must_belong_to_the_same_listing() {
        let requested: Uri = "https://r.example/v2/a/tags/list?n=2".parse().unwrap();
        let next = |link: &str| {
            let mut reply = Reply::new(Response::new(Body::Empty), &requested);
            reply.headers.insert("link", link.parse().unwrap());
            reply.next_page(&requested).map(|uri| uri.unwrap().to_string())
        };
        for (link, expected) in [
            (
                "</v2/a/tags/list?last=b&n=2>; rel=next",
                "https://r.example/v2/a/tags/list?last=b&n=2",
            ),
            ("<?last=b>; rel=next", "https://r.example/v2/a/tags/list?last=b"),
            (
                "</repository/x/v2/a/tags/list?last=b>; rel=next",
                "https://r.example/v2/a/tags/list?last=b",
            ),
            (
                "<http://r.example/v2/a/tags/list?last=b>; rel=next",
                "https://r.example/v2/a/tags/list?last=b",
            ),
        ] {
            assert_eq!(next(link).unwrap(), expected);
        }
        for bad in [
            "<https://evil.example/v2/a/tags/list?last=b>; rel=next",
            "<https://r.example:444/v2/a/tags/list?last=b>; rel=next",
            "</v2/a/other?last=b>; rel=next",
            "</v2/a/tags/list; rel=next",
        ] {
            assert_eq!(next(bad).unwrap_err().kind(), ErrorKind::Protocol, "{bad}");
        }
    }
}
