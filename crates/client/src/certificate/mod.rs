//! Certificates to trust in addition to the system's, and client certificates.

mod folder;

use std::fmt;
use std::sync::Arc;

use longshore_core::{Error, ErrorKind, Result};
use rustls::InconsistentKeys;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

pub use folder::CertificateFolders;

/// The certificates of authorities to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RootCertificates(Arc<[CertificateDer<'static>]>);

impl RootCertificates {
    /// Parses one or more certificates from PEM text.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if there is no certificate, or if a certificate is
    /// malformed.
    pub fn from_pem(pem: &[u8]) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::Invalid).at("root certificate");
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|e| invalid().detail(format!("not a PEM file: {e}")))?;
        if certificates.is_empty() {
            return Err(invalid().detail("the PEM file has no certificate"));
        }
        Ok(Self(certificates.into()))
    }

    /// Returns these certificates and others combined.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self(self.iter().chain(others.iter()).cloned().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.0.iter()
    }
}

/// A client certificate, presented to servers that request one, and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate(Arc<Pair>);

#[derive(PartialEq, Eq)]
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    /// Parses a certificate and its private key from PEM text. The rest of the certificate's chain
    /// may follow the certificate. The key may be PKCS #8, PKCS #1 or SEC 1, and must not be
    /// encrypted.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the certificate or the key is missing or malformed, if
    /// the kind of key is not supported, or if certificate and key do not match.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self> {
        let invalid = || Error::new(ErrorKind::Invalid).at("client certificate");
        let chain = RootCertificates::from_pem(certificate)
            .map_err(|_| invalid().detail("the PEM file has no certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|e| invalid().detail(format!("the PEM file has no private key: {e}")))?;
        let chain: Vec<_> = chain.iter().cloned().collect();
        let signing = ring::sign::any_supported_type(&key)
            .map_err(|e| invalid().detail("the private key is not supported").with_source(e))?;
        let pair = CertifiedKey::new(chain.clone(), signing);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(Pair { chain, key })))
            }
            Err(_) => Err(invalid().detail("the private key does not match the certificate")),
        }
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(..)")
    }
}

#[cfg(test)]
mod tests {
    use longshore_testkit::tls::Authority;

    use super::*;

    #[test]
    fn certificate_and_key_must_match() {
        let authority = Authority::new();
        let (one, other) = (authority.issue(&["one"]), authority.issue(&["other"]));
        let read = |certificate: &str, key: &str| {
            ClientCertificate::from_pem(certificate.as_bytes(), key.as_bytes())
        };
        let pair = read(&one.certificate, &one.key).unwrap();
        assert_eq!(format!("{pair:?}"), "ClientCertificate(..)");
        for (certificate, key, word) in [
            (&one.certificate, &other.key, "does not match"),
            (&one.certificate, &one.certificate, "no private key"),
            (&one.key, &one.key, "no certificate"),
        ] {
            let e = read(certificate, key).unwrap_err().to_string();
            assert!(e.contains(word), "{e}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(RootCertificates::from_pem(b"").is_err());
        assert!(RootCertificates::from_pem(b"-----BEGIN CERTIFICATE-----\n!").is_err());
    }
}
