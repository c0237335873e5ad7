//! Settings: how each registry is reached, and the limits on what is waited for.
//!
//! Pure values. [`ClientBuilder`](crate::ClientBuilder) takes them; the transport asks
//! [`Config::of`] about every address it meets, be it a registry's, a token service's or a
//! storage's.

use std::collections::HashMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use longshore_core::{ParseError, RegistryName};

use crate::certificate::{ClientCertificate, RootCertificates};
use crate::certificate_folder::CertificateFolders;
use crate::limits::Limits;
use crate::proxy::Proxies;
use crate::registry_url::PathPrefix;
use crate::resolver::{AddressFamily, Resolver, SetAddresses};
use crate::scheme::{Rule, Scheme};

/// How one registry is reached. What is `None` is taken from the default for all registries.
///
/// The settings are independent: none implies another, except that a registry with certificates or
/// verification set is not plain by [`Scheme::Auto`], [`ByName`](Scheme::ByName) or
/// [`Detect`](Scheme::Detect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// Whether to use TLS. Without any setting: [`Scheme::Auto`].
    pub scheme: Option<Scheme>,
    /// The path before `/v2/`, from a [`RegistryUrl`](crate::RegistryUrl). Without any setting: none.
    pub prefix: Option<PathPrefix>,
    /// Certificates of authorities to trust in addition to the system's.
    pub root_certificates: Option<RootCertificates>,
    /// The certificate to show if the server asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// Whether the server's certificate is checked. Without any setting: [`Verification::Full`].
    pub verification: Option<Verification>,
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

/// What a client calls itself: the `User-Agent` header of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// Reads the value of the header, such as `tool/1.0 (+https://tool.example)`.
    ///
    /// # Errors
    /// [`ParseError`] if it is empty, or not all printable ASCII.
    ///
    /// Source: RFC 9110, section 10.1.5.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        match HeaderValue::from_str(text) {
            Ok(value) if printable && !text.trim().is_empty() => Ok(Self(value)),
            _ => Err(ParseError::new("user agent", text, "expected printable ASCII characters")),
        }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// `longshore/` and its version.
impl Default for UserAgent {
    fn default() -> Self {
        Self(HeaderValue::from_static(concat!("longshore/", env!("CARGO_PKG_VERSION"))))
    }
}

impl FromStr for UserAgent {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// All settings of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    pub(crate) default: RegistrySettings,
    pub(crate) registries: HashMap<RegistryName, RegistrySettings>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) retry: RetryPolicy,
    pub(crate) user_agent: UserAgent,
    /// `None`: those of the environment.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) folders: CertificateFolders,
    pub(crate) resolver: Option<Arc<dyn Resolver>>,
    pub(crate) addresses: SetAddresses,
    pub(crate) family: AddressFamily,
}

/// The settings that hold for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) rule: Rule,
    pub(crate) prefix: PathPrefix,
    /// This and the next two: `None` where nobody said.
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) verification: Option<Verification>,
    /// Whether this address has certificates or verification set for itself.
    pub(crate) says_tls: bool,
}

impl Config {
    /// The settings for an address; the defaults where no registry can have its name.
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
            },
        }
    }

    /// The settings for a registry or any other address.
    pub(crate) fn of(&self, address: &RegistryName) -> Resolved {
        let none = RegistrySettings::default();
        let own = self.registries.get(address).unwrap_or(&none);
        let scheme = own.scheme.or(self.default.scheme).unwrap_or_default();
        let says_tls = own.root_certificates.is_some()
            || own.client_certificate.is_some()
            || own.verification.is_some();
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
            verification: own.verification.or(self.default.verification),
            says_tls,
        }
    }
}

impl Config {
    /// Whether the caller said of this very registry that it speaks plain HTTP, and so that credentials
    /// go there unencrypted. That a name stands for this machine says nothing of the kind, nor does
    /// what holds for all registries.
    pub(crate) fn asks_for_plain_http(&self, registry: &RegistryName) -> bool {
        self.registries.get(registry).is_some_and(|own| own.scheme == Some(Scheme::Http))
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
            (found.rule == Rule::Tls, found.verification.unwrap())
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
            assert_eq!(config.of(&name.parse().unwrap()).rule == Rule::Tls, https, "{name}");
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
        assert_eq!(config.of(&"localhost:5000".parse().unwrap()).rule, Rule::Tls);
        assert_eq!(config.of(&"localhost:5001".parse().unwrap()).rule, Rule::Plain);
    }
}
