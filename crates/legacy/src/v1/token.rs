//! Tokens that an index issues for one repository, and the registries that may receive them.

use longshore::RegistryName;
use longshore::http::{HeaderMap, HeaderValue};

/// The purpose of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read tags, images and layers.
    Read,
    /// Write tags, images and layers. The repository is created if it does not exist.
    Write,
}

/// The choice among the endpoints that an index names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Endpoints {
    /// The first endpoint on the index's own host or a subdomain of it. Without such an endpoint,
    /// the index is used as the registry.
    #[default]
    SameSite,
    /// The first endpoint, on any host. The index then decides where the token is sent.
    Any,
}

/// Returns the `Authorization` value for the token in a reply. Older indexes send the token in a
/// challenge.
///
/// Source: Docker Registry and Index API v1, "Token".
pub(super) fn authorization(headers: &HeaderMap) -> Option<HeaderValue> {
    let texts = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.map(|text| text.strip_prefix("Token ").unwrap_or(text).trim().to_owned()).collect()
    };
    let mut tokens = texts("x-docker-token");
    tokens.retain(|token| !token.is_empty());
    if tokens.is_empty() {
        let challenges = headers.get_all("www-authenticate").iter();
        let mut challenges = challenges.filter_map(|value| value.to_str().ok());
        tokens.push(challenges.find_map(|text| text.strip_prefix("Token "))?.trim().to_owned());
    }
    let mut value = HeaderValue::try_from(format!("Token {}", tokens.join(","))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Returns the endpoint to use from a reply, or `None` for the index itself.
pub(super) fn endpoint(
    headers: &HeaderMap,
    index: &RegistryName,
    endpoints: Endpoints,
) -> Option<RegistryName> {
    let named = headers.get_all("x-docker-endpoints").iter();
    let named = named.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut named = named.filter_map(|text| RegistryName::parse(text.trim()).ok());
    match endpoints {
        Endpoints::SameSite => named.find(|endpoint| is_same_site(index, endpoint)),
        Endpoints::Any => named.next(),
    }
}

/// Returns true if an endpoint is on the host of the index or a subdomain of it.
fn is_same_site(index: &RegistryName, endpoint: &RegistryName) -> bool {
    let (index, endpoint) = (index.host(), endpoint.host());
    let is_name = index.contains(|c: char| c.is_ascii_alphabetic()) && !index.starts_with('[');
    let below = endpoint.strip_suffix(index).is_some_and(|rest| rest.ends_with('.'));
    index == endpoint || (is_name && index.contains('.') && below)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_is_read_from_the_token_header_or_from_a_challenge() {
        let token = r#"signature=123abc,repository="a/b",access=read"#;
        for (lines, expected) in [
            (vec![("x-docker-token", r#"signature=123abc,repository="a/b",access=read"#)], token),
            (
                vec![("x-docker-token", r#"Token signature=123abc,repository="a/b",access=read"#)],
                token,
            ),
            (
                vec![(
                    "www-authenticate",
                    r#"Token signature=123abc,repository="a/b",access=read"#,
                )],
                token,
            ),
            (vec![("x-docker-token", "a"), ("x-docker-token", "b")], "a,b"),
        ] {
            let value = authorization(&headers(&lines)).unwrap();
            assert_eq!(value.to_str().unwrap(), format!("Token {expected}"));
            assert!(value.is_sensitive());
        }
        for lines in [vec![], vec![("x-docker-token", "")], vec![("www-authenticate", "Basic x")]] {
            assert_eq!(authorization(&headers(&lines)), None);
        }
    }

    #[test]
    fn by_default_only_endpoints_on_the_site_of_the_index_are_used() {
        for (index, named, same, any) in [
            ("i.example", "i.example", Some("i.example"), Some("i.example")),
            ("i.example:1", "i.example:2", Some("i.example:2"), Some("i.example:2")),
            ("i.example", "r.i.example", Some("r.i.example"), Some("r.i.example")),
            ("i.example", "evil-i.example", None, Some("evil-i.example")),
            ("i.example", "example", None, Some("example")),
            ("i.example", "x.example \t,  r.i.example", Some("r.i.example"), Some("x.example")),
            ("127.0.0.1:1", "127.0.0.1:2", Some("127.0.0.1:2"), Some("127.0.0.1:2")),
            ("0.0.1", "127.0.0.1", None, Some("127.0.0.1")),
            ("localhost:1", "evil.localhost", None, Some("evil.localhost")),
            ("i.example", "", None, None),
            ("i.example", "http://x/", None, None),
        ] {
            let headers = headers(&[("x-docker-endpoints", named)]);
            let index = index.parse().unwrap();
            for (endpoints, expected) in [(Endpoints::SameSite, same), (Endpoints::Any, any)] {
                let found = endpoint(&headers, &index, endpoints);
                assert_eq!(found.as_ref().map(RegistryName::as_str), expected, "{named}");
            }
        }
    }
}
