//! TLS for tests: an authority that issues certificates for one test, and a front that terminates
//! TLS for a plain server.
//!
//! This module needs no external program. `peer::Authority` creates the files that third-party
//! programs read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// An authority that signs certificates for a test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The validity of a certificate.
#[derive(Clone, Copy, Debug)]
pub enum Dates {
    /// Valid now, and long before and after.
    Now,
    /// Valid only in 2001.
    Past,
    /// Valid only in 4000.
    Future,
}

/// A certificate and its private key, both in PEM.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8).
    pub key: String,
}

impl Authority {
    /// Creates an authority.
    #[must_use]
    pub fn new() -> Self {
        Self::with_names(&[], Dates::Now)
    }

    /// Creates an authority whose own certificate has host names or addresses, as with `openssl req
    /// -x509`.
    #[must_use]
    pub fn with_names(names: &[&str], dates: Dates) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(authority(names, dates), key).unwrap() }
    }

    /// Returns the authority's certificate in PEM, for clients to trust.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for host names or addresses. In a client certificate, the names do not
    /// matter.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> Pair {
        self.sign(&params(names))
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// Returns the authority's certificate and private key, for a server that is its own authority.
    #[must_use]
    pub fn itself(&self) -> Pair {
        Pair { certificate: self.certificate(), key: self.issuer.key().serialize_pem() }
    }

    /// Creates an intermediate authority whose certificate has host names or addresses.
    #[must_use]
    pub fn authority_below(&self, names: &[&str]) -> Pair {
        let mut params = authority(names, Dates::Now);
        params.distinguished_name.push(DnType::CommonName, "longshore-test-authority-below");
        self.sign(&params)
    }

    /// Issues a certificate for `127.0.0.1`, `::1` and `localhost`.
    #[must_use]
    pub fn for_loopback(&self) -> Pair {
        self.issue(&["127.0.0.1", "::1", "localhost"])
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    CertificateParams::new(names).unwrap()
}

fn authority(names: &[&str], dates: Dates) -> CertificateParams {
    let mut params = params(names);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "longshore-test-authority");
    let year = match dates {
        Dates::Now => return params,
        Dates::Past => 2001,
        Dates::Future => 4000,
    };
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 12, 31);
    params
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A front that terminates TLS on its own port, and passes the plain bytes on to a server. Dropping
/// this value stops the front.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Front {
    /// Starts a front with this certificate for the server at `target`.
    pub async fn start(pair: &Pair, target: SocketAddr) -> Self {
        Self::launch(pair, None, target).await
    }

    /// Starts a front that accepts only clients with a certificate of `clients`.
    pub async fn for_clients_of(clients: &Authority, pair: &Pair, target: SocketAddr) -> Self {
        Self::launch(pair, Some(clients), target).await
    }

    async fn launch(pair: &Pair, clients: Option<&Authority>, target: SocketAddr) -> Self {
        let acceptor = acceptor(pair, clients);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshakes = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&handshakes);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                connections.spawn(async move {
                    // A client may disconnect or reject the certificate.
                    let Ok(mut inside) = acceptor.accept(stream).await else { return };
                    counter.fetch_add(1, Ordering::SeqCst);
                    let mut outside = TcpStream::connect(target).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut inside, &mut outside).await);
                });
            }
        });
        Self { address, handshakes, server }
    }

    /// Returns the front's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of completed handshakes.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.handshakes.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn acceptor(pair: &Pair, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(clients.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    // Use the key even if it does not match the certificate: a test checks that the client detects
    // this.
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    TlsAcceptor::from(Arc::new(builder.with_cert_resolver(Arc::new(shown))))
}
