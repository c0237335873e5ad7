//! Settings of authentication, by registry. Pure values.

use std::collections::HashMap;

use http::Uri;
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use url::Url;

use crate::credentials::{Login, user_info};

/// How to authenticate at a registry. The default answers whatever challenge comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authentication {
    /// How to begin, before the registry has sent a challenge.
    pub opening: InitialAuth,
    /// Whether a user name and password may be sent to the registry itself.
    pub basic: BasicAuth,
    /// The token service to use in place of the one that the registry names. The first request then
    /// already carries a token.
    pub token_service: Option<TokenService>,
    /// The host that replaces the one in the URL of the token service that the registry names.
    pub token_host: Option<RegistryName>,
    /// The `client_id` for token services. Default: none, or `longshore` if OAuth2 requires one.
    pub client_id: Option<String>,
    /// Whether to ask for a refresh token too, which then replaces the password.
    pub offline_token: bool,
}

/// How to begin, before a registry has sent a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InitialAuth {
    /// Send the first request anonymously, and answer its challenge.
    #[default]
    Anonymous,
    /// Send `GET /v2/` first, to get a challenge.
    Probe,
    /// Send user name and password, or the token in their place, with the first request.
    Basic,
}

/// Whether Basic authentication is used at a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BasicAuth {
    /// Use it if the registry offers nothing else, or if its token service fails.
    #[default]
    Allowed,
    /// Never use it: passwords go to token services only.
    Never,
}

/// A token service that the caller sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    pub(crate) realm: Uri,
    pub(crate) service: Option<String>,
    pub(crate) login: Option<Login>,
}

impl TokenService {
    /// Takes the http or https URL of a token service.
    ///
    /// User information in the URL replaces other credentials there. An http URL permits sending
    /// credentials unencrypted.
    ///
    /// - `service`: the registry's name there, if the service needs it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if it is not such a URL; the error does not quote it.
    pub fn new(url: &str, service: Option<&str>) -> Result<Self> {
        let bad = || {
            Error::new(ErrorKind::Invalid)
                .at("the URL of the token service")
                .detail("it is not an http or https URL")
        };
        let mut url = Url::parse(url).map_err(|_| bad())?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad());
        }
        let login = user_info(&url);
        url.set_username("").map_err(|()| bad())?;
        url.set_password(None).map_err(|()| bad())?;
        url.set_fragment(None);
        let realm = url.as_str().parse().map_err(|_| bad())?;
        Ok(Self { realm, service: service.map(str::to_owned), login })
    }
}

/// The settings of all registries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    pub(crate) default: Authentication,
    pub(crate) registries: HashMap<RegistryName, Authentication>,
}

impl Policies {
    /// Returns the settings for a registry.
    pub(crate) fn of(&self, registry: &RegistryName) -> &Authentication {
        self.registries.get(registry).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_service_is_a_url_without_its_user() {
        let service =
            TokenService::new("https://me:p%40w@auth.example/t?a=b#f", Some("s")).unwrap();
        assert_eq!(service.realm, "https://auth.example/t?a=b");
        let login = service.login.unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("me", "p@w"));
        for bad in ["s3cret", "ftp://s3cret/", "https://", "data:s3cret"] {
            let e = TokenService::new(bad, None).unwrap_err();
            assert!(!format!("{e:?}").contains("s3cret"));
        }
    }
}
