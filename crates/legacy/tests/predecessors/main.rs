//! The clients that longshore takes over from, and longshore, asked the same at the same registry.
//!
//! What is said to a predecessor is its own Python, from `testkit::peer::Predecessor`. Where one is
//! wrong by its nature, the test shows both answers and names the defect.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic, helpers included")]

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

/// An embedded registry, filled, and longshore's way to it.
struct Place {
    address: SocketAddr,
    client: Client,
    /// The certificate of the authority that vouches for it, PEM, where it speaks TLS.
    certificate: Option<String>,
    /// End the registry, and what speaks TLS for it, when they are dropped.
    _running: (oneshot::Sender<()>, Option<Front>),
}

impl Place {
    /// One that lets everybody in.
    async fn open() -> Self {
        Self::with(|registry, _| registry).await
    }

    /// The same, which sends its locations as paths, as some registries do.
    async fn with_relative_locations() -> Self {
        Self::with(|registry, _| registry.relative_locations()).await
    }

    /// One that asks for the password of [`USER`] (Basic authentication).
    async fn basic() -> Self {
        Self::with(|registry, _| registry.access(users())).await
    }

    /// One that gives [`USER`] tokens (Bearer authentication).
    async fn bearer() -> Self {
        Self::with(|registry, address| {
            registry.access(Tokens::new(users(), format!("http://{address}/token")))
        })
        .await
    }

    /// One that speaks TLS and asks for the password of [`USER`].
    async fn basic_over_tls() -> Self {
        Self::over_tls(|registry, _| registry.access(users())).await
    }

    /// One that speaks TLS and gives [`USER`] tokens.
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

    /// The certificate of the authority that vouches for it.
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

    /// Names of repositories, as longshore lists them.
    async fn repositories(&self) -> Vec<String> {
        let names = self.client.catalog(&self.registry()).all().await.unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    /// Names of tags, as longshore lists them.
    async fn tags(&self, name: &str) -> Vec<String> {
        let tags = self.at(name).tags(None).all().await.unwrap();
        tags.iter().map(ToString::to_string).collect()
    }

    /// The text of a manifest, as longshore gets it.
    async fn manifest(&self, name: &str, reference: &str) -> String {
        let selector = TagOrDigest::parse(reference).unwrap();
        let manifest = self.at(name).manifest(&selector).await.unwrap();
        text(manifest.bytes())
    }

    /// The digest of a manifest, as longshore resolves it.
    async fn digest(&self, name: &str, reference: &str) -> String {
        let selector = TagOrDigest::parse(reference).unwrap();
        self.at(name).resolve(&selector).await.unwrap().digest.to_string()
    }
}

/// Settings of a registry that speaks TLS, vouched for by this authority.
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

/// What every registry here is filled with: repository, tags, content.
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

/// Bytes as a predecessor's answer has them: one character each.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Asserts that the same call failed for the same reason on both sides.
fn same_failure(raised: &Raised, class: &str, status: Option<u64>, ours: &Error, kind: ErrorKind) {
    assert!(raised.is(class) && raised.status == status, "{raised:?}");
    assert_eq!(ours.kind(), kind, "{ours:?}");
}

/// Asserts that JSON is this list of texts.
fn assert_texts<T: AsRef<str>>(found: &Value, expected: &[T]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    assert_eq!(*found, Value::from(expected));
}

const USER: &str = "user";
const PASSWORD: &str = "s3cret";
