//! TLS settings: which authorities are trusted, and whether anything is checked at all.
//!
//! The only file that knows how `rustls` is set up. The wire calls it, once an origin.

use std::sync::Arc;

use longshore_core::{Error, ErrorKind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;

use crate::config::{Resolved, Verification};

/// The system's authorities, read when the first connection needs them: that is 150 files on Debian.
#[derive(Debug, Default)]
pub(crate) struct SystemRoots(OnceCell<Arc<RootCertStore>>);

impl SystemRoots {
    async fn get(&self) -> Arc<RootCertStore> {
        let load = || async {
            let load = tokio::task::spawn_blocking(|| Arc::new(load_system_roots()));
            // Loading does not panic; without roots, connections fail and say why.
            load.await.unwrap_or_else(|_| Arc::new(RootCertStore::empty()))
        };
        Arc::clone(self.0.get_or_init(load).await)
    }
}

/// The system's certificates (or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`); Mozilla's list, built
/// in, where the system has none, as in images made from scratch.
fn load_system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        store.add_parsable_certificates(built_in);
    }
    store
}

/// The configuration for connections that never use TLS.
pub(crate) fn unused() -> Result<ClientConfig> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// The configuration for one address.
pub(crate) async fn configuration(
    settings: &Resolved,
    verification: Verification,
    system: &SystemRoots,
) -> Result<ClientConfig> {
    if verification == Verification::Skip {
        let verifier = Arc::new(Unchecked(Arc::new(ring::default_provider())));
        let unchecked = builder()?.dangerous().with_custom_certificate_verifier(verifier);
        return Ok(unchecked.with_no_client_auth());
    }
    let mut roots = RootCertStore::clone(&*system.get().await);
    for certificate in settings.root_certificates.iter() {
        roots.add(certificate.clone()).map_err(|e| {
            Error::new(ErrorKind::Invalid).at("root certificate").detail(e.to_string())
        })?;
    }
    Ok(builder()?.with_root_certificates(roots).with_no_client_auth())
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    // Passed explicitly: what another crate of the process installed makes no difference.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Unsupported).at("TLS").with_source(e))
}

/// Accepts any certificate; handshakes must still be signed by whoever presents it.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
