//! Certificates that users add to the system's.

use std::sync::Arc;

use longshore_core::{Error, ErrorKind, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// Certificates of authorities to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootCertificates(Arc<[CertificateDer<'static>]>);

impl RootCertificates {
    /// Reads one or more certificates from PEM text.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if there is none, or one is malformed.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::Invalid).at("root certificate");
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|e| invalid().detail(format!("not a PEM file: {e}")))?;
        if certificates.is_empty() {
            return Err(invalid().detail("there is no certificate in the PEM file"));
        }
        Ok(Self(certificates.into()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(RootCertificates::from_pem(b"").is_err());
        assert!(RootCertificates::from_pem(b"-----BEGIN CERTIFICATE-----\n!").is_err());
    }
}
