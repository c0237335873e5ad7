//! Builds token requests, and checks the URLs of token services.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri};
use longshore_core::{RegistryName, Result};

use super::challenge::Bearer;
use super::scope::Scopes;
use crate::credentials::{CredentialKind, Login};
use crate::origin::{check_realm, resolve};
use crate::transport::Body;
use crate::transport::redirect::KeepOrigin;

/// The parameters of a token request.
#[derive(Clone, Copy)]
pub(crate) struct TokenParameters<'a> {
    pub(crate) realm: &'a Uri,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: &'a Scopes,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) offline: bool,
}

/// The flow of a token request: a GET, or an OAuth2 POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// GET, anonymous or with the credentials in the `Authorization` header.
    Get,
    /// OAuth2 POST with a refresh token.
    Refresh,
    /// OAuth2 POST with a user name and password.
    Password,
}

impl Flow {
    /// Returns the flows to try for a kind of credential, in order. Each flow is for services that
    /// do not support the flow before it.
    pub(crate) fn all(kind: CredentialKind, offline: bool) -> &'static [Self] {
        match kind {
            CredentialKind::IdentityToken => &[Self::Refresh, Self::Get],
            // Not all services issue refresh tokens in reply to a GET.
            CredentialKind::Login if offline => &[Self::Password, Self::Get],
            CredentialKind::Login => &[Self::Get, Self::Password],
            _ => &[Self::Get],
        }
    }

    /// Returns true if this status means that the service does not support the flow.
    ///
    /// Google's token service answers a POST with 404 (2017).
    pub(crate) fn is_unknown(self, status: u16) -> bool {
        match self {
            Self::Get => status == 405,
            Self::Refresh | Self::Password => matches!(status, 404 | 405),
        }
    }
}

/// Parses the URL of the token service, and checks that the service may receive credentials.
///
/// The registry chooses the realm freely. The realm must use https if the registry does. It must
/// not contain a user name, or lead from a public registry into a private network.
///
/// # Errors
/// A clause that says what is wrong with the realm.
pub(crate) fn realm(registry: &Uri, bearer: &Bearer) -> Result<Uri, &'static str> {
    let realm = resolve(registry, bearer.realm.as_bytes())?;
    check_realm(registry, &realm)?;
    Ok(realm)
}

/// Returns the URL of the token service with `host` as its host, and with https if the registry
/// uses https. The host is not restricted, because the caller configured it.
///
/// # Errors
/// A clause that says what is wrong with the realm.
pub(crate) fn realm_at(
    registry: &Uri,
    bearer: &Bearer,
    host: &RegistryName,
) -> Result<Uri, &'static str> {
    let realm = resolve(registry, bearer.realm.as_bytes())?;
    let mut parts = realm.into_parts();
    if registry.scheme_str() == Some("https") {
        parts.scheme = Some(Scheme::HTTPS);
    }
    parts.authority =
        Some(host.as_str().parse().map_err(|_| "cannot be changed to the configured host")?);
    Uri::from_parts(parts).map_err(|_| "is not a URL")
}

/// Builds a token request with GET.
///
/// Source: Docker Registry v2, "Token Authentication Specification".
pub(crate) fn get(
    parameters: TokenParameters<'_>,
    authorization: Option<HeaderValue>,
) -> Option<Request<Body>> {
    let TokenParameters { realm, service, scopes, client_id, offline } = parameters;
    let mut url = url::Url::parse(&realm.to_string()).ok()?;
    let scopes = scopes.iter().map(|scope| ("scope", scope.to_string()));
    let service = service.map(|service| ("service", service.to_owned()));
    let client_id = client_id.map(|id| ("client_id", id.to_owned()));
    let offline = offline.then(|| ("offline_token", "true".to_owned()));
    let pairs: Vec<_> = service.into_iter().chain(scopes).chain(client_id).chain(offline).collect();
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    let mut request = Request::get(url.as_str()).body(Body::Empty).ok()?;
    if let Some(authorization) = authorization {
        request.headers_mut().insert(AUTHORIZATION, authorization);
    }
    Some(request)
}

