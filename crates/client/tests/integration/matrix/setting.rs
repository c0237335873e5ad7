//! The servers, clients and content of the matrix.

use std::any::Any;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::{
    Client, ClientBuilder, Delete as _, Descriptor, Limits, RawManifest, RegistryName,
    RegistrySettings, RemoteRepository, RootCertificates, Scheme, Source as _, Tag, Target as _,
    UploadMethod,
};
use longshore_registry::{
    Access, AccessRequest, Decision, EndpointReply, Permissions, Registry, Repository,
    TestRegistry, Tokens, Users,
};
use longshore_testkit::fault::FaultProxy;
use longshore_testkit::fixture::{Content, Image, Layer};
use longshore_testkit::random;
use longshore_testkit::tls::{Authority, Front, Pair};
use tempfile::TempDir;

use super::operation::Operation;
use super::unreachable::{self, NoAddress};
use crate::clients::{login, quick};

/// The registries and the content of all cells of a test.
pub(super) struct Ground {
    registry: TestRegistry,
    /// The target of copies.
    other: TestRegistry,
    pub(super) authority: Authority,
    pub(super) pair: Pair,
    pub(super) content: Content,
    next: AtomicUsize,
}

impl Ground {
    pub(super) async fn new() -> Self {
        let users = Users::new().user(USER, PASSWORD, Permissions::ALL);
        let access = SignedUrls(Tokens::new(users, "/token"));
        let start = async |builder| TestRegistry::start_with(|_| builder).await.unwrap();
        let registry = start(Registry::builder().memory().allow_missing().access(access)).await;
        let authority = Authority::new();
        let pair = authority.for_loopback();
        let layer = Layer::gzip(&random::bytes(3, LAYER));
        let content = Image::new("linux/amd64".parse().unwrap()).layer(layer).build();
        let ground = Self {
            registry,
            other: start(Registry::builder().memory()).await,
            authority,
            pair,
            content,
            next: AtomicUsize::new(0),
        };
        ground.fill().await;
        ground
    }

    /// Writes three tags and a referrer to the shared repository, and creates two more.
    async fn fill(&self) {
        let shared = self.direct("a/b");
        self.content.push(&shared, Some(&tag())).await;
        for tag in ["v2", "v3"] {
            shared.push_manifest(self.root(), Some(&Tag::parse(tag).unwrap())).await.unwrap();
        }
        let signature = Image::new("linux/amd64".parse().unwrap());
        signature.subject(self.root().descriptor()).build().push(&shared, None).await;
        for name in ["a/c", "a/d"] {
            self.content.push(&self.direct(name), None).await;
        }
    }

    /// Returns a repository of the registry, without a network.
    fn direct(&self, name: &str) -> Repository {
        self.registry.registry().repositories().repository(&name.parse().unwrap())
    }

    pub(super) fn root(&self) -> &RawManifest {
        &self.content.root
    }

    /// Returns the layer, which is the last blob.
    pub(super) fn layer(&self) -> &(Descriptor, Bytes) {
        self.content.blobs.last().unwrap()
    }

    /// Returns the offset of the middle of the layer.
    pub(super) fn half(&self) -> u64 {
        self.layer().0.size / 2
    }
}

/// A token service, and a registry that also accepts the requests of its storage service.
#[derive(Debug)]
struct SignedUrls(Tokens);

#[async_trait]
impl Access for SignedUrls {
    async fn authorize(
        &self,
        authorization: Option<&str>,
        request: &AccessRequest<'_>,
    ) -> Decision {
        match authorization {
            Some(SIGNED) => Decision::Granted,
            other => self.0.authorize(other, request).await,
        }
    }

    fn endpoint(
        &self,
        path: &str,
        query: &str,
        authorization: Option<&str>,
    ) -> Option<EndpointReply> {
        self.0.endpoint(path, query, authorization)
    }
}

/// The scheme of all connections of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    Tls,
}

/// A server that a client can reach: a proxy, and a TLS front if the cell uses TLS.
pub(super) struct Reached {
    pub(super) proxy: FaultProxy,
    _front: Option<Front>,
    pub(super) port: u16,
}

