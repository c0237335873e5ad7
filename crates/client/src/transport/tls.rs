//! TLS settings: the trusted authorities, and the verification of certificates.
//!
//! This is the only file that configures `rustls`. `wire` requests a configuration for each
//! connection pool.

use std::sync::Arc;
use std::time::Duration;

use longshore_core::{Error, ErrorKind, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::sync::OnceCell;
use webpki::EndEntityCert;

use crate::certificate::{ClientCertificate, RootCertificates};
use crate::config::Verification;
use crate::transport::failure::{SelfSigned, is_authority};

/// The system's authorities. They are loaded for the first connection that needs them, because
/// there may be many files to read (150 on Debian).
#[derive(Debug, Default)]
pub(crate) struct SystemRoots(OnceCell<Arc<RootCertStore>>);

impl SystemRoots {
    async fn get(&self) -> Arc<RootCertStore> {
        let load = || async {
            let load = tokio::task::spawn_blocking(|| Arc::new(load_system_roots()));
            // Loading does not panic. If loading panicked, connections would fail, because no
            // authority would be trusted.
            load.await.unwrap_or_else(|_| Arc::new(RootCertStore::empty()))
        };
        Arc::clone(self.0.get_or_init(load).await)
    }
}

/// Loads the system's certificates (or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`). Falls back to
/// Mozilla's built-in list if the system has no certificates, as in images built from scratch.
fn load_system_roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if store.is_empty() {
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        store.add_parsable_certificates(built_in);
    }
    store
}

/// The trust settings for one origin, and for the proxy in front of it.
pub(crate) struct Trust<'a> {
    pub(crate) verification: Verification,
    pub(crate) root_certificates: Option<RootCertificates>,
    pub(crate) client_certificate: Option<ClientCertificate>,
    /// The host of a proxy that speaks TLS, and its trust settings.
    pub(crate) proxy: Option<(&'a str, &'a RootCertificates)>,
}

