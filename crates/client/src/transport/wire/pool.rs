//! Pools of connections: one for each origin and way of reaching it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_core::{Error, ErrorKind, RegistryName, Result};

use super::super::tls::{self, SystemRoots};
use super::super::trial::Accepted;
use crate::config::{Config, Verification};
use crate::origin::Origin;

/// What connections are shared by.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) origin: Origin,
    /// Whether any certificate will do, whatever the settings say.
    pub(super) any_certificate: bool,
    /// The wait for a connection, which the HTTP library keeps by the pool.
    pub(super) connect: Duration,
}

/// All pools of a client.
pub(super) struct Pools {
    config: Arc<Config>,
    accepted: Accepted,
    system_roots: SystemRoots,
    made: Mutex<HashMap<Key, reqwest::Client>>,
}

impl Pools {
    pub(super) fn new(config: Arc<Config>, accepted: Accepted) -> Self {
        Self { config, accepted, system_roots: SystemRoots::default(), made: Mutex::default() }
    }

    /// The pool for an origin; made when it is first met, so that nothing is loaded unused.
    pub(super) async fn get(&self, mut key: Key) -> Result<reqwest::Client> {
        key.any_certificate |= self.accepted.contains(&key.origin);
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some(pool) = made {
            return Ok(pool);
        }
        let pool = self.make(&key).await?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(made.entry(key).or_insert(pool).clone())
    }

    async fn make(&self, key: &Key) -> Result<reqwest::Client> {
        let address = address(&key.origin, &self.config);
        let settings = self.config.at(address.as_ref());
        let verification = match key.any_certificate {
            true => Verification::Skip,
            false => settings.verification.unwrap_or_default(),
        };
        let tls = match key.origin.is_https() {
            true => tls::configuration(&settings, verification, &self.system_roots).await?,
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
            .tcp_nodelay(true);
        if address.is_some_and(|address| address.is_loopback()) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|e| Error::new(ErrorKind::Transport).at(&key.origin).with_source(e))
    }
}

/// The name under which settings for an origin are kept: its host, and its port unless that is the
/// scheme's own and nobody wrote it out. `None` for a host that no registry can have, such as one
/// with an underscore.
fn address(origin: &Origin, config: &Config) -> Option<RegistryName> {
    let full = RegistryName::parse(&format!("{}:{}", origin.host(), origin.port())).ok()?;
    match origin.has_default_port() && !config.registries.contains_key(&full) {
        true => RegistryName::parse(origin.host()).ok(),
        false => Some(full),
    }
}

/// 400 headers: storage services send more than the library's 100.
const HEADER_LIMIT: usize = 400;

/// 30 s: less than what load balancers allow, so that it is us who close.
const POOL_IDLE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_with_and_without_the_schemes_own_port() {
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
