//! The error type of the workspace.
//!
//! Owns [`Error`] with its [`ErrorKind`], the [`RegistryError`]s that registries send, and the
//! [`Side`] of a copy. The module `reply` of the client maps HTTP statuses to errors, and the
//! module `exit` of the CLI maps errors to exit codes. Most fallible functions in the workspace
//! return [`Error`]. Parsers of names and other short texts return the smaller [`ParseError`].

mod parse;
mod registry;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use parse::ParseError;
pub(crate) use parse::parsed_text;
pub use registry::{ErrorCode, RegistryError};

use crate::escaped_text::EscapedText;

/// The result of a function that can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error: a kind for programs, one clause for users, and the causes as sources.
///
/// An error has the size of a pointer. `Display` is a single clause without the
/// [source](std::error::Error::source). Print the chain of sources to show everything.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    at: Option<String>,
    side: Option<Side>,
    detail: Option<Cow<'static, str>>,
    clause: Option<Cow<'static, str>>,
    hint: Option<Cow<'static, str>>,
    url: Option<String>,
    status: Option<u16>,
    registry_errors: Vec<RegistryError>,
    retry_after: Option<Duration>,
    data: Option<Box<dyn Any + Send + Sync>>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of an [`Error`], to `match` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object to be created already exists.
    AlreadyExists,
    /// The operation was stopped or not started, for example because the caller canceled it.
    Canceled,
    /// The state is not the expected one, because another client or process changed it.
    Conflict,
    /// The operation is not allowed with these credentials.
    Denied,
    /// The content does not match its digest.
    DigestMismatch,
    /// The input, such as a name, a document or an argument, is malformed.
    Invalid,
    /// A local file or folder could not be read or written.
    Io,
    /// The requested object does not exist.
    NotFound,
    /// The other end violated the protocol.
    Protocol,
    /// The other end refused the request because it received too many.
    RateLimited,
    /// The content does not have the size that its descriptor states.
    SizeMismatch,
    /// The operation exceeded its time limit.
    Timeout,
    /// A size or a count exceeds its limit.
    TooLarge,
    /// The connection could not be established, or was interrupted.
    Transport,
    /// Credentials are missing or wrong.
    Unauthorized,
    /// The other end, or this store, does not support the operation.
    Unsupported,
    /// A signature is missing or invalid.
    Unverified,
}

impl ErrorKind {
    /// Returns the words for this kind in messages.
    const fn phrase(self) -> &'static str {
        match self {
            Self::AlreadyExists => "already exists",
            Self::Canceled => "canceled",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::DigestMismatch => "digest mismatch",
            Self::Invalid => "invalid",
            Self::Io => "input/output error",
            Self::NotFound => "not found",
            Self::Protocol => "protocol error",
            Self::RateLimited => "rate limited",
            Self::SizeMismatch => "size mismatch",
            Self::Timeout => "timed out",
            Self::TooLarge => "too large",
            Self::Transport => "connection failed",
            Self::Unauthorized => "unauthorized",
            Self::Unsupported => "unsupported",
            Self::Unverified => "not verified",
        }
    }
}

/// The end of a copy at which an error occurred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The end that is read.
    Source,
    /// The end that is written.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

