//! Settings: how to reach registries, and timeouts.
//!
//! The settings are plain values, which [`ClientBuilder`](crate::ClientBuilder) stores. The
//! transport calls [`Config::at`] for the addresses that it connects to over TLS, which may belong
//! to registries, token services and storage services.

mod registry_url;
mod settings;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use longshore_core::RegistryName;

pub use self::registry_url::{PathPrefix, RegistryUrl};
pub use self::settings::{
    Limits, RegistrySettings, RetryPolicy, UploadMethod, UserAgent, Verification,
};
use crate::certificate::{CertificateFolders, ClientCertificate, RootCertificates};
use crate::proxy::Proxies;
use crate::resolver::{AddressFamily, Resolver, SetAddresses};
use crate::scheme::{Rule, Scheme};

/// All settings of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) default: RegistrySettings,
    pub(crate) registries: HashMap<RegistryName, RegistrySettings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) retry: RetryPolicy,
    pub(crate) user_agent: UserAgent,
    /// The proxies. `None` means the proxies that the environment configures.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) folders: CertificateFolders,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) addresses: SetAddresses,
    pub(crate) family: AddressFamily,
}

/// The effective settings for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) rule: Rule,
    pub(crate) prefix: PathPrefix,
    /// Root certificates. Here and in the next two fields, `None` means not set.
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) verification: Option<Verification>,
    /// True if certificates or verification are set specifically for this address.
    pub(crate) says_tls: bool,
    /// True if these settings are a fallback chosen by scheme detection.
    pub(crate) fallback: bool,
}

impl Resolved {
    /// Returns true if certificates or verification are set, for this address or for all addresses.
    pub(crate) fn has_certificates(&self) -> bool {
        self.root_certificates.is_some()
            || self.client_certificate.is_some()
            || self.verification.is_some()
    }
}

impl Config {
    /// Returns the settings for an address. `None` stands for an address that cannot belong to a
    /// registry, to which no configured settings apply.
    pub(crate) fn at(&self, address: Option<&RegistryName>) -> Resolved {
        match address {
            Some(address) => self.of(address),
            None => Resolved {
                rule: Rule::Tls,
                prefix: PathPrefix::default(),
                root_certificates: None,
                client_certificate: None,
                verification: None,
                says_tls: false,
                fallback: false,
            },
        }
    }

    /// Returns the settings for a registry or any other address.
    pub(crate) fn of(&self, address: &RegistryName) -> Resolved {
        self.resolve(address, &self.own(address))
    }

    /// Returns the settings that are set specifically for an address.
    pub(crate) fn own(&self, address: &RegistryName) -> RegistrySettings {
        self.registries.get(address).cloned().unwrap_or_default()
    }

    /// Resolves the settings for an address. `own` are the settings that are set specifically for
    /// the address.
    pub(crate) fn resolve(&self, address: &RegistryName, own: &RegistrySettings) -> Resolved {
        let scheme = own.scheme.or(self.default.scheme).unwrap_or_default();
        let says_tls = own.root_certificates.is_some()
            || own.client_certificate.is_some()
            || own.verification().is_some();
        let prefix = own.prefix.as_ref().or(self.default.prefix.as_ref());
        Resolved {
            rule: scheme.rule(address, says_tls),
            prefix: prefix.cloned().unwrap_or_default(),
            root_certificates: own
                .root_certificates
                .as_ref()
                .or(self.default.root_certificates.as_ref())
                .cloned(),
            client_certificate: own
                .client_certificate
                .as_ref()
                .or(self.default.client_certificate.as_ref())
                .cloned(),
            verification: own.verification().or(self.default.verification()),
            says_tls,
            // The caller may have changed the settings since detection. TLS with verification is
            // not a fallback.
            fallback: own.fallback && (scheme == Scheme::Http || own.skips_by_fallback()),
        }
    }

    /// Returns true if the caller set plain HTTP specifically for this registry. Such a setting
    /// permits sending credentials unencrypted. A setting for all registries does not.
    pub(crate) fn asks_for_plain_http(&self, registry: &RegistryName) -> bool {
        let own = self.registries.get(registry);
        own.is_some_and(|own| own.scheme == Some(Scheme::Http) && !own.fallback)
    }

