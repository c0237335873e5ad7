//! The base URL of a registry, in the form that users write.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use longshore_core::{ParseError, RegistryName};
use url::Url;

use super::RegistrySettings;
use crate::credentials::user_info;
use crate::credentials::{Login, Secret};
use crate::scheme::Scheme;

/// A registry's base URL: `[http://|https://][user:password@]host[:port][/prefix]`.
///
/// The URL is split into the registry's name in references, settings to reach the registry, and an
/// optional login. A final `/v2` belongs to the API and is not part of the prefix. A query and a
/// fragment are ignored.
///
/// ```
/// use longshore::{Client, RegistryUrl};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let url: RegistryUrl = "https://example.org/registry/".parse()?;
/// let client = Client::builder().settings(url.registry().clone(), url.settings()).build();
/// let repository = client.repository(&"example.org/team/app".parse()?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RegistryUrl {
    registry: RegistryName,
    scheme: Option<Scheme>,
    prefix: PathPrefix,
    login: Option<Login>,
}

impl RegistryUrl {
    /// Parses a base URL.
    ///
    /// # Errors
    /// [`ParseError`] if the URL has no host, an unknown scheme, an invalid port, an invalid path
    /// or a malformed login. The error does not quote text that may be a password.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // A password may be anywhere before an '@', so text with an '@' is never quoted.
        let quoted = if text.contains('@') { "…" } else { text };
        let bad = |reason: &'static str| ParseError::new("registry URL", quoted, reason);
        let (scheme, rest) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => {
                (Some(Scheme::Http), rest)
            }
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => {
                (Some(Scheme::Https), rest)
            }
            Some(_) => return Err(bad("expected http:// or https://")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None if path.contains('@') => {
                return Err(bad("a '/' in a password must be written as %2F"));
            }
            None => (None, authority),
        };
        if address.is_empty() {
            return Err(bad("the host is missing"));
        }
        let within = |e: ParseError| ParseError::new("registry URL", quoted, e.to_string());
        let registry = RegistryName::parse(address).map_err(within)?;
        let login = login
            .map(|l| login_of(l).ok_or_else(|| bad("the user or password is not valid UTF-8")));
        let path = &path[..path.find(['?', '#']).unwrap_or(path.len())];
        let prefix = PathPrefix::parse(path).map_err(bad)?;
        Ok(Self { registry, scheme, prefix, login: login.transpose()? })
    }

    /// Returns the registry's name in references: `host[:port]`.
    #[must_use]
    pub fn registry(&self) -> &RegistryName {
        &self.registry
    }

    /// Returns the scheme, if the URL has one.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// Returns the path before `/v2/`. The path is empty, or has a leading `/` and no trailing `/`.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    /// Returns the user and password in the URL, if there are any. A client uses them only if a
    /// [`CredentialStore`](crate::CredentialStore) returns them.
    #[must_use]
    pub fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Returns the settings in the URL: the scheme and the prefix.
    #[must_use]
    pub fn settings(&self) -> RegistrySettings {
        let mut settings = RegistrySettings::default();
        settings.scheme = self.scheme;
        settings.prefix = Some(self.prefix.clone());
        settings
    }
}

/// Omits the login.
impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{scheme}://")?;
        }
        write!(f, "{}{}", self.registry, self.prefix.as_str())
    }
}

impl FromStr for RegistryUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The path before `/v2/` in a registry's base URL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// Parses a path. A final component `v2` is omitted.
    fn parse(path: &str) -> Result<Self, &'static str> {
        let mut url = Url::parse("http://host/").map_err(|_| "the path is invalid")?;
        url.set_path(path);
        let shown = url.path().trim_end_matches('/');
        let shown = match shown.strip_suffix("/v2") {
            Some(before) => before.trim_end_matches('/'),
            None => shown,
        };
        match shown.split('/').skip(1).any(str::is_empty) {
            true => Err("the path has an empty part"),
            false => Ok(Self(shown.into())),
        }
    }

    /// Returns the path. It is empty, or has a leading `/` and no trailing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn login_of(text: &str) -> Option<Login> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let password = Secret::new(user_info::decode(password)?);
    Some(Login { user: user_info::decode(user)?, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_split_into_its_parts() {
        for (text, shown) in [
            ("r.example", "r.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1:5000", "127.0.0.1:5000"),
            ("host/", "host"),
            ("user:pw@host:5000/path/x?q=1#f", "host:5000/path/x"),
            ("[::1]:5000", "[::1]:5000"),
            ("https://[::1]:5000/a", "https://[::1]:5000/a"),
            ("HTTP://R.example", "http://r.example"),
            ("https://r:5000/v2/", "https://r:5000"),
            ("https://r:5000/v2", "https://r:5000"),
            ("https://r:5000/", "https://r:5000"),
            ("https://r/prefix/v2/", "https://r/prefix"),
            ("https://r/prefix", "https://r/prefix"),
            ("https://r/a%2Fb/c d/", "https://r/a%2Fb/c%20d"),
            ("https://r/a/../b/", "https://r/b"),
            ("https://index.docker.io/v2/", "https://docker.io"),
        ] {
            assert_eq!(RegistryUrl::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for (text, word) in [
            ("", "host is missing"),
            ("https://", "host is missing"),
            ("https:///path", "host is missing"),
            ("user:pw@", "host is missing"),
            ("host:notaport", "port"),
            ("host:", "port"),
            ("ftp://host", "http:// or https://"),
            ("[::1", "']'"),
            ("::1", "host is empty"),
            ("https://r//a", "empty part"),
        ] {
            let e = RegistryUrl::parse(text).unwrap_err().to_string();
            assert!(e.contains(word), "{text}: {e}");
        }
    }

    #[test]
    fn the_login_is_parsed_separately_and_never_shown() {
        let url = RegistryUrl::parse("https://me:p%40ss@r.example/x").unwrap();
        let login = url.login().unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("me", "p@ss"));
        assert!(!format!("{url} {url:?}").contains("p@ss"));
        let e = RegistryUrl::parse("https://me:hunter2@ho st/").unwrap_err();
        assert!(!format!("{e} {e:?}").contains("hunter2"), "{e:?}");
        for text in
            ["me:hunter2@", "me:hunter/2@host", "https://me:hunter2@host:bad", "x://a:hunter2@h"]
        {
            let e = RegistryUrl::parse(text).unwrap_err();
            assert!(!format!("{e} {e:?}").contains("hunter"), "{e:?}");
        }
    }
}