impl Error {
    /// Creates an error of this kind without further details.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            at: None,
            side: None,
            detail: None,
            clause: None,
            hint: None,
            url: None,
            status: None,
            registry_errors: Vec::new(),
            retry_after: None,
            data: None,
            source: None,
        }))
    }

    /// Sets the thing that the error is about. The innermost value wins: a second call has no
    /// effect.
    #[must_use]
    pub fn at(mut self, thing: impl fmt::Display) -> Self {
        self.0.at.get_or_insert_with(|| thing.to_string());
        self
    }

    /// Sets the end of a copy at which the error occurred. The innermost side wins.
    #[must_use]
    pub fn on(mut self, side: Side) -> Self {
        self.0.side.get_or_insert(side);
        self
    }

    /// Sets the details, as one clause. The last clause wins, because outer callers have more
    /// context.
    #[must_use]
    pub fn detail(mut self, clause: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = Some(clause.into());
        self
    }

    /// Replaces the whole text (kind, thing and detail) with one clause. The clause should state
    /// the attempted operation and the innermost reason.
    #[must_use]
    pub fn with_clause(mut self, clause: impl Into<Cow<'static, str>>) -> Self {
        self.0.clause = Some(clause.into());
        self
    }

    /// Adds advice for the user, as one sentence. The innermost hint wins.
    #[must_use]
    pub fn with_hint(mut self, sentence: impl Into<Cow<'static, str>>) -> Self {
        self.0.hint.get_or_insert(sentence.into());
        self
    }

    /// Adds the URL of the request, without secrets. The innermost URL wins.
    #[must_use]
    pub fn with_url(mut self, url: impl fmt::Display) -> Self {
        self.0.url.get_or_insert_with(|| url.to_string());
        self
    }

    /// Adds the HTTP status of the reply.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Adds the errors that the registry sent.
    #[must_use]
    pub fn with_registry_errors(mut self, errors: Vec<RegistryError>) -> Self {
        self.0.registry_errors = errors;
        self
    }

    /// Adds the waiting time that the registry requested.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds a value that the text only describes, such as a [`DigestPair`](crate::DigestPair).
    #[must_use]
    pub fn with_data(mut self, value: impl Any + Send + Sync) -> Self {
        self.0.data = Some(Box::new(value));
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the thing that the error is about: a reference, digest, path or URL without secrets.
    #[must_use]
    pub fn thing(&self) -> Option<&str> {
        self.0.at.as_deref()
    }

    /// Returns the end of a copy at which the error occurred.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        self.0.side
    }

    /// Returns advice for the user.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the URL of the request, without secrets, if the error is about a request.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// Returns the HTTP status of the reply, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the errors that the registry sent, if any.
    #[must_use]
    pub fn registry_errors(&self) -> &[RegistryError] {
        &self.0.registry_errors
    }

    /// Returns the waiting time that the registry requested.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns a value that the text only describes: the [`DigestPair`](crate::DigestPair) of a
    /// [`DigestMismatch`](ErrorKind::DigestMismatch), or the
    /// [`AvailablePlatforms`](crate::AvailablePlatforms) if an image does not exist for a platform.
    #[must_use]
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.0.data.as_deref()?.downcast_ref()
    }

    /// Returns true if the registry sent this code.
    #[must_use]
    pub fn has_code(&self, code: &ErrorCode) -> bool {
        self.0.registry_errors.iter().any(|e| e.code == *code)
    }

    /// Creates an [`Io`](ErrorKind::Io) error at a path.
    #[must_use]
    pub fn io(path: &std::path::Path, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io).at(path.display()).with_source(source)
    }

    /// Creates a [`TooLarge`](ErrorKind::TooLarge) error for more than `limit` bytes.
    #[must_use]
    pub fn larger_than(limit: impl fmt::Display) -> Self {
        Self::new(ErrorKind::TooLarge).detail(format!("larger than the limit of {limit} bytes"))
    }

    /// Creates an [`Invalid`](ErrorKind::Invalid) error for a range that is not within `size`
    /// bytes.
    #[must_use]
    pub fn outside(range: &std::ops::Range<u64>, size: u64) -> Self {
        let detail = format!("the range {}..{} is not within {size} bytes", range.start, range.end);
        Self::new(ErrorKind::Invalid).detail(detail)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, at, side, detail, clause, status, registry_errors, .. } = &*self.0;
        if let Some(side) = side {
            write!(f, "{side}: ")?;
        }
        match clause {
            Some(clause) => write!(f, "{}", EscapedText(clause))?,
            None => {
                f.write_str(kind.phrase())?;
                for part in at.as_deref().into_iter().chain(detail.as_deref()) {
                    write!(f, ": {}", EscapedText(part))?;
                }
            }
        }
        if let Some(first) = registry_errors.first() {
            write!(f, ": {first}")?;
            match registry_errors.len() {
                1 => {}
                n => write!(f, " (and {} more)", n - 1)?,
            }
        }
        match status {
            Some(status) => write!(f, " (HTTP {status})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("Error");
        s.field("kind", &self.0.kind).field("clause", &self.to_string());
        if let Some(source) = &self.0.source {
            s.field("source", source);
        }
        s.finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<ParseError> for Error {
    fn from(e: ParseError) -> Self {
        Self::new(ErrorKind::Invalid).at(e.noun()).with_source(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_one_clause_without_the_source() {
        let e = Error::new(ErrorKind::NotFound)
            .at("ghcr.io/a/b:v1")
            .with_status(404)
            .with_source(std::io::Error::other("cause"));
        assert_eq!(e.to_string(), "not found: ghcr.io/a/b:v1 (HTTP 404)");
        assert_eq!(std::error::Error::source(&e).unwrap().to_string(), "cause");
    }

    #[test]
    fn with_clause_replaces_kind_and_thing() {
        let e = Error::new(ErrorKind::Transport).at("GET x").with_clause("cannot connect to x");
        assert_eq!(e.on(Side::Target).to_string(), "target: cannot connect to x");
    }

    #[test]
    fn the_innermost_thing_and_side_win() {
        let e = Error::new(ErrorKind::Io).at("inner").at("outer").on(Side::Source).on(Side::Target);
        assert_eq!(e.to_string(), "source: input/output error: inner");
    }

    #[test]
    fn remote_text_is_escaped() {
        let e = Error::new(ErrorKind::Denied).with_registry_errors(vec![RegistryError {
            code: ErrorCode::DENIED,
            message: "\x1b[31mred".into(),
            detail: serde_json::Value::Null,
        }]);
        assert_eq!(e.to_string(), "denied: DENIED: \\u{1b}[31mred");
    }

    #[test]
    fn an_error_has_the_size_of_a_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }
}
