//! Chooses between plain HTTP and TLS for a registry, by rules for names.
//!
//! Pure. The submodule `detect` sends requests to registries.

pub(crate) mod detect;

use std::fmt;
use std::str::FromStr;

use longshore_core::{ParseError, RegistryName};

use crate::environment::Environment;

/// The choice between plain HTTP and TLS for a registry.
///
/// The text forms are `auto`, `http`, `https`, `by-name` and `detect`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scheme {
    /// Plain HTTP for `localhost`, `*.localhost` and loopback addresses, HTTPS for all others.
    ///
    /// If certificates or verification are set for all registries, or `certs.d` has a folder for
    /// the registry, a registry on loopback is tried over TLS first.
    #[default]
    Auto,
    /// Plain HTTP.
    Http,
    /// HTTPS, also for registries on loopback.
    Https,
    /// Plain HTTP for `localhost`, `127.0.0.1`, `*.local` and `*.localhost`, HTTPS for all others.
    /// As with [`Auto`](Self::Auto), TLS may be tried first for a registry on loopback.
    ByName,
    /// The settings that [`Client::detect`](crate::Client::detect) returns: HTTPS with a valid
    /// certificate, else HTTPS with any certificate, else plain HTTP. A client detects the settings
    /// once for each registry, before the first request, and caches them.
    ///
    /// Every fallback is logged as a warning. An attacker on the network path can cause a fallback,
    /// so use this scheme only on trusted networks. Other settings of the registry still apply.
    /// With [`Verification::Full`](crate::Verification::Full), no invalid certificate is accepted.
    /// If certificates or verification are set for the registry, plain HTTP is not used. A fallback
    /// does not permit sending credentials: over plain HTTP, or to a server with an invalid
    /// certificate, the client sends only credentials that permit such use themselves.
    Detect,
}

/// The rule that a scheme implies before any request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Plain,
    /// For a registry on this machine: TLS if the registry speaks TLS, and if certificates or
    /// verification are set for all registries or `certs.d` has a folder for the registry.
    /// Otherwise, plain HTTP.
    Local,
    Tls,
    Detect,
}

impl Scheme {
    /// The environment variable that holds the default scheme of a program.
    pub const VARIABLE: &'static str = "LONGSHORE_DEFAULT_SCHEME";

    /// Returns the default scheme in the environment (`LONGSHORE_DEFAULT_SCHEME`), if it is set.
    /// The library itself never calls this function.
    ///
    /// # Errors
    /// [`ParseError`] if the value is not the name of a scheme.
    pub fn from_environment(environment: &Environment) -> Result<Option<Self>, ParseError> {
        environment.text(Self::VARIABLE).map(str::parse).transpose()
    }

    /// Returns the scheme's text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http => "http",
            Self::Https => "https",
            Self::ByName => "by-name",
            Self::Detect => "detect",
        }
    }

    /// Returns the rule for a registry. `says_tls` is true if certificates or verification are set
    /// for the registry.
    pub(crate) fn rule(self, registry: &RegistryName, says_tls: bool) -> Rule {
        let plain = match self {
            Self::Http => true,
            Self::Https => false,
            Self::Auto => registry.is_loopback() && !says_tls,
            Self::ByName => is_local_by_name(registry.host()) && !says_tls,
            Self::Detect => return Rule::Detect,
        };
        match (plain, self) {
            (false, _) => Rule::Tls,
            (true, Self::Auto | Self::ByName) if registry.is_loopback() => Rule::Local,
            (true, _) => Rule::Plain,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scheme {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let lower = text.to_ascii_lowercase();
        ALL.into_iter().find(|scheme| scheme.as_str() == lower).ok_or_else(|| {
            let reason = "expected auto, http, https, by-name or detect";
            ParseError::new("scheme", text, reason)
        })
    }
}

/// Returns true if the name of a host suggests this machine or the local link. `.local` is the
/// domain of multicast DNS.
///
/// Source: RFC 6761, section 6.3; RFC 6762, section 3.
fn is_local_by_name(host: &str) -> bool {
    host == "localhost"
        || host == "127.0.0.1"
        || host.ends_with(".local")
        || host.ends_with(".localhost")
}

const ALL: [Scheme; 5] =
    [Scheme::Auto, Scheme::Http, Scheme::Https, Scheme::ByName, Scheme::Detect];

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scheme: Scheme, name: &str) -> Rule {
        scheme.rule(&name.parse().unwrap(), false)
    }

    #[test]
    fn schemes_are_parsed_from_their_text_form() {
        for scheme in ALL {
            assert_eq!(scheme.to_string().parse::<Scheme>().unwrap(), scheme);
        }
        assert_eq!("HTTPS".parse::<Scheme>().unwrap(), Scheme::Https);
        let of = |value: &str| {
            Scheme::from_environment(&Environment::empty().with(Scheme::VARIABLE, value))
        };
        assert_eq!(of("detect").unwrap(), Some(Scheme::Detect));
        assert_eq!(of("").unwrap(), None);
        assert!(of("ssh").is_err());
        let e = "ftp".parse::<Scheme>().unwrap_err().to_string();
        assert!(e.contains("by-name or detect"), "{e}");
    }

    #[test]
    fn by_name_chooses_the_scheme_by_the_host_name_alone() {
        for name in [
            "localhost",
            "localhost:5000",
            "LOCALHOST:5000",
            "127.0.0.1",
            "127.0.0.1:5000",
            "foo.local",
            "foo.local:5000",
            "foo.localhost",
            "a.b-c.local",
            "localhost.local:1",
        ] {
            assert_ne!(rule(Scheme::ByName, name), Rule::Tls, "{name}");
        }
        for name in [
            "127.0.0.2",
            "127.0.0.2:5000",
            "foo.localhosts",
            "local",
            "x.local.com",
            "registry.example.com",
            "registry.example.com:5000",
            "aysa.ad:5000",
            "0.0.0.0:5000",
            "192.168.1.1:5000",
            "[::1]:5000",
        ] {
            assert_eq!(rule(Scheme::ByName, name), Rule::Tls, "{name}");
            assert_eq!(rule(Scheme::Http, name), Rule::Plain, "{name}");
        }
        // Invalid names of registries: with an underscore, an empty port, a port that is too high,
        // a leading hyphen, or a path.
        for name in ["my_reg.local", "localhost:", "localhost:500000", "-x.local", "localhost/path"]
        {
            assert!(RegistryName::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn an_explicit_scheme_takes_precedence_over_every_rule() {
        for name in ["localhost", "127.0.0.1:443", "[::1]:5000", "registry.example"] {
            assert_eq!(rule(Scheme::Https, name), Rule::Tls, "{name}");
            assert_eq!(rule(Scheme::Http, name), Rule::Plain, "{name}");
            assert_eq!(rule(Scheme::Detect, name), Rule::Detect, "{name}");
        }
        assert_eq!(rule(Scheme::Auto, "[::1]:5000"), Rule::Local);
        assert_eq!(rule(Scheme::ByName, "localhost"), Rule::Local);
        assert_eq!(rule(Scheme::ByName, "r.local"), Rule::Plain);
        assert_eq!(Scheme::Auto.rule(&"localhost".parse().unwrap(), true), Rule::Tls);
    }
}
