//! Settings of one registry, and of a client.

use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use longshore_core::ParseError;

use super::PathPrefix;
use crate::certificate::{ClientCertificate, RootCertificates};
use crate::scheme::Scheme;

/// Settings for one registry. Fields that are `None` use the default for all registries.
///
/// The settings are independent: none implies another, except that a registry with certificates or
/// verification set is not plain by [`Scheme::Auto`], [`ByName`](Scheme::ByName) or
/// [`Detect`](Scheme::Detect).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// The scheme: plain HTTP or TLS. Default: [`Scheme::Auto`].
    pub scheme: Option<Scheme>,
    /// The path before `/v2/`, from a [`RegistryUrl`](crate::RegistryUrl). Default: none.
    pub prefix: Option<PathPrefix>,
    /// Certificates of authorities to trust in addition to the system's.
    pub root_certificates: Option<RootCertificates>,
    /// The certificate to present if the server asks for one.
    pub client_certificate: Option<ClientCertificate>,
    /// The checks of the server's certificate. Default: [`Verification::Full`].
    pub verification: Option<Verification>,
    /// Whether detection fell back to this scheme and verification: to plain HTTP, or to an invalid
    /// certificate. Nobody chose them, so they are no permission to send secrets there. Counts in
    /// the settings of a single registry, as long as they say [`Scheme::Http`] or
    /// [`Verification::Skip`].
    pub fallback: bool,
}

impl RegistrySettings {
    /// The verification that was chosen.
    pub(crate) fn verification(&self) -> Option<Verification> {
        self.verification.filter(|_| !self.skips_by_fallback())
    }

    /// Whether the certificate is not checked because detection fell back to that.
    pub(crate) fn skips_by_fallback(&self) -> bool {
        self.fallback && self.verification == Some(Verification::Skip)
    }
}

/// What is checked of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verification {
    /// That it is valid, for this host, and signed by a trusted authority.
    #[default]
    Full,
    /// Nothing: whoever is in between can read and change everything, credentials included.
    Skip,
}

/// How long things may take, and how many may happen at once.
///
/// What takes more than five seconds is told meanwhile, see [`wait`](longshore_core::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The wait for a connection, TLS included. Default: 30 s.
    pub connect: Duration,
    /// The wait for a reply once a request is sent. Default: 60 s.
    pub response: Duration,
    /// The wait for the next bytes of a body; also the time over which one must reach a kilobyte a
    /// second. Default: 30 s.
    pub idle: Duration,
    /// The time for one request in all: its connection, tokens, attempts and redirects, and the
    /// whole of its reply's body. Default: none.
    pub total: Option<Duration>,
    /// Requests to one host that wait for their reply at the same time. Default: 16. One number for
    /// a client: that of limits set later, for some calls, is not looked at.
    pub requests_per_host: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: None,
            requests_per_host: NonZeroUsize::MIN.saturating_add(15),
        }
    }
}

/// When to send again, and after how long.
/// The policy for retries and their waits.
/// The wait before attempt *n* is drawn evenly between zero and `initial_backoff` doubled *n*-1
/// times, at most `max_backoff`: full jitter, so that many clients do not come back at once. What
/// the other end asks for (`Retry-After`) takes its place, unless it is longer than
/// `max_retry_after`: then the request fails at once, and the error says how long to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often a request is sent in all. The same counts for replies, downloads and uploads that
    /// break off; one that came 1 MiB further begins to count anew. Default: 5.
    pub attempts: NonZeroUsize,
    /// The bound of the first wait. Default: 0.2 s.
    pub initial_backoff: Duration,
    /// The bound of any wait that is not asked for. Default: 30 s.
    pub max_backoff: Duration,
    /// The longest wait that is granted when asked for. Default: 60 s.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: NonZeroUsize::MIN.saturating_add(4),
            initial_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

/// In what form blobs are sent.
///
/// A registry that refuses one is sent the other, and that is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadMethod {
    /// In one request, which begins and ends the upload, where the registry takes that; else as
    /// [`PostThenPut`](Self::PostThenPut). Some registries leave the content unread, and it is sent twice.
    SinglePost,
    /// All at once: two requests a blob, whatever its size.
    #[default]
    PostThenPut,
    /// In chunks of this many bytes, or of the registry's own minimum if that is more.
    Chunked(NonZeroU64),
}

/// What a client calls itself: the `User-Agent` header of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// Reads the value of the header, such as `tool/1.0 (+https://tool.example)`.
    /// Parses the value of the header, such as `tool/1.0 (+https://tool.example)`.
    /// # Errors
    /// [`ParseError`] if it is empty, or not all printable ASCII.
    /// [`ParseError`] if it is empty, or contains anything but printable ASCII.
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
