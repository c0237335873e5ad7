//! The request for a token: where it goes, and in which way it asks.

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

/// What a token is asked for, and where.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) realm: &'a Uri,
    pub(crate) service: Option<&'a str>,
    pub(crate) scopes: &'a Scopes,
    pub(crate) client_id: Option<&'a str>,
    pub(crate) offline: bool,
}

/// A way to ask a token service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// With the credentials in the header, or with none.
    Get,
    /// OAuth2, with a refresh token.
    Refresh,
    /// OAuth2, with user name and password.
    Password,
}

impl Way {
    /// The ways to ask with such a credential, in order; the next is for services that do not know the
    /// one before.
    pub(crate) fn all(kind: CredentialKind, offline: bool) -> &'static [Self] {
        match kind {
            CredentialKind::IdentityToken => &[Self::Refresh, Self::Get],
            // Only OAuth2 has a way to ask for a refresh token that all services agree on.
            CredentialKind::Login if offline => &[Self::Password, Self::Get],
            CredentialKind::Login => &[Self::Get, Self::Password],
            _ => &[Self::Get],
        }
    }

    /// Whether a service that answers this does not know the way.
    ///
    /// Google's (2017) answers a POST with 404.
    pub(crate) fn is_unknown(self, status: u16) -> bool {
        match self {
            Self::Get => status == 405,
            Self::Refresh | Self::Password => matches!(status, 404 | 405),
        }
    }
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

/// The URL of the token service at another host than the registry names, over TLS where the registry
/// is: the caller says so, and means it.
///
/// # Errors
/// A clause that says what is wrong with it.
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
    parts.authority = Some(host.as_str().parse().map_err(|_| "cannot be at that host")?);
    Uri::from_parts(parts).map_err(|_| "is not a URL")
}

/// Asks for a token by GET.
///
/// Source: Docker Registry v2, "Token Authentication Specification".
pub(crate) fn get(wanted: Wanted<'_>, authorization: Option<HeaderValue>) -> Option<Request<Body>> {
    let Wanted { realm, service, scopes, client_id, offline } = wanted;
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

/// Asks for a token by POST. Its body holds a secret, and goes nowhere else.
///
/// Source: Docker Registry v2, "Authenticate with OAuth2"; RFC 6749, sections 4.3.2 and 6.
pub(crate) fn post(wanted: Wanted<'_>, way: Way, login: &Login) -> Option<Request<Body>> {
    let secret = login.password.expose();
    let scopes: Vec<_> = wanted.scopes.iter().map(ToString::to_string).collect();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match way {
        Way::Refresh => {
            form.extend_pairs([("grant_type", "refresh_token"), ("refresh_token", secret)])
        }
        _ => form.extend_pairs([
            ("grant_type", "password"),
            ("username", &login.user),
            ("password", secret),
        ]),
    };
    form.append_pair("client_id", wanted.client_id.unwrap_or(CLIENT_ID));
    form.extend_pairs(wanted.service.map(|service| ("service", service)));
    if !scopes.is_empty() {
        form.append_pair("scope", &scopes.join(" "));
    }
    if wanted.offline {
        form.append_pair("access_type", "offline");
    }
    let request = Request::post(wanted.realm.clone())
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .extension(KeepOrigin);
    request.body(Body::Bytes(form.finish().into())).ok()
}

/// What longshore calls itself where it must have a name.
const CLIENT_ID: &str = "longshore";

#[cfg(test)]
mod tests {
    use super::*;

    fn url(realm: &str, service: Option<&str>, scopes: &str) -> String {
        let (realm, scopes) = (realm.parse().unwrap(), Scopes::parse(scopes));
        let wanted =
            Wanted { realm: &realm, service, scopes: &scopes, client_id: None, offline: false };
        get(wanted, None).unwrap().uri().to_string()
    }

    #[test]
    fn token_urls_are_those_of_the_vectors() {
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
                // `*` stands for itself in a query; the predecessor writes %2A, which is the same.
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
            // The predecessor asks for `ubuntu`, which Docker Hub does not know.
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
    fn a_client_names_itself_and_asks_for_offline_tokens_when_told_to() {
        let (realm, scopes) = ("https://auth.x/t".parse().unwrap(), Scopes::default());
        let wanted = Wanted {
            realm: &realm,
            service: Some("s"),
            scopes: &scopes,
            client_id: Some("me"),
            offline: true,
        };
        let request = get(wanted, None).unwrap();
        assert_eq!(request.uri(), "https://auth.x/t?service=s&client_id=me&offline_token=true");
    }

    #[test]
    fn the_way_of_asking_follows_from_the_credential() {
        use CredentialKind::{Anonymous, Authorization, IdentityToken, Login};
        for (kind, offline, expected) in [
            (Anonymous, false, &[Way::Get][..]),
            (Anonymous, true, &[Way::Get]),
            (Authorization, false, &[Way::Get]),
            (Login, false, &[Way::Get, Way::Password]),
            (Login, true, &[Way::Password, Way::Get]),
            (IdentityToken, false, &[Way::Refresh, Way::Get]),
            (IdentityToken, true, &[Way::Refresh, Way::Get]),
        ] {
            assert_eq!(Way::all(kind, offline), expected, "{kind:?} {offline}");
        }
        for (way, status, expected) in [
            (Way::Refresh, 404, true),
            (Way::Refresh, 405, true),
            (Way::Password, 404, true),
            (Way::Refresh, 401, false),
            (Way::Get, 404, false),
            (Way::Get, 405, true),
        ] {
            assert_eq!(way.is_unknown(status), expected, "{way:?} {status}");
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
