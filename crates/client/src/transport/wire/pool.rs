//! Connection pools: one for each origin and connection timeout.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longshore_core::{Error, ErrorKind, ParseError, RegistryName, Result};

use super::super::tls::{self, SystemRoots};
use super::connect::StageLayer;
use super::resolve;
use crate::bounded::BoundedCache;
use crate::certificate::RootCertificates;
use crate::config::{Config, Verification};
use crate::credentials::Login;
use crate::environment::Environment;
use crate::origin::Origin;
use crate::proxy::{Proxies, Proxy};

/// The key of a pool.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    /// The connection timeout, which the HTTP library sets per pool.
    pub(super) connect: Duration,
}

/// All pools of a client.
pub(super) struct Pools {
    config: Arc<Config>,
    /// The origin whose certificate is not verified, regardless of the settings.
    accepted: Option<Origin>,
    system_roots: SystemRoots,
    of_environment: OnceLock<Result<Proxies, ParseError>>,
    made: BoundedCache<Key, reqwest::Client>,
}

impl Pools {
    pub(super) fn new(config: Arc<Config>, accepted: Option<Origin>) -> Self {
        let (system_roots, of_environment, made) = <_>::default();
        Self { config, accepted, system_roots, of_environment, made }
    }

    /// Returns the pool for an origin. Creates the pool on first use, so that certificates are
    /// loaded only when they are needed.
    pub(super) async fn get(&self, key: Key) -> Result<reqwest::Client> {
        if let Some(pool) = self.made.get(&key) {
            return Ok(pool);
        }
        let pool = self.make(&key).await?;
        Ok(self.made.get_or_insert_with(key, || pool))
    }

    /// Returns the proxy for an origin, in the form shown to users.
    pub(super) fn proxy_of(&self, origin: &Origin) -> Result<Option<String>> {
        Ok(self.proxy(origin, address(origin, &self.config).as_ref())?.map(ToString::to_string))
    }

    fn proxy(&self, origin: &Origin, address: Option<&RegistryName>) -> Result<Option<&Proxy>> {
        let loopback = address.is_some_and(RegistryName::is_loopback);
        Ok(self.proxies()?.of(origin.is_https(), origin.host(), origin.port(), loopback))
    }

    async fn make(&self, key: &Key) -> Result<reqwest::Client> {
        let (origin, address) = (&key.origin, address(&key.origin, &self.config));
        let proxy = self.proxy(origin, address.as_ref())?;
        if proxy.is_none() {
            resolve::check_literal(origin, self.config.family)?;
        }
        let tls_proxy = proxy.and_then(|proxy| Some((proxy.tls_host()?, proxy.roots())));
        let tls = match origin.is_https() || tls_proxy.is_some() {
            true => {
                let trust = self.trust(key, address, tls_proxy).await?;
                tls::configuration(trust, &self.system_roots).await?
            }
            false => tls::unused()?,
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .http1_max_headers(HEADER_LIMIT)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .connect_timeout(key.connect)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .connector_layer(StageLayer)
            .dns_resolver(Arc::new(resolve::Names::of(&self.config, origin)))
            // The HTTP library must not read the environment's proxy settings again.
            .no_proxy();
        let failed = |e: reqwest::Error| {
            Error::new(ErrorKind::Transport).at(origin).with_source(e.without_url())
        };
        if let Some(proxy) = proxy {
            builder = builder.proxy(outgoing(proxy).map_err(failed)?);
        }
        builder.build().map_err(failed)
    }

    /// Returns the configured proxies, else the proxies of the environment. The environment is read
    /// once.
    fn proxies(&self) -> Result<&Proxies> {
        if let Some(set) = &self.config.proxies {
            return Ok(set);
        }
        let read = self
            .of_environment
            .get_or_init(|| Proxies::from_environment(&Environment::from_process()));
        read.as_ref().map_err(|e| {
            Error::new(ErrorKind::Invalid)
                .at("the environment's proxies")
                .with_source(e.clone())
                .with_hint("See HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.")
        })
    }

    /// Returns the trust settings of an address. Configured settings take precedence over the
    /// certificates in the address's folder.
    async fn trust<'a>(
        &self,
        key: &Key,
        address: Option<RegistryName>,
        proxy: Option<(&'a str, &'a RootCertificates)>,
    ) -> Result<tls::Trust<'a>> {
        let settings = self.config.at(address.as_ref());
        let mut names: Vec<_> = address.into_iter().collect();
        if key.origin.has_default_port() {
            let full = format!("{}:{}", key.origin.host(), key.origin.port());
            names.extend(RegistryName::parse(&full));
        }
        let folders = self.config.folders.clone();
        let found = tokio::task::spawn_blocking(move || folders.find(&names)).await;
        let found = found.map_err(|e| Error::new(ErrorKind::Io).with_source(e))??;
        Ok(tls::Trust {
            verification: match self.accepted.as_ref() == Some(&key.origin) {
                true => Verification::Skip,
                false => settings.verification.unwrap_or_default(),
            },
            root_certificates: settings.root_certificates.or(found.root_certificates),
            client_certificate: settings.client_certificate.or(found.client_certificate),
            proxy,
        })
    }
}

/// Converts a proxy to the HTTP library's type. A SOCKS proxy gets the login in its URL, and an
/// HTTP proxy in a header.
fn outgoing(proxy: &Proxy) -> Result<reqwest::Proxy, reqwest::Error> {
    let Some(Login { user, password }) = proxy.as_login() else {
        return reqwest::Proxy::all(proxy.url());
    };
    match (proxy.is_socks(), url::Url::parse(&proxy.url())) {
        (true, Ok(mut url)) => {
            // These calls do not fail for a URL with a host.
            let _ = url.set_username(user);
            let _ = url.set_password(Some(password.expose()));
            reqwest::Proxy::all(url)
        }
        _ => Ok(reqwest::Proxy::all(proxy.url())?.basic_auth(user, password.expose())),
    }
}

/// Returns the name under which the settings for an origin are stored. The name is the host and
/// port. It omits the scheme's default port, unless settings are stored for exactly this host and
/// port. Returns `None` for a host that cannot belong to a registry, such as a host with an
/// underscore.
fn address(origin: &Origin, config: &Config) -> Option<RegistryName> {
    let full = RegistryName::parse(&format!("{}:{}", origin.host(), origin.port())).ok()?;
    match origin.has_default_port() && !config.registries.contains_key(&full) {
        true => RegistryName::parse(origin.host()).ok(),
        false => Some(full),
    }
}

/// 400 headers: replies of storage services exceed the library's default of 100.
const HEADER_LIMIT: usize = 400;

/// 30 s: shorter than the timeouts of load balancers, so that the client closes idle connections
/// first.
const POOL_IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_with_and_without_the_default_port() {
        let mut config = Config::default();
        config.registries.insert("written.example:443".parse().unwrap(), Default::default());
        for (url, expected) in [
            ("https://r.example/", "r.example"),
            ("https://r.example:443/", "r.example"),
            ("https://written.example/", "written.example:443"),
            ("https://r.example:80/", "r.example:80"),
            ("http://[::1]:5000/", "[::1]:5000"),
        ] {
            let origin = Origin::of(&url.parse().unwrap()).unwrap();
            assert_eq!(address(&origin, &config).unwrap().as_str(), expected, "{url}");
        }
    }
}
