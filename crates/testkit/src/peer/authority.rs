use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{command, finish};

/// A certificate authority for one test, created by `openssl`. It has issued a server certificate
/// for 127.0.0.1 and `localhost`.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
}

impl Authority {
    /// Creates the authority and its only server certificate.
    ///
    /// # Panics
    /// If `openssl` is not installed.
    #[must_use]
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(authority.path("openssl.cnf"), CONFIGURATION).unwrap();
        for step in [SELF_SIGN, REQUEST, SIGN] {
            let mut openssl = command("openssl");
            openssl.current_dir(authority.folder.path());
            finish(openssl.args(step.split_whitespace())).succeeded();
        }
        authority
    }

    /// Returns the authority's certificate in PEM, for clients to trust.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Returns the server's certificate in PEM.
    #[must_use]
    pub fn server_certificate_file(&self) -> PathBuf {
        self.path("server.pem")
    }

    /// Returns the server's private key in PEM (PKCS #8).
    #[must_use]
    pub fn server_key_file(&self) -> PathBuf {
        self.path("server.key")
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.folder.path(), name)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

const SELF_SIGN: &str = "req -x509 -config openssl.cnf -extensions authority -days 2 -nodes \
    -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=longshore-test-authority \
    -keyout ca.key -out ca.pem";

const REQUEST: &str = "req -config openssl.cnf -nodes \
    -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -subj /CN=localhost \
    -keyout server.key -out server.csr";

const SIGN: &str = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
    -extfile openssl.cnf -extensions server -out server.pem";

/// The configuration of `openssl`, which replaces the system's configuration.
const CONFIGURATION: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = longshore
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";
