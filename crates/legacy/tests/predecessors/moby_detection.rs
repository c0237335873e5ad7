//! Compares moby-distribution's detection of a registry's scheme with [`Scheme::Detect`].

use super::*;

use std::time::Duration;

use longshore::{Limits, Ping, Result, RetryPolicy, Verification};
use longshore_testkit::script::{Exchange, Script};

/// moby-distribution's `from_api_endpoint`.
struct Moby(Predecessor);

impl Moby {
    fn new(environment: &[(&str, &str)]) -> Self {
        let mut moby = Predecessor::start(environment);
        moby.run("from moby_distribution import *");
        moby.run(
            "def found(url):\n    \
                 endpoint = APIEndpoint(url=url)\n    \
                 client = DockerRegistryV2Client.from_api_endpoint(endpoint, https_detect_timeout=0.5)\n    \
                 return [client.api_base_url, client.session.verify]",
        );
        Self(moby)
    }

    /// Returns the detected URL, and true if moby-distribution checks the certificate.
    fn finds(&mut self, endpoint: &str) -> (String, bool) {
        let found = self.0.gives(&format!("found('{endpoint}')"));
        (found[0].as_str().unwrap().to_owned(), found[1].as_bool().unwrap())
    }

    fn raises(&mut self, endpoint: &str) -> Raised {
        self.0.raises(&format!("found('{endpoint}')"))
    }
}

fn scheme(scheme: Scheme) -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(scheme);
    settings
}

/// Pings with longshore, without retries.
async fn ping(address: SocketAddr, settings: RegistrySettings) -> Result<Ping> {
    let (mut retry, mut limits) = (RetryPolicy::default(), Limits::default());
    retry.max_attempts = std::num::NonZeroUsize::MIN;
    limits.connect = Duration::from_millis(500);
    limits.response = Duration::from_millis(500);
    let client = quick().retry(retry).limits(limits).default_settings(settings).build();
    client.ping(&address.to_string().parse().unwrap()).await
}

async fn detected(address: SocketAddr) -> (Scheme, Verification) {
    let found = ping(address, scheme(Scheme::Detect)).await.unwrap();
    assert!(found.detected);
    (found.scheme, found.verification)
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_accept_an_invalid_certificate_after_detection() {
    let place = Place::over_tls(|registry, _| registry).await;
    let address = place.address;
    let https = format!("https://{address}");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, place.certificate()).unwrap();
    let ca = ca.to_str().unwrap();

    // A registry with a valid certificate.
    let mut settings = trusting(place.certificate());
    settings.scheme = Some(Scheme::Detect);
    let ours = ping(address, settings).await.unwrap();
    let theirs = Moby::new(&[("SSL_CERT_FILE", ca)]).finds(&address.to_string());
    assert_eq!(theirs, (https.clone(), true));
    assert_eq!((ours.scheme, ours.verification), (Scheme::Https, Verification::Full));

    // A registry with an invalid certificate.
    let mut moby = Moby::new(&[]);
    assert_eq!(moby.finds(&address.to_string()), (https.clone(), false));
    assert_eq!(detected(address).await, (Scheme::Https, Verification::Skip));

    // A deliberate difference: longshore respects the scheme of an http URL, and moby-distribution
    // ignores it.
    assert_eq!(moby.finds(&format!("http://{address}")), (https, false));
    let e = ping(address, scheme(Scheme::Http)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport, "{e:?}");

    // Defect of moby-distribution: certificates in the environment turn verification on again.
    let other = folder.path().join("other.pem");
    std::fs::write(&other, Authority::new().certificate()).unwrap();
    let bundle = [("REQUESTS_CA_BUNDLE", other.to_str().unwrap())];
    let raised = Moby::new(&bundle).raises(&address.to_string());
    assert!(raised.is("SSLError"), "{raised:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_falls_back_to_plain_http_and_longshore_does_not() {
    // A server with an invalid certificate that is not a registry.
    for (status, finds) in [(500, Some("http")), (404, None)] {
        let (authority, server) = (Authority::new(), Script::start().await);
        let front = Front::start(&authority.for_loopback(), server.address()).await;
        let (address, mut moby) = (front.address(), Moby::new(&[]));
        server.expect(Exchange::new("GET", "/v2/").answer(status));
        match finds {
            Some(scheme) => assert_eq!(
                moby.finds(&address.to_string()),
                (format!("{scheme}://{address}"), false)
            ),
            None => {
                let raised = moby.raises(&address.to_string());
                assert!(raised.is("ResourceNotFound"), "{raised:?}");
            }
        }
        server.expect(Exchange::new("GET", "/v2/").answer(status));
        let e = ping(address, scheme(Scheme::Detect)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Transport);
        assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");
        server.finish();
    }

    // moby-distribution treats a closed port as plain HTTP. longshore reports an error.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let theirs = Moby::new(&[]).finds(&closed.to_string());
    assert_eq!(theirs, (format!("http://{closed}"), false));
    let e = ping(closed, scheme(Scheme::Detect)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_always_detects_plain_http_and_longshore_detects_it_unless_https_is_set() {
    let place = Place::open().await;
    let (address, mut moby) = (place.address, Moby::new(&[]));
    let plain = (format!("http://{address}"), false);
    assert_eq!(moby.finds(&address.to_string()), plain);
    assert_eq!(detected(address).await, (Scheme::Http, Verification::Full));
    // A deliberate difference: with an https URL, longshore uses only TLS.
    assert_eq!(moby.finds(&format!("https://{address}")), plain);
    let e = ping(address, scheme(Scheme::Https)).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("plain HTTP")), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn moby_and_longshore_report_a_silent_server_as_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let raised = Moby::new(&[]).raises(&address.to_string());
    let e = ping(address, scheme(Scheme::Detect)).await.unwrap_err();
    same_failure(&raised, "TimeoutError", None, &e, ErrorKind::Timeout);
}
