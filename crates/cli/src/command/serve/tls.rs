//! A TLS listener.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use clap::Args;
use longshore::{Error, ErrorKind, Result};
use longshore_registry::{Accepted, Listener};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::file;

/// Paths of the certificate and its key.
#[derive(Clone, Debug, Args)]
pub(super) struct TlsOptions {
    /// Serve only TLS, with this certificate and its intermediate certificates (PEM). The file is
    /// read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM, not encrypted).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// A certificate and its key, in two files.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsOptions {
    pub(super) fn pair(&self) -> Option<Pair> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(Pair { certificate, key })
    }
}

impl Pair {
    pub(super) fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    fn read(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_slice_iter(&file::read(&self.certificate)?)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| unreadable(&self.certificate, "no certificate in PEM", e))?;
        if chain.is_empty() {
            let e = pem::Error::NoItemsFound;
            return Err(unreadable(&self.certificate, "no certificate in PEM", e));
        }
        let key = file::read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| {
            let is_encrypted = key.windows(ENCRYPTED.len()).any(|w| w == ENCRYPTED);
            let problem = if is_encrypted {
                "the private key is encrypted; expected a key without a password"
            } else {
                "no private key in PEM"
            };
            unreadable(&self.key, problem, e)
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| match e {
                rustls::Error::InconsistentKeys(_) => Error::new(ErrorKind::Invalid)
                    .at(self.key.display())
                    .detail(format!("the key does not match {}", self.certificate.display())),
                e => unreadable(&self.certificate, "the certificate and key cannot be used", e),
            })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn unreadable(
    file: &Path,
    problem: &'static str,
    e: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::new(ErrorKind::Invalid).at(file.display()).detail(problem).with_source(e)
}

/// The current TLS configuration, for new connections. Clones share it.
#[derive(Clone)]
pub(super) struct Current {
    pair: Pair,
    config: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Current {
    pub(super) fn new(pair: Pair) -> Result<Self> {
        let config = Arc::new(RwLock::new(pair.read()?));
        Ok(Self { pair, config })
    }

    pub(super) fn read_again(&self) -> Result<()> {
        let config = self.pair.read()?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config).into()
    }
}

/// Accepts TLS connections on a socket.
pub(super) struct TlsListener {
    pub(super) socket: TcpListener,
    pub(super) current: Current,
}

impl Listener for TlsListener {
    type Stream = TlsStream<TcpStream>;

    async fn accept(&self) -> io::Result<Accepted<Self::Stream>> {
        let Accepted { peer, opening, .. } = Listener::accept(&self.socket).await?;
        let acceptor = self.current.acceptor();
        let opening = Box::pin(async move { acceptor.accept(opening.await?).await });
        Ok(Accepted { peer, scheme: longshore::http::uri::Scheme::HTTPS, opening })
    }
}

const ENCRYPTED: &[u8] = b"ENCRYPTED";
