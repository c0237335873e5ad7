//! Stable exit codes, documented in `longshore --help` and the README.

use longshore::{Error, ErrorKind};

/// The result is negative, the work is incomplete, or the failure has no other code.
pub(crate) const NEGATIVE: u8 = 1;

/// The command line is wrong.
pub(crate) const USAGE: u8 = 2;

/// The state of a source or target is not the expected one.
pub(crate) const CONFLICT: u8 = 6;

/// Returns the exit code of an error.
///
/// 1 negative, partial, other failure · 2 usage error · 3 not found · 4 unauthorized or denied ·
/// 5 network, timeout, rate limit · 6 conflict · 7 verification failed · 130 interrupted.
pub(crate) fn code(error: &Error) -> u8 {
    if let Some(Printed(code)) = printed_code(error) {
        return *code;
    }
    match error.kind() {
        ErrorKind::NotFound => 3,
        ErrorKind::Unauthorized | ErrorKind::Denied => 4,
        ErrorKind::Transport
        | ErrorKind::Timeout
        | ErrorKind::RateLimited
        | ErrorKind::Protocol => 5,
        ErrorKind::Conflict | ErrorKind::AlreadyExists => CONFLICT,
        ErrorKind::DigestMismatch | ErrorKind::SizeMismatch | ErrorKind::Unverified => 7,
        // Shells use this code for a program that Ctrl-C ended.
        ErrorKind::Canceled if is_interrupt(error) => 130,
        ErrorKind::Invalid if is_usage(error) => USAGE,
        _ => NEGATIVE,
    }
}

/// Returns an error with this exit code. The error counts as already printed.
pub(crate) fn printed(code: u8) -> Error {
    Error::new(ErrorKind::Invalid).with_source(Printed(code))
}

/// Returns true if an error was already printed.
pub(crate) fn is_printed(error: &Error) -> bool {
    printed_code(error).is_some()
}

fn printed_code(error: &Error) -> Option<&Printed> {
    std::error::Error::source(error).and_then(|source| source.downcast_ref())
}

#[derive(Debug)]
struct Printed(u8);

impl std::fmt::Display for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the work is incomplete (exit code {})", self.0)
    }
}

impl std::error::Error for Printed {}

/// Returns true if the user interrupted the program.
pub(crate) fn is_interrupt(error: &Error) -> bool {
    error.kind() == ErrorKind::Canceled && error.thing().is_none()
}

/// Returns true if the invalid input came from the user, not from a store.
fn is_usage(error: &Error) -> bool {
    std::error::Error::source(error).is_some_and(|e| e.is::<longshore::ParseError>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_kinds_and_parse_errors_have_their_exit_codes() {
        for (kind, expected) in [
            (ErrorKind::NotFound, 3),
            (ErrorKind::Denied, 4),
            (ErrorKind::Unauthorized, 4),
            (ErrorKind::Transport, 5),
            (ErrorKind::Timeout, 5),
            (ErrorKind::RateLimited, 5),
            (ErrorKind::Conflict, 6),
            (ErrorKind::DigestMismatch, 7),
            (ErrorKind::SizeMismatch, 7),
            (ErrorKind::Unverified, 7),
            (ErrorKind::Invalid, 1),
            (ErrorKind::Io, 1),
            (ErrorKind::Canceled, 130),
        ] {
            assert_eq!(code(&Error::new(kind)), expected, "{kind:?}");
        }
        let typed = longshore::Tag::parse("").unwrap_err();
        assert_eq!(code(&typed.into()), 2);
    }
}
