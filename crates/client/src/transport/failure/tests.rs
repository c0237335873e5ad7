use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};

use super::*;

/// An error that is nested like the errors of the HTTP library.
#[derive(Debug)]
struct Layer(&'static str, Option<Box<dyn StdError + Send + Sync>>);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl StdError for Layer {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.1.as_deref().map(|e| e as _)
    }
}

fn layers(
    texts: &[&'static str],
    inner: impl Into<Option<Box<dyn StdError + Send + Sync>>>,
) -> Box<dyn StdError + Send + Sync> {
    let inner = inner.into();
    let outermost = texts.iter().rev().fold(inner, |inner, text| {
        let layer: Box<dyn StdError + Send + Sync> = Box::new(Layer(text, inner));
        Some(layer)
    });
    outermost.unwrap()
}

fn refused() -> Box<dyn StdError + Send + Sync> {
    // ECONNREFUSED, with the system's text and number.
    Box::new(io::Error::from_raw_os_error(111))
}

fn tls(error: rustls::Error) -> Box<dyn StdError + Send + Sync> {
    Box::new(io::Error::new(io::ErrorKind::InvalidData, error))
}

fn certificate(error: CertificateError) -> Box<dyn StdError + Send + Sync> {
    tls(rustls::Error::InvalidCertificate(error))
}

#[test]
fn causes_are_found_at_any_depth() {
    let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
    assert_eq!(Failure::of(&wrapped), Failure::Certificate);
    let refused = io::Error::other(io::Error::from(io::ErrorKind::ConnectionRefused));
    assert_eq!(Failure::of(&refused), Failure::Refused);
    let plain = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    assert_eq!(Failure::of(&plain), Failure::NotTls);
    assert_eq!(Failure::of(&rustls::Error::DecryptError), Failure::Tls);
    assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::TimedOut)), Failure::Other);
    let closed = Failure::of(&io::Error::from(io::ErrorKind::ConnectionReset));
    assert_eq!(closed, Failure::Closed);
    assert!(!closed.is_final());
}

const CONNECT: [&str; 2] = ["error sending request", "client error (Connect)"];

