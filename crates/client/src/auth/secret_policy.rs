//! Why a secret is not sent to a registry. Pure, and the one rule of it.

use http::Uri;
use longshore_core::RegistryName;

use crate::config::Config;
use crate::credentials::Leave;

/// What would happen to a secret on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Danger {
    /// It goes over plain HTTP within this machine: another of its users may be listening on that
    /// port.
    Local,
    /// It goes over plain HTTP: everybody in between can read it.
    Plain,
    /// Whoever is in between may be who it is sent to: the certificate is not valid, and was accepted
    /// by detection alone.
    Unverified,
}

impl Danger {
    /// What would happen to a secret; `None` where it is safe. `fallback` says that only detection
    /// chose these settings, `stays_here` that plain HTTP to the registry stays within this machine.
    pub(crate) fn to(https: bool, fallback: bool, stays_here: bool) -> Option<Self> {
        match (https, fallback) {
            (false, _) if stays_here => Some(Self::Local),
            (false, _) => Some(Self::Plain),
            (true, true) => Some(Self::Unverified),
            (true, false) => None,
        }
    }

    /// What would happen to the registry's secret at the token service that the registry names.
    pub(crate) fn at_service(self, realm: &Uri, config: &Config) -> Option<Self> {
        let address = realm.authority().and_then(|a| RegistryName::parse(a.as_str()).ok());
        match self {
            Self::Local if realm.scheme_str() == Some("https") => None,
            Self::Local if !address.is_some_and(|a| config.stays_here(&a)) => Some(Self::Plain),
            danger => Some(danger),
        }
    }

    /// Whether a secret may go there in spite of it.
    pub(crate) fn is_accepted(self, leave: Leave) -> bool {
        match self {
            Self::Local => leave >= Leave::ThisMachine,
            Self::Plain | Self::Unverified => leave >= Leave::Anywhere,
        }
    }

    /// That something is held back, and what to do about it, in a clause.
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
                "to a server with an invalid certificate unless you allow it: trust its authority \
                 (--ca-file), or skip its verification (--skip-tls-verify {registry})"
            ),
        };
        format!("{withheld} are not sent {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_safe_behind_a_certificate_that_was_checked_or_need_not_be() {
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
    fn an_entry_for_exactly_that_address_is_leave_within_this_machine_alone() {
        for (danger, leave, expected) in [
            (Danger::Local, Leave::Nowhere, false),
            (Danger::Local, Leave::ThisMachine, true),
            (Danger::Local, Leave::Anywhere, true),
            (Danger::Plain, Leave::Nowhere, false),
            (Danger::Plain, Leave::ThisMachine, false),
            (Danger::Plain, Leave::Anywhere, true),
            (Danger::Unverified, Leave::ThisMachine, false),
            (Danger::Unverified, Leave::Anywhere, true),
        ] {
            assert_eq!(danger.is_accepted(leave), expected, "{danger:?} {leave:?}");
        }
    }

    #[test]
    fn a_token_service_elsewhere_is_not_this_machine() {
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
