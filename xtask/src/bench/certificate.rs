//! The certificate of the registries in rows with TLS.

use std::path::{Path, PathBuf};

use super::Result;
use super::measure::succeed;
use crate::failure::Failure;

/// A self-signed certificate for 127.0.0.1, and its private key (PEM files).
pub(super) struct Certificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificate {
    /// Creates the files in `folder` with the program `openssl`.
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let config = folder.join("openssl.cnf");
        std::fs::write(&config, CONFIG).map_err(|e| Failure::io(&config, &e))?;
        let this = Self { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
        let [config, certificate, key] =
            [&config, &this.certificate, &this.key].map(|path| path.display().to_string());
        let line = format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -config {config} -out {certificate} -keyout {key}"
        );
        succeed("openssl", &line.split(' ').collect::<Vec<_>>()).map(|_| this)
    }
}

/// Not a CA, because rustls refuses servers whose own certificate is one.
const CONFIG: &str = "\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = longshore bench
[extensions]
subjectAltName = IP:127.0.0.1
basicConstraints = critical, CA:FALSE
";
