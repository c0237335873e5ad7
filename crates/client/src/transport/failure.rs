//! Determines from an error's causes why a connection failed, and describes the failure for users.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{CertificateError, OtherError};

/// The reason why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server's certificate is invalid, not for this host, or from an unknown authority.
    Certificate,
    /// The server does not speak TLS.
    NotTls,
    /// The server does not speak HTTP. A server that expects TLS causes the same error.
    NotHttp,
    /// The server speaks TLS, but the handshake failed for another reason.
    Tls,
    /// The server closed the connection. Some servers do so if the client does not use the expected
    /// protocol (plain HTTP or TLS).
    Closed,
    /// No server listens on the port.
    Refused,
    /// The proxy requires a login, or rejects the login that was sent.
    ProxyLogin,
    /// Any other reason.
    Other,
}

impl Failure {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        match cause::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(_)) => return Self::Certificate,
            Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
            Some(_) => return Self::Tls,
            None if says(error, PROXY_LOGIN) => return Self::ProxyLogin,
            None if says(error, NO_HTTP) => return Self::NotHttp,
            None => {}
        }
        match cause::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Self::Closed,
            _ => Self::Other,
        }
    }

    /// Returns true if another attempt cannot help.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Certificate | Self::NotTls | Self::ProxyLogin)
    }
}

/// The destination of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Way<'a> {
    pub(crate) https: bool,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    /// The name for command-line options: the host, and the port if it is not the scheme's default.
    pub(crate) name: &'a str,
    /// The proxy of the connection.
    pub(crate) proxy: Option<&'a str>,
}

impl Way<'_> {
    /// Returns a clause that describes the attempt and the innermost cause of its failure.
    pub(crate) fn clause(&self, error: &(dyn StdError + 'static)) -> String {
        let Self { host, port, .. } = self;
        let reason = innermost(error);
        let place = match self.proxy_that_failed(error) {
            Some(proxy) => format!("the proxy {proxy}"),
            None => format!("{host}:{port}"),
        };
        match cause::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                return format!("the certificate of {place} {}", Invalid(why));
            }
            Some(rustls::Error::InvalidMessage(_)) => return format!("{place} does not speak TLS"),
            Some(other) => return format!("cannot speak TLS with {place}: {other}"),
            None => {}
        }
        match self.proxy {
            Some(proxy) if says(error, PROXY_LOGIN) => {
                format!("the proxy {proxy} requires a user name and password")
            }
            Some(proxy) if says(error, TUNNEL_REFUSED) => {
                format!("the proxy {proxy} refuses to connect to {host}:{port}")
            }
            _ if !says(error, NO_ADDRESS) => format!("cannot connect to {place}: {reason}"),
            _ if place.starts_with("the proxy") => format!("cannot resolve {place}: {reason}"),
            _ => format!("cannot resolve {host}: {reason}"),
        }
    }

    /// Returns a clause for a connection attempt that exceeded its time limit.
    pub(crate) fn late(&self, limit: Duration) -> String {
        let Self { host, port, .. } = self;
        let through = self.proxy.map(|proxy| format!(" through the proxy {proxy}"));
        let through = through.unwrap_or_default();
        format!("cannot connect to {host}:{port}{through}: no connection within {limit:?}")
    }

    /// Returns a hint for the user, if the user can solve the problem.
    pub(crate) fn hint(&self, error: &(dyn StdError + 'static)) -> Option<String> {
        let name = self.name;
        if self.proxy_that_failed(error).is_some() {
            let is_certificate = Failure::of(error) == Failure::Certificate;
            return is_certificate
                .then(|| "Trust the proxy's root certificate (--proxy-ca-file FILE).".to_owned());
        }
        Some(match (Failure::of(error), cause::<rustls::Error>(error)) {
            (_, Some(rustls::Error::InvalidCertificate(why))) if Invalid(why).is_untrusted() => {
                format!(
                    "Trust the server's root certificate (--ca-file FILE), or skip verification \
                     (--skip-tls-verify {name})."
                )
            }
            (Failure::Certificate, _) => {
                format!("To accept this certificate, use --skip-tls-verify {name}.")
            }
            (Failure::NotTls, _) => {
                format!("If the server speaks plain HTTP, use --plain-http {name}.")
            }
            (Failure::NotHttp | Failure::Closed, _) if !self.https && self.proxy.is_none() => {
                "If the server speaks TLS, use --scheme https.".to_owned()
            }
            (Failure::ProxyLogin, _) => PROXY_LOGIN_HINT.to_owned(),
            (
                _,
                Some(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)),
            ) => "The server requires a client certificate: use --client-cert CERT,KEY.".to_owned(),
            _ => return None,
        })
    }

    /// Returns the proxy if the connection to the proxy itself failed.
    fn proxy_that_failed(&self, error: &(dyn StdError + 'static)) -> Option<&str> {
        let is_first_hop =
            !self.https || says(error, NO_PROXY) || says(error, NO_SOCKS) || says(error, NO_TCP);
        self.proxy.filter(|_| is_first_hop)
    }
}