fn connecting(
    more: &[&'static str],
    inner: impl Into<Option<Box<dyn StdError + Send + Sync>>>,
) -> Box<dyn StdError + Send + Sync> {
    layers(&[&CONNECT[..], more].concat(), inner)
}

fn unknown() -> Box<dyn StdError + Send + Sync> {
    io::Error::other("failed to lookup address information: No address").into()
}

const PROXY: &str = "http://p:1";

/// Checks the message for a failed connection to `r.example:5000`, and a part of the hint.
fn check(
    proxy: Option<&str>,
    error: &(dyn StdError + Send + Sync + 'static),
    clause: &str,
    hint: Option<&str>,
) {
    let (host, name) = ("r.example", "r.example:5000");
    let way = Way { https: true, host, port: 5000, name, proxy };
    assert_eq!(way.clause(error), clause);
    let found = way.hint(error);
    assert_eq!(found.is_some(), hint.is_some(), "{clause}: {found:?}");
    assert!(found.unwrap_or_default().contains(hint.unwrap_or_default()), "{clause}");
}

#[test]
fn a_failed_connection_is_described_with_its_innermost_cause() {
    let alert = |alert| tls(rustls::Error::AlertReceived(alert));
    let no_tls = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    for (error, clause, hint) in [
        (
            connecting(&[NO_TCP], refused()),
            "cannot connect to r.example:5000: connection refused",
            None,
        ),
        (
            connecting(&["dns error", NO_ADDRESS], unknown()),
            "cannot resolve r.example: no address",
            None,
        ),
        (
            connecting(&[], tls(no_tls)),
            "r.example:5000 does not speak TLS",
            Some("--plain-http r.example:5000"),
        ),
        (
            connecting(&[], alert(rustls::AlertDescription::CertificateRequired)),
            "cannot speak TLS with r.example:5000: received fatal alert: CertificateRequired",
            Some("--client-cert"),
        ),
    ] {
        check(None, &*error, clause, hint);
    }
}

#[test]
fn the_defect_of_a_certificate_is_described() {
    let seconds = |s| UnixTime::since_unix_epoch(Duration::from_secs(s));
    let (time, day) = (seconds(1_000_000), 86_400);
    let skip = "--skip-tls-verify r.example:5000";
    let other = |error: Arc<dyn StdError + Send + Sync>| CertificateError::Other(OtherError(error));
    let presented = ["a", "b", "c", "d"].map(|name| format!("DnsName(\"{name}\")")).to_vec();
    let expected = ServerName::try_from("r.example").unwrap();
    for (error, clause, hint) in [
        (other(Arc::new(SelfSigned)), "is not trusted: self-signed", "--ca-file FILE"),
        (
            other(Arc::new(webpki::Error::CaUsedAsEndEntity)),
            "is not trusted: it is a CA certificate, not a server certificate",
            "--ca-file FILE",
        ),
        (CertificateError::UnknownIssuer, "is not trusted: unknown authority", skip),
        (CertificateError::BadSignature, "is not trusted: bad signature", "--ca-file FILE"),
        (
            CertificateError::ExpiredContext { time, not_after: seconds(1_000_000 - 3 * day) },
            "expired 3 days ago",
            skip,
        ),
        (
            CertificateError::NotValidYetContext { time, not_before: seconds(1_003_600) },
            "becomes valid in 1 hour, by this machine's clock",
            skip,
        ),
        (
            CertificateError::NotValidForNameContext { expected, presented },
            "is for other names: a, b, c and 1 more",
            skip,
        ),
    ] {
        let error = connecting(&[], certificate(error));
        check(None, &*error, &format!("the certificate of r.example:5000 {clause}"), Some(hint));
    }
}

#[test]
fn a_proxy_that_failed_is_named() {
    for (error, clause, hint) in [
        (
            connecting(&[NO_PROXY, NO_TCP], refused()),
            "cannot connect to the proxy http://p:1: connection refused",
            None,
        ),
        (
            connecting(&[NO_PROXY, "dns error", NO_ADDRESS], unknown()),
            "cannot resolve the proxy http://p:1: no address",
            None,
        ),
        (
            connecting(&[TUNNEL_REFUSED], None),
            "the proxy http://p:1 refuses to connect to r.example:5000",
            None,
        ),
        (
            connecting(&[PROXY_LOGIN], None),
            "the proxy http://p:1 requires a user name and password",
            Some("in the proxy's settings"),
        ),
        (
            connecting(&[NO_PROXY], certificate(CertificateError::UnknownIssuer)),
            "the certificate of the proxy http://p:1 is not trusted: unknown authority",
            Some("--proxy-ca-file"),
        ),
        // A failure inside the tunnel is a failure of the registry, not of the proxy.
        (
            connecting(&[], certificate(CertificateError::UnknownIssuer)),
            "the certificate of r.example:5000 is not trusted: unknown authority",
            Some("--ca-file FILE"),
        ),
    ] {
        check(Some(PROXY), &*error, clause, hint);
    }
}

#[test]
fn a_failure_that_a_tls_server_may_cause_has_a_hint() {
    let reset = || Box::new(io::Error::from(io::ErrorKind::ConnectionReset));
    let way = Way { https: false, host: "localhost", port: 1, name: "localhost:1", proxy: None };
    for error in [
        layers(&["client error (SendRequest)", NO_HTTP], None),
        layers(&["client error (SendRequest)", "connection error"], Some(reset() as _)),
    ] {
        assert!(way.hint(&*error).unwrap().contains("--scheme https"), "{error}");
        assert_eq!(Way { https: true, ..way.clone() }.hint(&*error), None);
    }
}
