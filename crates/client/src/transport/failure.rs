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
    /// Something else.
    Other,
}

impl Failure {
    pub(crate) fn of(error: &(dyn StdError + 'static)) -> Self {
        match cause::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(_)) => return Self::Certificate,
            Some(rustls::Error::InvalidMessage(_)) => return Self::NotTls,
            Some(_) => return Self::Other,
            None => {}
        }
        match cause::<io::Error>(error).map(io::Error::kind) {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Self::Closed,
            _ => Self::Other,
        }
    }

    /// What the user can do about it; `None` if TLS is not what failed.
    pub(crate) fn hint(self, host: &str) -> Option<String> {
        match self {
            Self::Certificate => Some(format!(
                "If {host} has a certificate of its own authority, name the root certificate."
            )),
            Self::NotTls => Some(format!("If {host} speaks plain HTTP, say so in its settings.")),
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
