//! Compares the earlier clients with longshore: both perform the same tasks against the same
//! registry.
//!
//! A test sends Python code to a predecessor, through `testkit::peer::Predecessor`. If a
//! predecessor has a defect, the test shows both results and names the defect.

#![allow(clippy::unwrap_used, reason = "tests and their helpers fail by panicking")]

#[path = "../../../client/tests/integration/clients.rs"]
mod clients;
mod crashvb;
mod crashvb_credentials;
mod crashvb_network;
mod crashvb_values;
#[path = "../integration/docker_content.rs"]
mod docker_content;
mod dreg;
mod dxf;
mod dxf_program;
mod errors;
mod migrating;
mod moby;
mod moby_detection;
mod moby_tokens;
mod schema1;
mod timeouts;
mod verification;
mod yodle;
mod yodle_tokens;
mod yodle_v1;

use std::net::SocketAddr;
use std::sync::Arc;

use longshore::{
    Client, Error, ErrorKind, RegistryName, RegistrySettings, RemoteRepository, RootCertificates,
    Scheme, Source as _, Tag, TagOrDigest,
};
use longshore_registry::{Permissions, Registry, RegistryBuilder, Tokens, Users, serve};
use longshore_testkit::fixture::{self, Content};
use longshore_testkit::peer::{Predecessor, Raised};
use longshore_testkit::tls::{Authority, Front};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use self::clients::{login, quick, remote};
use self::docker_content::{docker_image, docker_list};

/// A registry with content, and longshore's client for it.
struct Place {
    address: SocketAddr,
    client: Client,
    /// The CA certificate (PEM), if the registry uses TLS.
    certificate: Option<String>,
    /// Stops the registry, and the TLS server in front of it, on drop.
    _running: (oneshot::Sender<()>, Option<Front>),
}

impl Place {
    /// Starts a registry without access control.
    async fn open() -> Self {
        Self::with(|registry, _| registry).await
    }

    /// Starts a registry that sends `Location` headers as paths, as some registries do.
    async fn with_relative_locations() -> Self {
        Self::with(|registry, _| registry.relative_locations()).await
    }

    /// Starts a registry that requires the password of [`USER`] (Basic authentication).
    async fn basic() -> Self {
        Self::with(|registry, _| registry.access(users())).await
    }

    /// Starts a registry that issues tokens to [`USER`] (Bearer authentication).
    async fn bearer() -> Self {
        Self::with(|registry, address| {
            registry.access(Tokens::new(users(), format!("http://{address}/token")))
        })
        .await
    }

    /// Starts a registry that uses TLS and requires the password of [`USER`].
    async fn basic_over_tls() -> Self {
        Self::over_tls(|registry, _| registry.access(users())).await
    }

    /// Starts a registry that uses TLS and issues tokens to [`USER`].
    async fn bearer_over_tls() -> Self {
        Self::over_tls(|registry, address| {
            registry.access(Tokens::new(users(), format!("https://{address}/token")))
        })
        .await
    }

    async fn with(set_up: impl FnOnce(RegistryBuilder, SocketAddr) -> RegistryBuilder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = run(listener, set_up(Registry::builder(), address));
        Self::filled(address, None, (stop, None)).await
    }

    async fn over_tls(set_up: impl FnOnce(RegistryBuilder, SocketAddr) -> RegistryBuilder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = Authority::new();
        let behind = listener.local_addr().unwrap();
        let front = Front::start(&authority.for_loopback(), behind).await;
        let address = front.address();
        let builder = Registry::builder().public_url(format!("https://{address}"));
        let stop = run(listener, set_up(builder, address));
        Self::filled(address, Some(authority.certificate()), (stop, Some(front))).await
    }

    async fn filled(
        address: SocketAddr,
        certificate: Option<String>,
        running: (oneshot::Sender<()>, Option<Front>),
    ) -> Self {
        let name: RegistryName = address.to_string().parse().unwrap();
        let store = login(name, USER, PASSWORD);
        let settings = certificate.as_deref().map_or_else(RegistrySettings::default, trusting);
        let client = quick().default_settings(settings).credentials(store).build();
        let place = Self { address, client, certificate, _running: running };
        for (name, tags, content) in all_content() {
            for text in tags {
                content.push(&*place.at(name), Some(&tag(text))).await;
            }
        }
        place
    }

    /// Returns the CA certificate.
    fn certificate(&self) -> &str {
        self.certificate.as_deref().unwrap()
    }

    fn registry(&self) -> RegistryName {
        self.address.to_string().parse().unwrap()
    }

    fn at(&self, name: &str) -> Arc<RemoteRepository> {
        let repository = format!("{}/{name}", self.address).parse().unwrap();
        Arc::new(self.client.repository(&repository))
    }

    /// Returns the names of the repositories, as longshore lists them.
    async fn repositories(&self) -> Vec<String> {
        let names = self.client.catalog(&self.registry()).all().await.unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    /// Returns the names of the tags, as longshore lists them.
    async fn tags(&self, name: &str) -> Vec<String> {
        let tags = self.at(name).tags(None).all().await.unwrap();
        tags.iter().map(ToString::to_string).collect()
    }

    /// Returns the text of a manifest, as longshore gets it.
    async fn manifest(&self, name: &str, reference: &str) -> String {
        let selector = TagOrDigest::parse(reference).unwrap();
        let manifest = self.at(name).manifest(&selector).await.unwrap();
        text(manifest.bytes())
    }

    /// Returns the digest of a manifest, as longshore resolves it.
    async fn digest(&self, name: &str, reference: &str) -> String {
        let selector = TagOrDigest::parse(reference).unwrap();
        self.at(name).resolve(&selector).await.unwrap().digest.to_string()
    }
}

/// Returns the settings of a registry that uses TLS, with this CA certificate.
fn trusting(certificate: &str) -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Https);
    settings.root_certificates = Some(RootCertificates::from_pem(certificate.as_bytes()).unwrap());
    settings
}

fn run(listener: TcpListener, registry: RegistryBuilder) -> oneshot::Sender<()> {
    let (stop, stopped) = oneshot::channel();
    let registry = registry.memory().build().unwrap();
    tokio::spawn(serve(listener, registry, async { drop(stopped.await) }));
    stop
}

/// Returns the content of each test registry: repository, tags, content.
fn all_content() -> [(&'static str, &'static [&'static str], Content); 4] {
    [
        ("plain", &["latest"], docker_image(3, "amd64")),
        ("team/app", &["v1", "v2"], docker_image(1, "amd64")),
        ("team/list", &["v1"], docker_list()),
        ("team/sub/oci", &["v1"], fixture::Image::small_index(1)),
    ]
}

fn users() -> Users {
    Users::new().user(USER, PASSWORD, Permissions::ALL)
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

/// Returns bytes in the form of a predecessor's results: one character for each byte.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Checks that the same call failed for the same reason on both sides.
fn same_failure(raised: &Raised, class: &str, status: Option<u64>, ours: &Error, kind: ErrorKind) {
    assert!(raised.is(class) && raised.status == status, "{raised:?}");
    assert_eq!(ours.kind(), kind, "{ours:?}");
}

/// Checks that a JSON value is this list of strings.
fn assert_texts<T: AsRef<str>>(found: &Value, expected: &[T]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    assert_eq!(*found, Value::from(expected));
}

const USER: &str = "user";
const PASSWORD: &str = "s3cret";
