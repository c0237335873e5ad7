//! Decides whether a secret may be sent to a registry. Pure. The rule exists only in this module.

use http::Uri;
use longshore_core::RegistryName;

use crate::config::Config;
use crate::credentials::InsecureUse;

/// The danger of sending a secret to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Danger {
    /// Plain HTTP within this machine: another user of the machine may be listening on that port.
    Local,
    /// Plain HTTP: anyone on the network path can read the secret.
    Plain,
    /// An invalid certificate that only scheme detection accepted: the server may be an impostor.
    Unverified,
}

impl Danger {
    /// Returns the danger of sending a secret to a registry, or `None` if there is no danger.
    ///
    /// - `https`: the registry is reached over TLS.
    /// - `fallback`: the settings are a fallback chosen by scheme detection.
    /// - `stays_here`: the connection to the registry does not leave this machine.
    pub(crate) fn to(https: bool, fallback: bool, stays_here: bool) -> Option<Self> {
        match (https, fallback) {
            (false, _) if stays_here => Some(Self::Local),
            (false, _) => Some(Self::Plain),
            (true, true) => Some(Self::Unverified),
            (true, false) => None,
        }
    }

    /// Returns the danger of sending the registry's secret to the token service at `realm`, the URL
    /// that the registry named.
    pub(crate) fn at_service(self, realm: &Uri, config: &Config) -> Option<Self> {
        let address = realm.authority().and_then(|a| RegistryName::parse(a.as_str()).ok());
        match self {
            Self::Local if realm.scheme_str() == Some("https") => None,
            Self::Local if !address.is_some_and(|a| config.stays_here(&a)) => Some(Self::Plain),
            danger => Some(danger),
        }
    }

    /// Returns true if a secret with this permission may be sent despite the danger.
    pub(crate) fn is_accepted(self, insecure_use: InsecureUse) -> bool {
        match self {
            Self::Local => insecure_use >= InsecureUse::ThisMachine,
            Self::Plain | Self::Unverified => insecure_use >= InsecureUse::Anywhere,
        }
    }

    /// Returns a clause that says why secrets are withheld, and how to allow sending them.
    pub(crate) fn clause(self, withheld: &str, registry: &RegistryName) -> String {
        let why = match self {
            Self::Local => format!(
                "over plain HTTP unless they are stored for exactly {registry}: log in there, or \
                 set its scheme to http (--plain-http {registry})"
            ),
            Self::Plain => format!(
                "over plain HTTP unless you allow it: set the scheme of {registry} to http, \
                 preferably when logging in (--plain-http {registry})"
            ),
            Self::Unverified => format!(
                "to a server with an invalid certificate unless you allow it: trust its \
                 certificate authority (--ca-file), or skip its verification \
                 (--skip-tls-verify {registry})"
            ),
        };
        format!("{withheld} are not sent {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tls_without_a_detection_fallback_is_safe() {
        for (https, fallback, stays_here, danger) in [
            (true, false, false, None),
            (true, false, true, None),
            (true, true, true, Some(Danger::Unverified)),
            (false, false, false, Some(Danger::Plain)),
            (false, true, false, Some(Danger::Plain)),
            (false, false, true, Some(Danger::Local)),
        ] {
            let found = Danger::to(https, fallback, stays_here);
            assert_eq!(found, danger, "{https} {fallback} {stays_here}");
        }
    }

    #[test]
    fn an_entry_for_the_exact_address_permits_plain_http_within_this_machine_only() {
        for (danger, insecure_use, expected) in [
            (Danger::Local, InsecureUse::Nowhere, false),
            (Danger::Local, InsecureUse::ThisMachine, true),
            (Danger::Local, InsecureUse::Anywhere, true),
            (Danger::Plain, InsecureUse::Nowhere, false),
            (Danger::Plain, InsecureUse::ThisMachine, false),
            (Danger::Plain, InsecureUse::Anywhere, true),
            (Danger::Unverified, InsecureUse::ThisMachine, false),
            (Danger::Unverified, InsecureUse::Anywhere, true),
        ] {
            assert_eq!(danger.is_accepted(insecure_use), expected, "{danger:?} {insecure_use:?}");
        }
    }

    #[test]
    fn plain_http_to_a_token_service_outside_this_machine_is_dangerous() {
        let config = Config::default();
        for (danger, realm, expected) in [
            (Danger::Local, "https://auth.example/token", None),
            (Danger::Local, "http://127.0.0.1:5001/token", Some(Danger::Local)),
            (Danger::Local, "http://localhost/token", Some(Danger::Local)),
            (Danger::Local, "http://auth.example/token", Some(Danger::Plain)),
            (Danger::Local, "http://auth.localhost/token", Some(Danger::Plain)),
            (Danger::Local, "http://10.0.0.1/token", Some(Danger::Plain)),
            (Danger::Local, "http://my_auth/token", Some(Danger::Plain)),
            (Danger::Plain, "http://127.0.0.1/token", Some(Danger::Plain)),
        ] {
            let found = danger.at_service(&realm.parse().unwrap(), &config);
            assert_eq!(found, expected, "{danger:?} {realm}");
        }
    }
}