/// Builds a token request with POST. The body holds a secret, so the request must not be redirected
/// to another origin.
///
/// Source: Docker Registry v2, "Authenticate with OAuth2"; RFC 6749, sections 4.3.2 and 6.
pub(crate) fn post(
    parameters: TokenParameters<'_>,
    flow: Flow,
    login: &Login,
) -> Option<Request<Body>> {
    let secret = login.password.expose();
    let scopes: Vec<_> = parameters.scopes.iter().map(ToString::to_string).collect();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match flow {
        Flow::Refresh => {
            form.extend_pairs([("grant_type", "refresh_token"), ("refresh_token", secret)])
        }
        _ => form.extend_pairs([
            ("grant_type", "password"),
            ("username", &login.user),
            ("password", secret),
        ]),
    };
    form.append_pair("client_id", parameters.client_id.unwrap_or(CLIENT_ID));
    form.extend_pairs(parameters.service.map(|service| ("service", service)));
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    if parameters.offline {
        form.append_pair("access_type", "offline");
    }
    let request = Request::post(parameters.realm.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .extension(KeepOrigin);
    request.body(Body::Bytes(form.finish().into())).ok()
}

/// The client ID that OAuth2 requests send if none is configured.
const CLIENT_ID: &str = "longshore";

#[cfg(test)]
mod tests {
    use super::*;

    fn url(realm: &str, service: Option<&str>, scopes: &str) -> String {
        let (realm, scopes) = (realm.parse().unwrap(), Scopes::parse(scopes));
        let parameters = TokenParameters {
            realm: &realm,
            service,
            scopes: &scopes,
            client_id: None,
            offline: false,
        };
        get(parameters, None).unwrap().uri().to_string()
    }

    #[test]
    fn token_urls_match_the_predecessors_test_vectors() {
        let realm = "https://auth.x/token";
        for (realm, service, scopes, expected) in [
            (realm, Some("reg"), "", "https://auth.x/token?service=reg"),
            (
                realm,
                Some("reg"),
                "repository:foo/bar:pull",
                "https://auth.x/token?service=reg&scope=repository%3Afoo%2Fbar%3Apull",
            ),
            (
                realm,
                Some("reg"),
                "registry:catalog:*",
                // `*` is not escaped in a query. The predecessor writes %2A, which means the same.
                "https://auth.x/token?service=reg&scope=registry%3Acatalog%3A*",
            ),
            (
                realm,
                Some("reg"),
                "repository:foo/bar:pull,push",
                "https://auth.x/token?service=reg&scope=repository%3Afoo%2Fbar%3Apull%2Cpush",
            ),
            (
                realm,
                Some("reg"),
                "repository:a:pull repository:b:pull,push",
                "https://auth.x/token?service=reg&scope=repository%3Aa%3Apull\
                    &scope=repository%3Ab%3Apull%2Cpush",
            ),
            ("https://auth.x/token?a=b", Some("s"), "", "https://auth.x/token?a=b&service=s"),
            (realm, None, "", "https://auth.x/token"),
            (
                "https://auth.example.com:5000/token",
                Some("registry.example.com"),
                "repository:debian:*",
                "https://auth.example.com:5000/token?service=registry.example.com\
                    &scope=repository%3Adebian%3A*",
            ),
            // The predecessor requests the repository `ubuntu`, which does not exist on Docker Hub.
            (
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                "repository:library/ubuntu:pull",
                "https://auth.docker.io/token?service=registry.docker.io\
                    &scope=repository%3Alibrary%2Fubuntu%3Apull",
            ),
        ] {
            assert_eq!(url(realm, service, scopes), expected);
        }
    }

    #[test]
    fn client_id_and_offline_token_are_sent_if_configured() {
        let (realm, scopes) = ("https://auth.x/t".parse().unwrap(), Scopes::default());
        let parameters = TokenParameters {
            realm: &realm,
            service: Some("s"),
            scopes: &scopes,
            client_id: Some("me"),
            offline: true,
        };
        let request = get(parameters, None).unwrap();
        assert_eq!(request.uri(), "https://auth.x/t?service=s&client_id=me&offline_token=true");
    }

    #[test]
    fn the_kind_of_credential_decides_the_flows() {
        use CredentialKind::{Anonymous, Authorization, IdentityToken, Login};
        for (kind, offline, expected) in [
            (Anonymous, false, &[Flow::Get][..]),
            (Anonymous, true, &[Flow::Get]),
            (Authorization, false, &[Flow::Get]),
            (Login, false, &[Flow::Get, Flow::Password]),
            (Login, true, &[Flow::Password, Flow::Get]),
            (IdentityToken, false, &[Flow::Refresh, Flow::Get]),
            (IdentityToken, true, &[Flow::Refresh, Flow::Get]),
        ] {
            assert_eq!(Flow::all(kind, offline), expected, "{kind:?} {offline}");
        }
        for (flow, status, expected) in [
            (Flow::Refresh, 404, true),
            (Flow::Refresh, 405, true),
            (Flow::Password, 404, true),
            (Flow::Refresh, 401, false),
            (Flow::Get, 404, false),
            (Flow::Get, 405, true),
        ] {
            assert_eq!(flow.is_unknown(status), expected, "{flow:?} {status}");
        }
    }

    #[test]
    fn a_realm_that_must_not_get_credentials_is_refused() {
        let parse_realm = |registry: &str, realm_text: &str| {
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
            assert_eq!(parse_realm(registry, text).is_ok(), good, "{text}");
        }
    }
}
