//! Settings: how one authenticates at a registry. Pure values.

use std::collections::HashMap;

use http::Uri;
use longshore_core::{Error, ErrorKind, RegistryName, Result};
use url::Url;

use crate::credentials::{Login, user_info};

/// How to authenticate at a registry; the default answers whatever it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Authentication {
    /// What is done before the registry has asked for anything.
    pub opening: Opening,
    /// Whether a user name and password may be sent to the registry itself.
    pub basic: BasicUse,
    /// The token service to use, whatever the registry names. Then a token is there from the first
    /// request on.
    pub token_service: Option<TokenService>,
    /// The host to use in place of the one in the address of the token service that the registry names.
    pub token_host: Option<RegistryName>,
    /// What this client calls itself at token services. Without it, nothing; where OAuth2 wants a
    /// name, `longshore`.
    pub client_id: Option<String>,
    /// Whether to ask for a refresh token too. It is used in place of the password from then on.
    pub offline_token: bool,
}

/// What is done before a registry has asked for credentials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Opening {
    /// The first request goes out as nobody's, and its challenge is answered.
    #[default]
    Anonymous,
    /// `GET /v2/` is asked first how to authenticate.
    Probe,
    /// User name and password, or the token in their place, go with the first request.
    Basic,
}

/// Whether Basic authentication is used at a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BasicUse {
    /// Where it is all the registry offers, or where its token service fails.
    #[default]
    Allowed,
    /// Never: passwords go to token services only.
    Never,
}

/// A token service that is set by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenService {
    pub(crate) realm: Uri,
    pub(crate) service: Option<String>,
    pub(crate) login: Option<Login>,
}

impl TokenService {
    /// The token service at an http or https URL.
    ///
    /// User information in the URL is used there in place of other credentials. An http URL is a word
    /// for sending credentials unencrypted.
    ///
    /// - `service`: what the registry is called there, if the service wants to know.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if it is no such URL; the error quotes nothing of it.
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
    /// The settings that hold for a registry.
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