/// Returns the text of the innermost cause, without the system's error number.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut inner = error;
    while let Some(next) = deeper(inner) {
        inner = next;
    }
    let text = inner.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        // Abbreviations stay in capitals.
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

/// A self-signed certificate that is not accepted.
#[derive(Debug)]
pub(crate) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("self-signed")
    }
}

impl StdError for SelfSigned {}

/// The defect of a certificate. The text completes a sentence that begins with the certificate.
struct Invalid<'a>(&'a CertificateError);

impl Invalid<'_> {
    /// Returns true if the certificate may become valid when the user trusts it or its authority.
    fn is_untrusted(&self) -> bool {
        match self.0 {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => true,
            CertificateError::Other(other) => other.0.is::<SelfSigned>() || is_authority(other),
            _ => false,
        }
    }
}

impl fmt::Display for Invalid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            CertificateError::UnknownIssuer => f.write_str("is not trusted: unknown authority"),
            // An authority that was recreated under the same name causes this error.
            CertificateError::BadSignature => f.write_str("is not trusted: bad signature"),
            CertificateError::Other(other) if is_authority(other) => {
                f.write_str("is not trusted: it is a CA certificate, not a server certificate")
            }
            CertificateError::Other(other) if self.is_untrusted() => {
                write!(f, "is not trusted: {}", other.0)
            }
            CertificateError::ExpiredContext { time, not_after } => {
                let since = time.as_secs().saturating_sub(not_after.as_secs());
                write!(f, "expired {} ago", span(since))
            }
            CertificateError::NotValidYetContext { time, not_before } => {
                let left = not_before.as_secs().saturating_sub(time.as_secs());
                write!(f, "becomes valid in {}, by this machine's clock", span(left))
            }
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                f.write_str("is for no host: the subject alternative name is missing")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let bare = |name: &String| {
                    let inside = name.split_once('(').map_or(name.as_str(), |(_, inside)| inside);
                    inside.trim_matches([')', '"']).to_owned()
                };
                let names: Vec<_> = presented.iter().take(NAMES_SHOWN).map(bare).collect();
                write!(f, "is for other names: {}", names.join(", "))?;
                match presented.len().saturating_sub(NAMES_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, " and {more} more"),
                }
            }
            other => write!(f, "is not valid: {other}"),
        }
    }
}

/// Returns true if a certificate was refused because it is an authority's certificate.
pub(crate) fn is_authority(error: &OtherError) -> bool {
    error.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Formats a duration in its largest unit.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Returns the next cause. Handles `io::Error` separately, because its `source` skips the wrapped
/// error.
fn deeper<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as _).or_else(|| error.source())
}

/// Returns the innermost cause of the given type.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    deeper(error).and_then(cause).or_else(|| error.downcast_ref())
}

/// Returns true if a cause has exactly this text.
fn says(error: &(dyn StdError + 'static), text: &str) -> bool {
    error.to_string() == text || deeper(error).is_some_and(|source| says(source, text))
}

/// The hint for a proxy that answers 407.
pub(crate) const PROXY_LOGIN_HINT: &str = "Check the user and password in the proxy's settings.";

// Texts of the HTTP library, which has no public types for these errors.

/// The text for a 407 to CONNECT.
const PROXY_LOGIN: &str = "tunnel error: proxy authorization required";
/// The text for any other refusal of CONNECT.
const TUNNEL_REFUSED: &str = "tunnel error: unsuccessful";
/// The text for a failed connection to a proxy.
const NO_PROXY: &str = "tunnel error: failed to create underlying connection";
/// The text for a failed connection to or through a SOCKS proxy.
const NO_SOCKS: &str = "error connecting to socks proxy";
/// The text for a failed TCP connection, which is to the proxy if there is a proxy.
const NO_TCP: &str = "tcp connect error";
/// The text for a name without an address.
const NO_ADDRESS: &str = "error resolving DNS";
/// The text for a reply that is not HTTP, such as a TLS alert.
const NO_HTTP: &str = "invalid HTTP version parsed";

/// The maximum number of a certificate's names that are shown.
const NAMES_SHOWN: usize = 3;

#[cfg(test)]
mod tests;