impl Reached {
    async fn start(wire: Wire, pair: &Pair, proxy: FaultProxy) -> Self {
        let front = match wire {
            Wire::Plain => None,
            Wire::Tls => Some(Front::start(pair, proxy.address()).await),
        };
        let port = front.as_ref().map_or(proxy.address(), Front::address).port();
        Self { proxy, _front: front, port }
    }
}

/// The servers and the client of one cell.
pub(super) struct Setting<'a> {
    pub(super) ground: &'a Ground,
    pub(super) wire: Wire,
    pub(super) near: Reached,
    /// The storage service, at another origin. It needs no credentials, as with signed URLs, and
    /// shares the sessions and the content of the registry.
    pub(super) far: Reached,
    /// The target of copies.
    to: Reached,
    pub(super) client: Client,
    /// The name of the registry.
    pub(super) name: RegistryName,
    own: String,
    pub(super) folder: TempDir,
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

/// How a client reaches the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Through the proxy, which makes the faults.
    Proxy,
    /// The name of the registry has no address.
    Unresolved,
    /// Nothing listens on the port.
    Refused,
    /// The server's queue of connections is full.
    BlackHole,
    /// The server accepts connections and sends nothing.
    Silent,
    /// The server's certificate is from an unknown authority.
    UnknownAuthority,
    /// The server's certificate has expired.
    Expired,
    /// The server's certificate is for another name.
    WrongName,
}

