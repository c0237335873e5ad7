//! Chooses one of the authentication methods that a registry offers. Pure.

use http::Uri;
use longshore_core::RegistryName;

use super::challenge::{Bearer, Challenge};
use super::policy::{Authentication, BasicAuth, TokenService};
use super::scope::Scopes;
use super::token_request;
use crate::credentials::Login;

/// The authentication method of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Basic,
    Bearer(Service),
}

/// A token service that may receive the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) realm: Uri,
    pub(crate) service: Option<String>,
    /// The login to use at this service instead of the registry's credentials.
    pub(crate) login: Option<Login>,
    /// True if the registry also accepts Basic.
    pub(crate) basic_too: bool,
}

impl Service {
    /// Converts the token service that the caller configured.
    pub(crate) fn configured(service: &TokenService) -> Self {
        let TokenService { realm, service, login } = service.clone();
        Self { realm, service, login, basic_too: false }
    }
}

/// Chooses a method: a usable token service if the registry names one, else Basic.
///
/// # Errors
/// A clause that says why no challenge can be used.
pub(crate) fn choose(
    challenges: &[Challenge],
    registry: &Uri,
    settings: &Authentication,
) -> Result<(Method, Scopes), String> {
    let basic_too = challenges.contains(&Challenge::Basic) && settings.basic == BasicAuth::Allowed;
    let mut refusal = None;
    for challenge in challenges {
        let Challenge::Bearer(bearer) = challenge else { continue };
        match service(bearer, registry, settings) {
            Ok(service) => {
                let method = Method::Bearer(Service { basic_too, ..service });
                return Ok((method, bearer.scopes.clone()));
            }
            Err(clause) => refusal = Some(format!("the address of the token service {clause}")),
        }
    }
    if basic_too {
        return Ok((Method::Basic, Scopes::default()));
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let schemes: Vec<_> = challenges.iter().map(Challenge::scheme).collect();
    let why = match schemes[..] {
        ["basic"] => "turned off",
        _ => "not supported",
    };
    Err(format!("the registry offers only {}, which is {why}", schemes.join(", ")))
}

/// Returns the token service that the caller configured, else the token service of the challenge.
fn service(
    bearer: &Bearer,
    registry: &Uri,
    settings: &Authentication,
) -> Result<Service, &'static str> {
    if let Some(service) = &settings.token_service {
        return Ok(Service::configured(service));
    }
    let service = bearer.service.clone();
    let realm = match &settings.token_host {
        Some(host) => token_request::realm_at(registry, bearer, host)?,
        None => token_request::realm(registry, bearer)?,
    };
    Ok(Service { realm, service, login: None, basic_too: false })
}

/// Returns true if a registry's token service refuses token requests without a scope.
///
/// Google's token service refuses them (2017, issue 28 of dxf). The catalog scope is the default
/// only for Google's registries, because Docker Hub's token service refuses it.
pub(crate) fn requires_catalog_scope(registry: &RegistryName) -> bool {
    let host = registry.host();
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with("-docker.pkg.dev")
}

#[cfg(test)]
mod tests {
    use http::header::WWW_AUTHENTICATE;
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn choose_from(header: &str, settings: &Authentication) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(header).unwrap());
        let challenges = Challenge::all(&headers).unwrap();
        let (method, scopes) =
            choose(&challenges, &"https://r.example/v2/".parse().unwrap(), settings)?;
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        Ok(match method {
            Method::Basic => "basic".to_owned(),
            Method::Bearer(s) => {
                let service = s.service.unwrap_or_default();
                let and = if s.basic_too { " or basic" } else { "" };
                format!("{} {service} {}{and}", s.realm, scopes.join(" "))
            }
        })
    }

    const BEARER: &str = r#"Bearer realm="https://a.example/t",service="s""#;
    const BOTH: &str = r#"Basic realm="b", Bearer realm="https://a.example/t",service="s""#;

    #[test]
    fn trap_02_a_token_service_is_preferred_to_basic() {
        let allowed = Authentication::default();
        for (header, expected) in [
            (BEARER, "https://a.example/t s "),
            (BOTH, "https://a.example/t s  or basic"),
            ("Basic realm=\"b\"", "basic"),
            (r#"Bearer realm="null://",service="s", Basic realm="b""#, "basic"),
            (
                r#"Bearer realm="https://a.example/t",scope="repository:a:pull repository:b:pull,push""#,
                "https://a.example/t  repository:a:pull repository:b:pull,push",
            ),
        ] {
            assert_eq!(choose_from(header, &allowed).unwrap(), expected);
        }
        assert!(choose_from("Negotiate", &allowed).unwrap_err().contains("only negotiate"));
        assert!(choose_from(r#"Digest realm="a", qop="auth,auth-int""#, &allowed).is_err());
    }

    #[test]
    fn basic_can_be_turned_off() {
        let never = Authentication { basic: BasicAuth::Never, ..Authentication::default() };
        assert_eq!(choose_from(BOTH, &never).unwrap(), "https://a.example/t s ");
        assert!(choose_from("Basic realm=\"b\"", &never).unwrap_err().contains("turned off"));
    }

    #[test]
    fn a_configured_token_service_or_host_replaces_the_one_in_the_challenge() {
        let service = TokenService::new("https://mine.example/token", Some("m")).unwrap();
        let set = Authentication { token_service: Some(service), ..Authentication::default() };
        assert_eq!(choose_from(BEARER, &set).unwrap(), "https://mine.example/token m ");
        let host = Some("other.y:99".parse().unwrap());
        let set = Authentication { token_host: host, ..Authentication::default() };
        assert_eq!(choose_from(BEARER, &set).unwrap(), "https://other.y:99/t s ");
        let http = r#"Bearer realm="http://a.example/t?a=b",service="s""#;
        assert_eq!(choose_from(http, &set).unwrap(), "https://other.y:99/t?a=b s ");
    }

    #[test]
    fn only_googles_registries_require_the_catalog_scope() {
        for (name, expected) in [
            ("gcr.io", true),
            ("eu.gcr.io", true),
            ("europe-docker.pkg.dev", true),
            ("docker.io", false),
            ("evilgcr.io", false),
        ] {
            assert_eq!(requires_catalog_scope(&name.parse().unwrap()), expected, "{name}");
        }
    }
}
