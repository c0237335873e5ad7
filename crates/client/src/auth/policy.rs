//! Authentication settings per registry. Pure values.

use std::collections::HashMap;

use http::Uri;
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use url::Url;

use crate::credentials::{Login, user_info};

/// The authentication settings for a registry. The defaults handle any supported challenge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authentication {
    /// The authentication of the first request, before the registry has sent a challenge.
    pub opening: InitialAuth,
    /// The use of Basic authentication at the registry itself.
    pub basic: BasicAuth,
    /// The token service to use instead of the service that the registry names. If set, the first
    /// request already carries a token.
    pub token_service: Option<TokenService>,
    /// The host to use instead of the host in the token service URL that the registry names.
    pub token_host: Option<RegistryName>,
    /// The `client_id` sent to token services. By default, OAuth2 requests send `longshore`, and
    /// other requests send none.
    pub client_id: Option<String>,
    /// True to also request a refresh token, which then replaces the password.
    pub offline_token: bool,
}

/// The authentication of the first request, before a registry has sent a challenge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InitialAuth {
    /// Send the first request anonymously, then answer the challenge. If a [cache
    /// folder](crate::ClientBuilder::cache_folder) holds the registry's Bearer challenge, send the
    /// first request with a token.
    #[default]
    Anonymous,
    /// Send `GET /v2/` first, to get a challenge.
    Probe,
    /// Send the user name and password, or the token that replaces them, with the first request.
    Basic,
}

/// The use of Basic authentication at a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BasicAuth {
    /// Use Basic if the registry offers no token service, or if its token service fails.
    #[default]
    Allowed,
    /// Never use Basic. Passwords are sent only to token services.
    Never,
}

/// A token service that the caller configures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    pub(crate) realm: Uri,
    pub(crate) service: Option<String>,
    pub(crate) login: Option<Login>,
}

impl TokenService {
    /// Parses the http or https URL of a token service.
    ///
    /// A user name and password in the URL replace other credentials at this service. An http URL
    /// permits sending credentials unencrypted.
    ///
    /// - `service`: the registry's name at the service, if the service requires it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `url` is not an http or https URL. The error does not
    /// quote `url`.
    pub fn new(url: &str, service: Option<&str>) -> Result<Self> {
        let bad = || {
            Error::new(ErrorKind::Invalid)
                .at("the URL of the token service")
                .detail("not an http or https URL")
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
    fn user_information_is_removed_from_a_token_service_url() {
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
