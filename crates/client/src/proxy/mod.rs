//! Proxies, and the choice of a proxy for a request.
//!
//! Pure. The wire calls [`Proxies::of`] for each origin.

mod bypass;

use std::fmt;
use std::str::FromStr;

use longshore_core::ParseError;

pub use bypass::NoProxy;

use crate::certificate::RootCertificates;
use crate::credentials::user_info;
use crate::credentials::{Login, Secret};
use crate::environment::Environment;

/// A proxy: `http://`, `https://` (TLS to the proxy), `socks5://` or `socks5h://`.
///
/// With `socks5`, this machine resolves names. With the other schemes, the proxy resolves names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    /// `host[:port]`.
    address: String,
    login: Option<Login>,
    root_certificates: RootCertificates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Https,
    Socks5,
    Socks5h,
}

impl Proxy {
    /// Parses `[scheme://][user:password@]host[:port]`. A text without a scheme means an HTTP
    /// proxy.
    ///
    /// # Errors
    /// [`ParseError`] if the text has no host, has a path, or has an unsupported scheme. SOCKS
    /// requires the feature `socks`. The error does not quote text that may be a password.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let quoted = if text.contains('@') { "…" } else { text };
        let bad = |reason: &'static str| ParseError::new("proxy", quoted, reason);
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kinds = [Kind::Http, Kind::Https, Kind::Socks5, Kind::Socks5h];
        let kind = kinds.into_iter().find(|kind| kind.scheme().eq_ignore_ascii_case(scheme));
        let kind = kind.ok_or_else(|| bad("expected http, https, socks5 or socks5h"))?;
        if kind.is_socks() && !cfg!(feature = "socks") {
            return Err(bad("this program was built without the feature `socks` of longshore"));
        }
        // Parsed as http for every scheme. `Url` then omits only port 80, which is restored below.
        let url = url::Url::parse(&format!("http://{rest}")).map_err(|_| bad("not a URL"))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| bad("the host is missing"))?;
        if !matches!(url.path(), "" | "/") || url.query().is_some() {
            return Err(bad("a proxy must not have a path"));
        }
        let authority = rest.trim_end_matches('/');
        let port = url.port().or_else(|| authority.ends_with(":80").then_some(80));
        let address = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let part = |text| {
            user_info::decode(text).ok_or_else(|| bad("the user or password is not valid UTF-8"))
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(Login {
                user: part(user)?,
                password: Secret::new(part(password.unwrap_or_default())?),
            }),
        };
        Ok(Self { kind, address, login, root_certificates: RootCertificates::default() })
    }

    /// Returns the proxy with this user and password, which replace the login in its URL.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: Secret) -> Self {
        self.login = Some(Login { user: user.into(), password });
        self
    }

    /// Returns the proxy with additional trusted certificates, which apply to this proxy only. The
    /// certificate of a proxy is always verified.
    #[must_use]
    pub fn root_certificates(mut self, certificates: RootCertificates) -> Self {
        self.root_certificates = certificates;
        self
    }

    /// Returns the proxy's URL, without user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.kind.scheme(), self.address)
    }

    pub(crate) fn as_login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    pub(crate) fn is_socks(&self) -> bool {
        self.kind.is_socks()
    }

    /// Returns the proxy's host, if the proxy uses TLS.
    pub(crate) fn tls_host(&self) -> Option<&str> {
        let host = match self.address.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &self.address,
        };
        (self.kind == Kind::Https).then_some(host.trim_matches(['[', ']']))
    }

    pub(crate) fn roots(&self) -> &RootCertificates {
        &self.root_certificates
    }
}

impl Kind {
    fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }

    fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl FromStr for Proxy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The proxies that requests use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    bypass: NoProxy,
    /// True if the caller set the proxies. Such proxies also apply to this machine.
    explicit: bool,
}

impl Proxies {
    /// Uses no proxy, regardless of the environment.
    #[must_use]
    pub fn none() -> Self {
        Self { explicit: true, ..Self::default() }
    }

    /// Uses one proxy for all requests.
    #[must_use]
    pub fn all(proxy: Proxy) -> Self {
        Self::none().http(proxy.clone()).https(proxy)
    }

    /// Sets the proxy for plain HTTP.
    #[must_use]
    pub fn http(mut self, proxy: Proxy) -> Self {
        self.http = Some(proxy);
        self
    }

    /// Sets the proxy for HTTPS.
    #[must_use]
    pub fn https(mut self, proxy: Proxy) -> Self {
        self.https = Some(proxy);
        self
    }

    /// Sets the hosts that are reached without a proxy.
    #[must_use]
    pub fn except(mut self, hosts: NoProxy) -> Self {
        self.bypass = hosts;
        self
    }

    /// Returns the proxies of the environment: `HTTPS_PROXY` for HTTPS, `HTTP_PROXY` for plain
    /// HTTP, `ALL_PROXY` if the variable for the scheme is not set, and `NO_PROXY`. The names may
    /// also be in lower case. If both variables are set, the name in upper case takes precedence.
    /// This machine is reached without a proxy.
    ///
    /// `HTTP_PROXY` is ignored in a CGI script (`REQUEST_METHOD` is set), because the `Proxy`
    /// header of a request could set this variable.
    ///
    /// # Errors
    /// [`ParseError`] if the value of a variable is not a valid proxy.
    pub fn from_environment(environment: &Environment) -> Result<Self, ParseError> {
        let of = |upper: &str, lower: &str| environment.text(upper).or(environment.text(lower));
        let cgi = environment.var("REQUEST_METHOD").is_some();
        let http = match cgi {
            true => environment.text("http_proxy"),
            false => of("HTTP_PROXY", "http_proxy"),
        };
        let all = of("ALL_PROXY", "all_proxy");
        let proxy = |text: Option<&str>| text.or(all).map(Proxy::parse).transpose();
        Ok(Self {
            http: proxy(http)?,
            https: proxy(of("HTTPS_PROXY", "https_proxy"))?,
            bypass: NoProxy::parse(of("NO_PROXY", "no_proxy").unwrap_or_default()),
            explicit: false,
        })
    }

    /// Returns the proxy for an origin, if there is one. `loopback` is true if the host is this
    /// machine.
    pub(crate) fn of(&self, https: bool, host: &str, port: u16, loopback: bool) -> Option<&Proxy> {
        if (loopback && !self.explicit) || self.bypass.covers(host, port) {
            return None;
        }
        if https { self.https.as_ref() } else { self.http.as_ref() }
    }
}

#[cfg(test)]
mod tests;
