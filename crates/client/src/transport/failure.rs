//! Why a connection failed, as far as its error's causes tell.

use std::error::Error as StdError;
use std::io;

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The other end's certificate is not valid, not for this host, or of an unknown authority.
    Certificate,
    /// The other end does not speak TLS.
    NotTls,
    /// The other end closed the connection, which some do that expect plain HTTP.
    Closed,
    /// Nobody listens there.
    Refused,
    /// The proxy wants to know who is there, or does not believe it.
    ProxyLogin,
    /// Something else.
    Other,
}

impl Failure {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        match cause::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(_)) => return Self::Certificate,
            Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
            Some(_) => return Self::Other,
            None if says(error, PROXY_LOGIN) => return Self::ProxyLogin,
            None => {}
        }
        match cause::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Self::Closed,
            _ => Self::Other,
        }
    }

    /// What the user can do about it; `None` where trying again may help as much.
    pub(crate) fn hint(self, host: &str) -> Option<String> {
        match self {
            Self::Certificate => Some(format!(
                "If {host} has a certificate of its own authority, name the root certificate."
            )),
            Self::NotTls => Some(format!("If {host} speaks plain HTTP, say so in its settings.")),
            Self::ProxyLogin => Some(PROXY_LOGIN_HINT.to_owned()),
            Self::Closed | Self::Refused | Self::Other => None,
        }
    }
}

/// The innermost cause of a type.
fn cause<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    // `io::Error` leaves what it wraps out of its sources.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let deeper = match wrapped {
        Some(wrapped) => cause(wrapped),
        None => error.source().and_then(cause),
    };
    deeper.or_else(|| error.downcast_ref())
}

/// Whether a cause has exactly this text.
fn says(error: &(dyn StdError + 'static), text: &str) -> bool {
    error.to_string() == text || error.source().is_some_and(|source| says(source, text))
}

/// What can be done where a proxy answers 407.
pub(crate) const PROXY_LOGIN_HINT: &str =
    "The proxy wants a user and password, or others than it was given: see the proxy's settings.";
/// What the HTTP library says of a 407 to CONNECT; it has no type for it that others can see.
const PROXY_LOGIN: &str = "tunnel error: proxy authorization required";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_found_however_deep() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(Failure::of(&wrapped), Failure::Certificate);
        let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(Failure::of(&refused), Failure::Refused);
        let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
        assert_eq!(Failure::of(&plain), Failure::NotTls);
        assert_eq!(Failure::of(&rustls::Error::DecryptError), Failure::Other);
        assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::TimedOut)), Failure::Other);
        let closed = Failure::of(&io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!((closed, closed.hint("h")), (Failure::Closed, None));
    }
}
