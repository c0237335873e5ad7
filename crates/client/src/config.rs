//! Settings: how each registry is reached, and the limits on what is waited for.
//!
//! Pure values. [`ClientBuilder`](crate::ClientBuilder) takes them; the transport asks
//! [`Config::of`] about every address it meets, be it a registry's, a token service's or a
//! storage's.

use std::collections::HashMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use longshore_core::RegistryName;

use crate::certificate::RootCertificates;

/// How one registry is reached. What is `None` is taken from the default for all registries.
///
/// The three settings are independent: none implies another, except that a registry on loopback
/// with certificates or verification set is not [`Auto`](Scheme::Auto)matically plain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// Whether to use TLS. Without any setting: [`Scheme::Auto`].
    pub scheme: Option<Scheme>,
    /// Certificates of authorities to trust in addition to the system's.
    pub root_certificates: Option<RootCertificates>,
    /// Whether the server's certificate is checked. Without any setting: [`Verification::Full`].
    pub verification: Option<Verification>,
}

/// Whether a registry is reached over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP for `localhost` and loopback addresses, HTTPS for all others.
    #[default]
    Auto,
    /// Plain HTTP.
    Http,
    /// HTTPS, on loopback too.
    Https,
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// That it is valid, for this host, and signed by a trusted authority.
    #[default]
    Full,
    /// Nothing: whoever is in between can read and change everything, credentials included.
    Skip,
}

/// How long things may take, and how many may happen at once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The wait for a connection, TLS included. Default: 30 s.
    pub connect: Duration,
    /// The wait for a reply once a request is sent. Default: 60 s.
    pub response: Duration,
    /// The wait for the next bytes of a body; also the time over which one must reach a kilobyte a
    /// second. Default: 60 s.
    pub idle: Duration,
    /// Requests to one host that wait for their reply at the same time. Default: 16.
    pub requests_per_host: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            requests_per_host: NonZeroUsize::MIN.saturating_add(15),
        }
    }
}

/// When to send again, and after how long.
///
/// The wait before attempt *n* is drawn evenly between zero and `first_wait` doubled *n*-1 times, at
/// most `longest_wait`: full jitter, so that many clients do not come back at once. What the other
/// end asks for (`Retry-After`) takes its place, unless it is longer than `longest_asked_wait`: then
/// the request fails at once, and the error says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a request is sent in all. Default: 5.
    pub attempts: NonZeroUsize,
    /// The bound of the first wait. Default: 0.2 s.
    pub first_wait: Duration,
    /// The bound of any wait that is not asked for. Default: 30 s.
    pub longest_wait: Duration,
    /// The longest wait that is granted when asked for. Default: 60 s.
    pub longest_asked_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroUsize::MIN.saturating_add(4),
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(30),
            longest_asked_wait: Duration::from_secs(60),
        }
    }
}

/// In what form blobs are sent.
///
/// A registry that refuses one is sent the other, and that is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadForm {
    /// In one request, which begins and ends the upload, where the registry takes that; else as
    /// [`Whole`](Self::Whole). Some registries leave the content unread, and it is sent twice.
    Single,
    /// All at once: two requests a blob, whatever its size.
    #[default]
    Whole,
    /// In chunks of this many bytes, or of the registry's own minimum if that is more.
    Chunks(NonZeroU64),
}

/// All settings of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) default: RegistrySettings,
    pub(crate) registries: HashMap<RegistryName, RegistrySettings>,
    pub(crate) limits: Limits,
    pub(crate) retry: RetryPolicy,
}

/// The settings that hold for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) https: bool,
    pub(crate) root_certificates: RootCertificates,
    pub(crate) verification: Verification,
}

impl Config {
    /// The settings for a registry or any other address.
    pub(crate) fn of(&self, address: &RegistryName) -> Resolved {
        let none = RegistrySettings::default();
        let own = self.registries.get(address).unwrap_or(&none);
        let scheme = own.scheme.or(self.default.scheme).unwrap_or_default();
        let says_tls = own.root_certificates.is_some() || own.verification.is_some();
        let https = match scheme {
            Scheme::Http => false,
            Scheme::Https => true,
            Scheme::Auto => !address.is_loopback() || says_tls,
        };
        let root_certificates = own.root_certificates.as_ref();
        Resolved {
            https,
            root_certificates: root_certificates
                .or(self.default.root_certificates.as_ref())
                .cloned()
                .unwrap_or_default(),
            verification: own.verification.or(self.default.verification).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_overrides_each_setting_by_itself() {
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
            (found.https, found.verification)
        };
        assert_eq!(of("plain.example"), (false, Verification::Skip));
        assert_eq!(of("checked.example"), (true, Verification::Full));
        assert_eq!(of("other.example"), (true, Verification::Skip));
    }

    #[test]
    fn only_this_machine_is_plain_unasked() {
        let config = Config::default();
        for (name, https) in [
            ("localhost", false),
            ("127.0.0.1:5000", false),
            ("[::1]:5000", false),
            ("registry.localhost", false),
            ("10.0.0.1:5000", true),
            ("localhost.example", true),
        ] {
            assert_eq!(config.of(&name.parse().unwrap()).https, https, "{name}");
        }
    }

    #[test]
    fn certificates_on_loopback_mean_tls() {
        let mut config = Config::default();
        let own = RegistrySettings {
            verification: Some(Verification::Full),
            ..RegistrySettings::default()
        };
        config.registries.insert("localhost:5000".parse().unwrap(), own);
        assert!(config.of(&"localhost:5000".parse().unwrap()).https);
        assert!(!config.of(&"localhost:5001".parse().unwrap()).https);
    }
}
