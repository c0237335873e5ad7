//! The base of `Location` headers.
//!
//! Owns the rule that determines the address at which clients reach the registry. `registry`
//! prepends this address to the paths that handlers send.

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use longshore_core::{Error, ErrorKind, Result};

/// The form of the registry's locations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locations {
    /// URLs, built from the request.
    FromRequest { trust_proxy: bool },
    /// URLs that start with this URL.
    Under(String),
    /// Paths.
    Relative,
}

impl Locations {
    /// Creates locations that start with this URL, without its trailing slashes.
    pub(crate) fn under(url: &str) -> Result<Self> {
        let url = url.trim_end_matches('/');
        let has_host =
            url.parse().is_ok_and(|uri: http::Uri| uri.scheme().is_some() && uri.host().is_some());
        if has_host && !url.contains('?') {
            return Ok(Self::Under(url.to_owned()));
        }
        let problem = "expected a URL such as https://registry.example";
        Err(Error::new(ErrorKind::Invalid).at(url).detail(problem))
    }

    /// Returns the prefix for a path, or `None` if locations are relative or the request has no
    /// valid host.
    pub(crate) fn base(&self, request: &Parts) -> Option<String> {
        let trust_proxy = match self {
            Self::FromRequest { trust_proxy } => *trust_proxy,
            Self::Under(url) => return Some(url.clone()),
            Self::Relative => return None,
        };
        let forwarded =
            if trust_proxy { Forwarded::of(&request.headers) } else { Forwarded::default() };
        let scheme = request.extensions.get().or(request.uri.scheme());
        let scheme = scheme.filter(|scheme| **scheme == Scheme::HTTPS).map(|_| "https");
        let scheme = forwarded.scheme.or(scheme).unwrap_or("http");
        let own = request.uri.authority().map(Authority::as_str);
        let own = own.or_else(|| request.headers.get(HOST)?.to_str().ok());
        let host = forwarded.host.or(own).filter(|host| is_host(host))?;
        Some(format!("{scheme}://{host}"))
    }
}

/// Returns true if a text is a host with an optional port that can be used in a URL.
pub(crate) fn is_host(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:[]".contains(&b);
    text.bytes().all(allowed) && text.parse().is_ok_and(|host: Authority| !host.host().is_empty())
}

/// The original request's scheme and host, as reported by proxies.
///
/// `Forwarded` takes precedence over the older headers. If a header has several values, the first
/// value is used, which comes from the proxy nearest to the client. `X-Forwarded-Port` is ignored,
/// because it is often the port between two proxies.
///
/// Source: RFC 7239. Docker's registry reads the headers in this order, too.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forwarded<'a> {
    scheme: Option<&'static str>,
    host: Option<&'a str>,
}

impl<'a> Forwarded<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok();
        let (scheme, host) = match text(FORWARDED) {
            Some(forwarded) => {
                let first = until(forwarded, ',');
                (parameter(first, "proto"), parameter(first, "host"))
            }
            None => {
                let first = |name| text(name).map(|value| until(value, ',').trim());
                (first(FORWARDED_PROTO), first(FORWARDED_HOST))
            }
        };
        let scheme = scheme.and_then(|scheme| {
            ["http", "https"].into_iter().find(|known| known.eq_ignore_ascii_case(scheme))
        });
        Self { scheme, host: host.filter(|host| is_host(host)) }
    }
}

/// Returns the value of a parameter in `name=value;name="value"`.
fn parameter<'a>(mut text: &'a str, name: &str) -> Option<&'a str> {
    while !text.is_empty() {
        let pair = until(text, ';');
        text = text[pair.len()..].trim_start_matches(';');
        let (key, value) = pair.split_once('=')?;
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.trim().trim_matches('"'));
        }
    }
    None
}

/// Returns the text before the first separator outside quotes.
fn until(text: &str, separator: char) -> &str {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    &text[..end.unwrap_or(text.len())]
}

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn base(locations: &Locations, scheme: Option<Scheme>, headers: &[(&str, &str)]) -> String {
        let request = headers.iter().fold(Request::get("/v2/"), |r, (k, v)| r.header(*k, *v));
        let mut request = request.body(()).unwrap();
        scheme.map(|scheme| request.extensions_mut().insert(scheme));
        locations.base(&request.into_parts().0).unwrap_or_default()
    }

    #[test]
    fn locations_start_with_the_host_and_scheme_of_the_request() {
        let own = Locations::FromRequest { trust_proxy: false };
        for (scheme, host, expected) in [
            (None, "localhost:5000", "http://localhost:5000"),
            (Some(Scheme::HTTP), "registry.example", "http://registry.example"),
            (Some(Scheme::HTTPS), "[::1]:5000", "https://[::1]:5000"),
            (None, "", ""),
            (None, "user@host", ""),
            (None, "host/path", ""),
            (None, "host\"x", ""),
            (None, "host name", ""),
            (None, ":5000", ""),
        ] {
            assert_eq!(base(&own, scheme, &[("host", host)]), expected, "{host}");
        }
        let forged =
            [("host", "h"), ("forwarded", "host=x;proto=https"), ("x-forwarded-host", "y")];
        assert_eq!(base(&own, None, &forged), "http://h");
        assert_eq!(base(&Locations::Relative, None, &forged), "");
        let under = Locations::under("https://registry.example/sub/").unwrap();
        assert_eq!(base(&under, None, &forged), "https://registry.example/sub");
    }

    #[test]
    fn the_host_in_the_request_target_takes_precedence_over_the_header() {
        let request = Request::get("https://target.example/v2/").header("host", "other");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let own = Locations::FromRequest { trust_proxy: false };
        assert_eq!(own.base(&parts).unwrap(), "https://target.example");
    }

    #[test]
    fn the_headers_of_a_trusted_proxy_set_the_host_and_scheme() {
        let trusting = Locations::FromRequest { trust_proxy: true };
        for (header, value, expected) in [
            ("x-unrelated", "x", "http://h"),
            ("x-forwarded-proto", "https", "https://h"),
            ("x-forwarded-proto", "HTTPS, http", "https://h"),
            ("x-forwarded-proto", "javascript", "http://h"),
            ("x-forwarded-host", "front:444, back", "http://front:444"),
            ("x-forwarded-host", "bad/host", "http://h"),
            ("forwarded", "for=192.0.2.1;proto=https;host=front", "https://front"),
            ("forwarded", "Host=\"front:444\" ; Proto=https, host=back", "https://front:444"),
            ("forwarded", "for=\"a;b,c\";host=front", "http://front"),
            ("forwarded", "nonsense", "http://h"),
            ("forwarded", "", "http://h"),
        ] {
            let headers = [("host", "h"), (header, value)];
            assert_eq!(base(&trusting, None, &headers), expected, "{header}: {value}");
        }
        let both = [("host", "h"), ("x-forwarded-host", "x"), ("forwarded", "proto=https")];
        assert_eq!(base(&trusting, None, &both), "https://h");
    }
}