impl<'a> Setting<'a> {
    pub(super) async fn new(
        ground: &'a Ground,
        operation: Operation,
        wire: Wire,
        route: Route,
        limits: Limits,
    ) -> Self {
        let certificate = unreachable::certificate(ground, route);
        let proxy = async |server: &TestRegistry| FaultProxy::start(server.address()).await;
        let near = Reached::start(wire, &certificate, proxy(&ground.registry).await).await;
        let far = proxy(&ground.registry).await.adding("authorization", SIGNED);
        let far = Reached::start(wire, &ground.pair, far).await;
        let to = Reached::start(wire, &ground.pair, proxy(&ground.other).await).await;
        let (name, kept) = match unreachable::name(route).await {
            Some((name, kept)) => (name, Some(kept)),
            None => (address(near.port), None),
        };
        let client = client(ground, operation, wire, &name, limits).build();
        let own = format!("run/r{}", ground.next.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        Self { ground, wire, near, far, to, client, name, own, folder, _kept: kept }
    }

    /// Returns the repository that all cells read.
    pub(super) fn shared(&self) -> RemoteRepository {
        self.repository(&self.name, "a/b")
    }

    /// Returns the repository that only this cell writes.
    pub(super) fn own(&self) -> RemoteRepository {
        self.repository(&self.name, &self.own)
    }

    /// Returns the repository to copy to.
    pub(super) fn target(&self) -> RemoteRepository {
        self.repository(&address(self.to.port), &self.own)
    }

    fn repository(&self, registry: &RegistryName, name: &str) -> RemoteRepository {
        self.client.repository(&format!("{registry}/{name}").parse().unwrap())
    }

    /// Returns the proxy before the target of copies.
    pub(super) fn target_proxy(&self) -> &FaultProxy {
        &self.to.proxy
    }

    /// Returns the URL of the storage service.
    pub(super) fn far_url(&self) -> String {
        self.url("127.0.0.1", self.far.port)
    }

    pub(super) fn url(&self, host: &str, port: u16) -> String {
        match self.wire {
            Wire::Plain => format!("http://{host}:{port}"),
            Wire::Tls => format!("https://{host}:{port}"),
        }
    }

    /// Returns the path of the layer.
    pub(super) fn layer_path(&self) -> String {
        format!("/blobs/{}", self.ground.layer().0.digest)
    }

    fn proxies(&self) -> [&FaultProxy; 3] {
        [&self.near, &self.far, &self.to].map(|server| &server.proxy)
    }

    /// Returns the number of requests of this cell to all servers.
    pub(super) fn requests(&self) -> usize {
        self.proxies().iter().map(|proxy| proxy.requests().len()).sum()
    }

    /// Returns the ports of all servers of this cell.
    pub(super) fn ports(&self) -> [u16; 3] {
        [self.near.port, self.far.port, self.to.port]
    }

    /// Returns the number of faults of this cell.
    pub(super) fn faults_made(&self) -> usize {
        self.proxies().iter().map(|proxy| proxy.faults_made()).sum()
    }

    /// Ends all faults of this cell.
    pub(super) fn clear_faults(&self) {
        self.proxies().iter().for_each(|proxy| proxy.clear());
    }

    /// Returns the repository that this cell writes, without a network.
    fn written(&self) -> [Repository; 2] {
        let name = self.own.parse().unwrap();
        let of = |registry: &TestRegistry| registry.registry().repositories().repository(&name);
        [of(&self.ground.registry), of(&self.ground.other)]
    }

    /// Returns true if the written repository has the layer. Fails if its content is wrong.
    pub(super) async fn has_layer(&self) -> bool {
        let (descriptor, content) = self.ground.layer();
        for repository in self.written() {
            if repository.blob_size(&descriptor.digest).await.unwrap().is_some() {
                let stored = repository.blob(descriptor).await.unwrap();
                return stored.bytes(content.len()).await.unwrap() == *content;
            }
        }
        false
    }

    /// Returns true if the written repository has the manifest under its tag.
    pub(super) async fn has_manifest(&self) -> bool {
        for repository in self.written() {
            if let Ok(manifest) = repository.manifest(&tag().into()).await {
                return manifest.bytes() == self.ground.root().bytes();
            }
        }
        false
    }

    /// Writes the image to the repository that this cell writes.
    pub(super) async fn seed(&self) {
        self.ground.content.push(&self.written()[0], Some(&tag())).await;
    }

    /// Removes everything that the cell wrote.
    pub(super) async fn reset(&self) {
        for repository in self.written() {
            drop(repository.delete_manifest(self.ground.root().digest()).await);
            for (descriptor, _) in &self.ground.content.blobs {
                drop(repository.delete_blob(&descriptor.digest).await);
            }
        }
    }
}

/// Returns the tag of the image.
pub(super) fn tag() -> Tag {
    Tag::parse("v1").unwrap()
}

fn address(port: u16) -> RegistryName {
    format!("127.0.0.1:{port}").parse().unwrap()
}

/// Returns a client with a password for the registry. It sends one request at a time to each host,
/// so that a request that keeps its permit stops the next one.
pub(super) fn client(
    ground: &Ground,
    operation: Operation,
    wire: Wire,
    registry: &RegistryName,
    mut limits: Limits,
) -> ClientBuilder {
    limits.requests_per_host = NonZeroUsize::MIN;
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Http);
    if wire == Wire::Tls {
        settings.scheme = Some(Scheme::Https);
        let root = ground.authority.certificate();
        settings.root_certificates = Some(RootCertificates::from_pem(root.as_bytes()).unwrap());
    }
    let builder = quick()
        .limits(limits)
        .credentials(login(registry.clone(), USER, PASSWORD))
        .default_settings(settings)
        .page_size(NonZeroUsize::MIN.saturating_add(1))
        .resolver(NoAddress);
    match operation {
        Operation::Chunked => builder.upload_method(UploadMethod::Chunked(CHUNK)),
        _ => builder,
    }
}

/// Returns limits that no test reaches, unless a server stalls.
pub(super) fn patient() -> Limits {
    let mut limits = Limits::default();
    (limits.connect, limits.response, limits.idle) = (LONG, LONG, LONG);
    limits
}

/// Returns limits for servers that stall.
pub(super) fn impatient() -> Limits {
    let mut limits = Limits::default();
    (limits.connect, limits.response, limits.idle) = (SHORT, 2 * SHORT, SHORT);
    limits
}

/// The authorization of the storage service.
const SIGNED: &str = "Signed url";
/// The user of all cells.
pub(super) const USER: &str = "user";
/// The password of all cells, which must not appear in errors and logs.
pub(super) const PASSWORD: &str = "s3cret-of-the-matrix";

/// 96 KiB: a copy does not send a layer of this size in a single request.
const LAYER: usize = 96 << 10;
/// 64 KiB: two chunks for the layer.
const CHUNK: NonZeroU64 = NonZeroU64::MIN.saturating_add((64 << 10) - 1);
/// 20 s: longer than any reply of a server that does not stall, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);
/// 0.4 s: long enough for an answer from this machine.
const SHORT: Duration = Duration::from_millis(400);
