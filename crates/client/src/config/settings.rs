//! The settings of registries and clients.

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
/// If certificates or verification are set for a registry, [`Scheme::Auto`],
/// [`ByName`](Scheme::ByName) and [`Detect`](Scheme::Detect) do not choose plain HTTP for this
/// registry. Apart from this rule and from `fallback`, the settings are independent of each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegistrySettings {
    /// The scheme: plain HTTP or TLS. Default: [`Scheme::Auto`].
    pub scheme: Option<Scheme>,
    /// The path before `/v2/`, from a [`RegistryUrl`](crate::RegistryUrl). Default: none.
    pub prefix: Option<PathPrefix>,
    /// Certificates of authorities to trust in addition to the system's.
    pub root_certificates: Option<RootCertificates>,
    /// The certificate to present if the server requests one.
    pub client_certificate: Option<ClientCertificate>,
    /// The checks of the server's certificate. Default: [`Verification::Full`].
    pub verification: Option<Verification>,
    /// True if scheme detection chose this scheme and verification as a fallback: plain HTTP, or
    /// TLS with an invalid certificate. The user did not choose these settings, so they do not
    /// permit sending secrets. This field has an effect only in the settings of a single registry
    /// with [`Scheme::Http`] or [`Verification::Skip`].
    pub fallback: bool,
}

impl RegistrySettings {
    /// Returns the verification, unless scheme detection chose it as a fallback.
    pub(crate) fn verification(&self) -> Option<Verification> {
        self.verification.filter(|_| !self.skips_by_fallback())
    }

    /// Returns true if the certificate is not verified because of a fallback by scheme detection.
    pub(crate) fn skips_by_fallback(&self) -> bool {
        self.fallback && self.verification == Some(Verification::Skip)
    }
}

/// The checks of a server's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verification {
    /// The certificate must be valid for this host, and signed by a trusted authority.
    #[default]
    Full,
    /// No verification: anyone on the network path can read and change all data, including
    /// credentials.
    Skip,
}

/// Timeouts, and the limit of concurrent requests.
///
/// Waits of more than five seconds are reported. See [`wait`](longshore_core::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The timeout for a connection, including TLS. Default: 30 s.
    pub connect: Duration,
    /// The timeout for a silent server, which accepts no connection, reads no byte of the request
    /// and sends no reply. Default: 60 s.
    pub response: Duration,
    /// The timeout for the next bytes of a reply's body. This is also the time over which the body
    /// must average 1 KiB per second. Default: 30 s.
    pub idle: Duration,
    /// The timeout for one request in total: connecting, token requests, retries, redirects, and
    /// the whole body of the reply. Default: none.
    pub total: Option<Duration>,
    /// The maximum number of concurrent requests to one host and port that wait for a reply.
    /// Requests that send a stream are counted separately. Default: 32. Fixed when a client is
    /// built: limits for single calls do not change this maximum.
    pub requests_per_host: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            total: None,
            requests_per_host: NonZeroUsize::MIN.saturating_add(31),
        }
    }
}

/// The policy for retries and the waits between them.
///
/// The wait before retry *n* is uniformly random between zero and `initial_backoff` doubled *n*-1
/// times, at most `max_backoff`. This is full jitter, so that many clients do not retry at the same
/// time. If the server requests a wait (`Retry-After`), that wait is used instead. If the requested
/// wait is longer than `max_retry_after`, the request fails immediately, and the error states the
/// requested wait.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The maximum number of attempts for an operation: a request with its reply, a download or an
    /// upload. Failures of requests and failures of reply bodies count together. The count restarts
    /// after 1 MiB of progress. Default: 5.
    pub max_attempts: NonZeroUsize,
    /// The upper bound of the first wait. Default: 0.2 s.
    pub initial_backoff: Duration,
    /// The upper bound of waits that the server did not request. Default: 30 s.
    pub max_backoff: Duration,
    /// The longest wait that the client accepts if the server requests a wait. Default: 60 s.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: NonZeroUsize::MIN.saturating_add(4),
            initial_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(30),
            max_retry_after: Duration::from_secs(60),
        }
    }
}

/// The method for uploading blobs.
///
/// If a registry refuses a method and accepts another, the client uses the other method for all
/// later uploads to this registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UploadMethod {
    /// One request, which begins and completes the upload, if the registry supports such requests
    /// and the content can be read twice. Otherwise, same as [`PostThenPut`](Self::PostThenPut).
    /// Some registries ignore the content of the single request. The content is then sent again.
    SinglePost,
    /// One request to begin the upload, and one with all content. With this method,
    /// [`ensure_blob`](longshore_core::Target::ensure_blob) sends a blob of at most 64 KiB in a
    /// single request if the registry accepts that.
    #[default]
    PostThenPut,
    /// Chunks of this many bytes, or of the registry's minimum chunk size if it is larger.
    Chunked(NonZeroU64),
}

/// The `User-Agent` header of a client's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// Parses the value of the header, such as `tool/1.0 (+https://tool.example)`.
    ///
    /// # Errors
    /// [`ParseError`] if the text is blank or contains a character that is not printable ASCII.
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

/// The default is `longshore/` and the crate's version.
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
