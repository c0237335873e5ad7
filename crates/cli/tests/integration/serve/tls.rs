//! Tests of `serve --tls-cert --tls-key`.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use longshore_testkit::tls::{Authority, Pair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{ask_over, eventually};
use crate::program::{DEADLINE, Program, Server};

fn write(program: &Program, pair: &Pair) {
    std::fs::write(program.path("host.key"), &pair.key).unwrap();
    std::fs::write(program.path("host.pem"), &pair.certificate).unwrap();
}

fn serve(program: &Program) -> Server {
    program.serve_with(None, &["--tls-cert", "host.pem", "--tls-key", "host.key"])
}

/// Opens a TLS connection that trusts only this authority. The handshake takes place on the first
/// read or write.
fn connect(
    address: &str,
    authority: &Authority,
    protocol: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(authority.certificate().as_bytes());
    roots.add(certificate.unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    StreamOwned::new(connection, TcpStream::connect(address).unwrap())
}

/// Returns true if the server's certificate is signed by this authority.
fn is_of(server: &Server, authority: &Authority) -> bool {
    let mut stream = connect(&server.address, authority, "http/1.1");
    stream.conn.complete_io(&mut stream.sock).is_ok()
}

#[test]
fn serve_speaks_only_tls_and_a_stalled_handshake_blocks_no_client() {
    let (program, authority) = (Program::new(), Authority::new());
    write(&program, &authority.for_loopback());
    let server = serve(&program);
    let address = &server.address;
    // This client sends nothing.
    let _silent = TcpStream::connect(address).unwrap();
    for protocol in ["h2", "http/1.1"] {
        let mut stream = connect(address, &authority, protocol);
        stream.conn.complete_io(&mut stream.sock).unwrap();
        assert_eq!(stream.conn.alpn_protocol(), Some(protocol.as_bytes()));
    }
    let mut stream = connect(address, &authority, "http/1.1");
    assert_eq!(ask_over(&mut stream, "GET /v2/", &[], b"").status, 200);

    std::fs::write(program.path("ca.pem"), authority.certificate()).unwrap();
    program.ok(&format!("ping {address} --scheme https --ca-file ca.pem"));
    program.fails(5, &format!("ping {address} --scheme https"));
    program.fails(5, &format!("ping {address} --scheme http"));
}

#[test]
fn a_changed_certificate_is_loaded_and_a_broken_one_is_ignored() {
    let (program, first, second) = (Program::new(), Authority::new(), Authority::new());
    write(&program, &first.for_loopback());
    let server = serve(&program);
    assert!(is_of(&server, &first));
    assert!(!is_of(&server, &second));
    write(&program, &second.for_loopback());
    eventually("the new certificate", || is_of(&server, &second));

    write(&program, &Pair { key: first.for_loopback().key, ..first.for_loopback() });
    let told = server.process.wait_for("warning", DEADLINE).unwrap();
    assert!(told.contains("host.key: the key does not match host.pem"), "{told}");
    assert!(told.contains("still using the previous"), "{told}");
    assert!(is_of(&server, &second));
    // The server still watches the files.
    write(&program, &first.for_loopback());
    eventually("the first authority again", || is_of(&server, &first));
}

#[test]
fn an_unusable_certificate_or_key_is_refused_at_startup() {
    let (program, authority) = (Program::new(), Authority::new());
    let (pair, other) = (authority.for_loopback(), authority.for_loopback());
    let Pair { certificate, key } = pair;
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    for (certificate, key, told) in [
        (certificate.as_str(), other.key.as_str(), "host.key: the key does not match host.pem"),
        (&certificate, &certificate, "host.key: no private key in PEM"),
        (&certificate, encrypted, "host.key: the private key is encrypted"),
        (&key, &key, "host.pem: no certificate in PEM"),
        ("", &key, "host.pem: no certificate in PEM"),
    ] {
        write(&program, &Pair { certificate: certificate.into(), key: key.into() });
        let e = program.fails(1, "serve --root never --tls-cert host.pem --tls-key host.key");
        assert!(e.contains(told) && !e.contains("BEGIN"), "{e}");
    }
    let e = program.fails(3, "serve --root never --tls-cert missing --tls-key host.key");
    assert!(e.contains("not found: missing"), "{e}");
    program.fails(2, "serve --root never --tls-cert host.pem");
    program.fails(2, "serve --root never --tls-key host.key");
    assert!(!Path::exists(&program.path("never")));
}