/// Returns the configuration for connections that never use TLS.
pub(crate) fn unused() -> Result<ClientConfig> {
    Ok(builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Returns the configuration for one origin.
pub(crate) async fn configuration(trust: Trust<'_>, system: &SystemRoots) -> Result<ClientConfig> {
    let of_origin: Arc<dyn ServerCertVerifier> = match trust.verification {
        Verification::Skip => Arc::new(Unchecked(Arc::new(ring::default_provider()))),
        Verification::Full => checked(trust.root_certificates.as_ref(), system).await?,
    };
    let verifier = match trust.proxy {
        None => of_origin,
        Some((host, roots)) => {
            let of_proxy = checked(Some(roots), system).await?;
            let proxy = ServerName::try_from(host.to_owned())
                .map_err(|e| Error::new(ErrorKind::Invalid).at("the proxy").with_source(e))?;
            Arc::new(ByServer { proxy, of_proxy, of_origin })
        }
    };
    let configured = builder()?.dangerous().with_custom_certificate_verifier(verifier);
    match trust.client_certificate {
        None => Ok(configured.with_no_client_auth()),
        Some(shown) => configured
            .with_client_auth_cert(shown.chain(), shown.key())
            .map_err(|e| Error::new(ErrorKind::Invalid).at("client certificate").with_source(e)),
    }
}

/// Returns a verifier that trusts the system's authorities and the given authorities.
async fn checked(
    more: Option<&RootCertificates>,
    system: &SystemRoots,
) -> Result<Arc<dyn ServerCertVerifier>> {
    let invalid =
        |clause: String| Error::new(ErrorKind::Invalid).at("root certificate").detail(clause);
    let mut roots = RootCertStore::clone(&*system.get().await);
    for certificate in more.into_iter().flat_map(RootCertificates::iter) {
        roots.add(certificate.clone()).map_err(|e| invalid(e.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let by_chain = verifier.map_err(|e| invalid(e.to_string()))?;
    Ok(Arc::new(Checked { by_chain, named: more.cloned().unwrap_or_default() }))
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    // The provider is passed explicitly, so that a provider installed by another crate has no
    // effect.
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(ErrorKind::Unsupported).at("TLS").with_source(e))
}

/// Delegates the verification of handshake signatures to the verifier in this field.
macro_rules! signatures_by {
    ($verifier:ident) => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.$verifier.verify_tls12_signature(message, certificate, signature)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.$verifier.verify_tls13_signature(message, certificate, signature)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.$verifier.supported_verify_schemes()
        }
    };
}

/// A verifier that checks a certificate's chain, and also accepts a certificate that the user
/// named.
///
/// `openssl req -x509` creates a certificate that is an authority (CA:TRUE) and that a server
/// presents as its own certificate. webpki refuses such a certificate. This verifier accepts the
/// certificate if the user named exactly the same bytes, and if the names and dates are valid. This
/// adds no trust: the named certificate is already trusted as an authority, so its key can sign for
/// any name. The system's certificates are never accepted in this way.
#[derive(Debug)]
struct Checked {
    by_chain: Arc<WebPkiServerVerifier>,
    named: RootCertificates,
}

impl Checked {
    /// Returns true if a certificate without a valid chain is acceptable by itself.
    fn by_itself(
        &self,
        certificate: &CertificateDer<'_>,
        server: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<bool, rustls::Error> {
        if !self.named.iter().any(|named| named.as_ref() == certificate.as_ref()) {
            return Ok(false);
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, server)?;
        Ok(self.dates(certificate, server).is_some_and(|(from, to)| from <= now && now <= to))
    }

    /// Returns the validity period of a certificate. webpki checks dates first, and its error for
    /// an invalid date states the limits. If webpki changes that order, no dates are found, and the
    /// certificate is refused.
    fn dates(
        &self,
        certificate: &CertificateDer<'_>,
        server: &ServerName<'_>,
    ) -> Option<(UnixTime, UnixTime)> {
        let at = |seconds| {
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            match self.by_chain.verify_server_cert(certificate, &[], server, &[], time) {
                Err(rustls::Error::InvalidCertificate(why)) => Some(why),
                _ => None,
            }
        };
        match (at(0)?, at(u64::MAX)?) {
            (
                CertificateError::NotValidYetContext { not_before, .. },
                CertificateError::ExpiredContext { not_after, .. },
            ) => Some((not_before, not_after)),
            _ => None,
        }
    }
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refusal = match self.by_chain.verify_server_cert(certificate, chain, server, ocsp, now)
        {
            Ok(verified) => return Ok(verified),
            Err(refusal) => refusal,
        };
        if !is_about_the_chain(&refusal) {
            return Err(refusal);
        }
        match self.by_itself(certificate, server, now)? {
            true => Ok(ServerCertVerified::assertion()),
            false if is_self_signed(certificate) => {
                let why = CertificateError::Other(OtherError(Arc::new(SelfSigned)));
                Err(rustls::Error::InvalidCertificate(why))
            }
            false => Err(refusal),
        }
    }

    signatures_by!(by_chain);
}

/// Returns true if a certificate was refused because its authority is unknown, or because it is an
/// authority's certificate. In both cases, the certificate's dates are valid.
fn is_about_the_chain(refusal: &rustls::Error) -> bool {
    match refusal {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => is_authority(other),
        _ => false,
    }
}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    EndEntityCert::try_from(certificate).is_ok_and(|own| own.issuer() == own.subject())
}

/// A verifier that applies the proxy's settings to the proxy, and the origin's settings to all
/// other servers. Both connections use the same verifier, but a certificate that is accepted for
/// one server must not be accepted for the other.
#[derive(Debug)]
struct ByServer {
    proxy: ServerName<'static>,
    of_proxy: Arc<dyn ServerCertVerifier>,
    of_origin: Arc<dyn ServerCertVerifier>,
}

impl ServerCertVerifier for ByServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = if *server == self.proxy { &self.of_proxy } else { &self.of_origin };
        verifier.verify_server_cert(certificate, chain, server, ocsp, now)
    }

    signatures_by!(of_proxy);
}

/// A verifier that accepts any certificate. The server must still prove that it has the
/// certificate's key.
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