    /// Returns true if plain HTTP to an address stays within this machine. The address must be
    /// `localhost` or a loopback address, and no proxy or setting may lead the connection
    /// elsewhere.
    ///
    /// `*.localhost` is not sufficient: without nss-myhostname, glibc looks such a name up in the
    /// network's DNS.
    pub(crate) fn stays_here(&self, address: &RegistryName) -> bool {
        let (host, port) = (address.host(), address.port().unwrap_or(80));
        let is_here = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(literal) => literal.is_loopback(),
            Err(_) if host != "localhost" => false,
            Err(_) => match self.addresses.of(host, port) {
                Some(set) => set.iter().all(IpAddr::is_loopback),
                None => self.resolver.is_none(),
            },
        };
        // Proxies from the environment are not used for connections within this machine.
        let proxies = self.proxies.as_ref();
        is_here && proxies.is_none_or(|proxies| proxies.of(false, host, port, true).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::NoProxy;

    #[test]
    fn a_registry_can_override_each_setting_separately() {
        let mut config = Config::default();
        config.default.verification = Some(Verification::Skip);
        let own = RegistrySettings { scheme: Some(Scheme::Http), ..RegistrySettings::default() };
        config.registries.insert("plain.example".parse().unwrap(), own);
        let checked = RegistrySettings {
            verification: Some(Verification::Full),
            ..RegistrySettings::default()
        };
        config.registries.insert("checked.example".parse().unwrap(), checked);

        let of = |name: &str| {
            let found = config.of(&name.parse().unwrap());
            (found.rule == Rule::Tls, found.verification.unwrap())
        };
        assert_eq!(of("plain.example"), (false, Verification::Skip));
        assert_eq!(of("checked.example"), (true, Verification::Full));
        assert_eq!(of("other.example"), (true, Verification::Skip));
    }

    #[test]
    fn only_this_machine_uses_plain_http_by_default() {
        let config = Config::default();
        for (name, https) in [
            ("localhost", false),
            ("127.0.0.1:5000", false),
            ("[::1]:5000", false),
            ("registry.localhost", false),
            ("10.0.0.1:5000", true),
            ("localhost.example", true),
        ] {
            assert_eq!(config.of(&name.parse().unwrap()).rule == Rule::Tls, https, "{name}");
        }
    }

    #[test]
    fn address_and_settings_decide_if_a_connection_stays_on_this_machine() {
        let stays = |config: &Config, name: &str| config.stays_here(&name.parse().unwrap());
        let plain = Config::default();
        for (name, expected) in [
            ("localhost:5000", true),
            ("127.0.0.1", true),
            ("127.8.9.10:5000", true),
            ("[::1]:5000", true),
            // This name may be looked up in the network's DNS.
            ("registry.localhost:5000", false),
            ("[::ffff:10.0.0.1]:5000", false),
            ("10.0.0.1:5000", false),
            ("127.0.0.1.example:5000", false),
        ] {
            assert_eq!(stays(&plain, name), expected, "{name}");
        }
        let mut moved = Config::default();
        moved.addresses.add("localhost:5000:10.0.0.1".parse().unwrap());
        moved.addresses.add("localhost:5001:127.0.0.1".parse().unwrap());
        assert!(!stays(&moved, "localhost:5000") && stays(&moved, "localhost:5001"));
        assert!(stays(&moved, "localhost:5002") && stays(&moved, "127.0.0.1:5000"));
        let proxy = "http://proxy.example:3128".parse().unwrap();
        let proxies = Proxies::all(proxy).except(NoProxy::parse("127.0.0.1"));
        let proxied = Config { proxies: Some(proxies), ..Config::default() };
        assert!(!stays(&proxied, "localhost:5000") && stays(&proxied, "127.0.0.1:5000"));
    }

    #[test]
    fn verification_set_for_a_loopback_address_enables_tls() {
        let mut config = Config::default();
        let own = RegistrySettings {
            verification: Some(Verification::Full),
            ..RegistrySettings::default()
        };
        config.registries.insert("localhost:5000".parse().unwrap(), own);
        assert_eq!(config.of(&"localhost:5000".parse().unwrap()).rule, Rule::Tls);
        assert_eq!(config.of(&"localhost:5001".parse().unwrap()).rule, Rule::Local);
    }
}
