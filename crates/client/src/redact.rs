//! Removes secrets from URLs and headers for errors, logs and observers. This is the only place that
//! decides which parts of a request's URL and which headers are shown.

use http::header::{HeaderMap, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Uri};

/// Returns the URL without user information. Hides the values of query parameters, except for
/// harmless parameters. The values may be signatures of storage services or upload state.
pub(crate) fn redacted(uri: &Uri) -> String {
    let mut shown = String::new();
    if let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) {
        shown = format!("{scheme}://{host}");
        if let Some(port) = uri.port_u16() {
            shown = format!("{shown}:{port}");
        }
    }
    shown.push_str(uri.path());
    for (i, pair) in uri.query().into_iter().flat_map(|q| q.split('&')).enumerate() {
        shown.push(if i == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            // Some servers also separate parameters with semicolons.
            Some((key, value)) if !HARMLESS.contains(&key) || value.contains(';') => {
                shown.push_str(key);
                shown.push_str("=…");
            }
            Some(_) => shown.push_str(pair),
            // A parameter without `=` may be a secret.
            None if !pair.is_empty() => shown.push('…'),
            None => {}
        }
    }
    shown
}

/// Returns the headers in their order. Hides the values of all headers that are not known to be
/// harmless, because callers and registries use headers of their own for keys.
pub(crate) fn redacted_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = |value: &HeaderValue, show: fn(&str) -> Option<String>| {
        value.to_str().ok().and_then(show).unwrap_or_else(|| "…".to_owned())
    };
    let headers = headers.iter().map(|(name, value)| {
        let value = match name {
            name if *name == LOCATION => shown(value, location),
            name if *name == WWW_AUTHENTICATE => shown(value, challenge),
            name if is_harmless(name.as_str()) => shown(value, |text| Some(text.to_owned())),
            _ => "…".to_owned(),
        };
        (name.to_string(), value)
    });
    headers.collect()
}

fn is_harmless(header: &str) -> bool {
    HARMLESS_PREFIXES.iter().any(|prefix| header.starts_with(prefix))
        || HARMLESS_HEADERS.contains(&header)
}

/// Returns a URL, or the path of a relative one, without secrets.
fn location(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    // `//user:password@host` is parsed as a path.
    let is_path = text.starts_with('/') && !text.starts_with("//") && !text.starts_with("/\\");
    (uri.scheme().is_some() || is_path).then(|| redacted(&uri))
}

/// Returns a challenge with its realm, service, scope and error. Hides all other parameters, and
/// the whole challenge if its scheme is neither Basic nor Bearer.
fn challenge(text: &str) -> Option<String> {
    let scheme = text.split(' ').next().unwrap_or_default();
    let is_known = ["Basic", "Bearer"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let parts: Vec<_> = text.split('"').collect();
    // The text outside quotes consists of names. A value without quotes may be a secret.
    let is_name = |text: &&str| {
        text.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | ',' | '_' | '='))
            && !text.trim_end_matches('=').contains('=')
    };
    if !is_known || parts.len() % 2 == 0 || !parts.iter().step_by(2).all(is_name) {
        return None;
    }
    let pairs = parts.chunks(2).map(|pair| match pair {
        [name, value] if name.ends_with("realm=") => {
            format!("{name}\"{}\"", location(value).unwrap_or_else(|| "…".to_owned()))
        }
        [name, value] if ["service=", "scope=", "error="].iter().any(|n| name.ends_with(n)) => {
            format!("{name}\"{value}\"")
        }
        [name, _] => format!("{name}\"…\""),
        rest => rest.concat(),
    });
    Some(pairs.collect())
}

/// Parameters of the registry protocols that only describe the requested item. Names of
/// repositories and tags, as in `last`, are no secrets: the paths of requests show them too.
const HARMLESS: [&str; 8] =
    ["artifactType", "digest", "from", "last", "mount", "n", "scope", "service"];

/// Headers of HTTP and of the registry protocols that hold no secret.
const HARMLESS_HEADERS: [&str; 31] = [
    "accept",
    "accept-encoding",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "docker-content-digest",
    "docker-distribution-api-version",
    "etag",
    "expires",
    "host",
    "if-match",
    "if-none-match",
    "last-modified",
    "oci-chunk-max-length",
    "oci-chunk-min-length",
    "oci-filters-applied",
    "oci-subject",
    "oci-tag",
    "range",
    "retry-after",
    "server",
    "transfer-encoding",
    "user-agent",
    "vary",
];

/// Prefixes of such headers.
const HARMLESS_PREFIXES: [&str; 2] = ["ratelimit-", "x-ratelimit-"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_header_values_are_shown() {
        for (name, value, expected) in [
            ("accept", "application/json", "application/json"),
            ("ratelimit-remaining", "99;w=21600", "99;w=21600"),
            ("authorization", "Bearer s3cret", "…"),
            ("cookie", "session=s3cret", "…"),
            ("set-cookie", "session=s3cret", "…"),
            ("proxy-authorization", "Basic s3cret", "…"),
            ("x-jfrog-art-api", "s3cret", "…"),
            ("link", "</v2/a/tags/list?token=s3cret>; rel=\"next\"", "…"),
            ("location", "https://u:s3cret@s.example/x?sig=s3cret", "https://s.example/x?sig=…"),
            ("location", "/v2/a?_state=s3cret&digest=d", "/v2/a?_state=…&digest=d"),
            ("location", "/v2/a?n=1;sig=s3cret", "/v2/a?n=…"),
            ("location", "//u:s3cret@s.example/x", "…"),
            ("location", "no url: s3cret", "…"),
            (
                "www-authenticate",
                "Bearer realm=\"https://t.example/token?key=s3cret\",service=\"r\",scope=\"a:b:c\"",
                "Bearer realm=\"https://t.example/token?key=…\",service=\"r\",scope=\"a:b:c\"",
            ),
            (
                "www-authenticate",
                "Bearer error=\"invalid_token\",error_description=\"s3cret\"",
                "Bearer error=\"invalid_token\",error_description=\"…\"",
            ),
            ("www-authenticate", "Basic realm=\"r\", Bearer x=s3cret", "…"),
            ("www-authenticate", "Negotiate s3cret", "…"),
        ] {
            let name: http::HeaderName = name.parse().unwrap();
            let headers = HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
            let expected = [(name.to_string(), expected.to_owned())];
            assert_eq!(redacted_headers(&headers), expected, "{name}: {value}");
        }
    }

    #[test]
    fn only_harmless_query_values_are_shown() {
        let uri: Uri = "https://r.example:5000/v2/a?n=2&X-Amz-Signature=s3cret&_state=x&digest=d"
            .parse()
            .unwrap();
        assert_eq!(
            redacted(&uri),
            "https://r.example:5000/v2/a?n=2&X-Amz-Signature=…&_state=…&digest=d"
        );
        let uri: Uri = "https://r.example/x?s3cret&&n=1".parse().unwrap();
        assert_eq!(redacted(&uri), "https://r.example/x?…&&n=1");
        let uri: Uri = "https://user:s3cret@r.example/x".parse().unwrap();
        assert_eq!(redacted(&uri), "https://r.example/x");
    }
}
