//! Uploads whose connection ends, or whose reply arrives, while the body is still being sent. The
//! client must notice this immediately, even while it waits for the body's source.
//!
//! `Expect: 100-continue` is not tested here. The client never sends this header, so it never waits
//! for a 100 reply. Another test checks that the header is not sent.

use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use longshore::{
    BlobBody, Client, ClientBuilder, Descriptor, Error, ErrorKind, HostAddresses, Limits, Proxies,
    Proxy, Pushed, RegistrySettings, RemoteRepository, Repository, Result, RootCertificates,
    Target as _, UploadMethod,
};
use longshore_registry::Registry;
use longshore_testkit::fault::{Fault, FaultProxy};
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front};

use crate::embedded::start;
use crate::{blob, login, quick};

/// The way in which the first request with a body ends, after 2 MiB.
#[derive(Clone, Copy, Debug)]
enum End {
    Reset,
    Shutdown,
    /// The `close_notify` message of TLS.
    CloseNotify,
    /// A TCP reset below TLS.
    TlsReset,
    /// A proxy closes the tunnel that carries TLS.
    Tunnel,
    /// A reply arrives before the whole body is sent.
    Reply,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Put,
    Patch,
}

/// The source of the body.
#[derive(Clone, Copy, Debug)]
enum From {
    Memory,
    File,
    Registry,
    /// A registry that sends 3 MiB and then nothing, for longer than the client waits.
    StalledRegistry,
}

/// A value that must live until the end of a test.
type Guard = Box<dyn std::any::Any + Send + Sync>;

static CONTENT: LazyLock<Bytes> = LazyLock::new(|| random::bytes(11, SIZE));

/// A registry under test, and the source of the body.
struct Setting {
    server: Script,
    client: Client,
    repository: Repository,
    form: Form,
    body: BlobBody,
    _kept: Guard,
}

impl Setting {
    async fn new(end: End, form: Form, from: From) -> Self {
        let server = Script::start().await;
        let (client, repository, route) = client_for(end, &server).await;
        let (body, source) = body(from).await;
        let client = match form {
            Form::Put => client,
            Form::Patch => client.upload_method(UploadMethod::Chunked(NonZeroU64::MAX)),
        };
        let client = client.limits(patient()).build();
        Self { server, client, repository, form, body, _kept: Box::new((route, source)) }
    }

    fn descriptor() -> Descriptor {
        blob(&CONTENT)
    }

    /// Returns the first request of a session that sends the blob from this offset on.
    fn first(&self, session: &str, offset: usize) -> Exchange {
        match self.form {
            Form::Put => Exchange::new("PUT", with_digest(session)),
            Form::Patch => Exchange::new("PATCH", session)
                .with("content-range", format!("{offset}-{}", SIZE - 1)),
        }
        .with("content-length", (SIZE - offset).to_string())
        .without("expect")
    }

    /// Expects the rest of the blob from this offset on, and its completion.
    fn expect_rest(&self, session: &str, offset: usize, authorization: Option<&str>) {
        let known = |exchange: Exchange| match authorization {
            Some(value) => exchange.with("authorization", value),
            None => exchange.without("authorization"),
        };
        let rest = self.first(session, offset).sending(&CONTENT[offset..]);
        let stored = |exchange: Exchange| {
            let digest = Self::descriptor().digest.to_string();
            known(exchange.answer(201).header("docker-content-digest", digest))
        };
        match self.form {
            Form::Put => self.server.expect(stored(rest)),
            Form::Patch => {
                self.server.expect(known(rest.answer(202).header("location", session)));
                self.server.expect(stored(Exchange::new("PUT", with_digest(session))));
            }
        }
    }

    /// Pushes the blob. Fails the test if the push takes longer than [`PROMPT`].
    async fn push(&mut self) -> Result<Pushed> {
        let repository: RemoteRepository = self.client.repository(&self.repository);
        let body = std::mem::replace(&mut self.body, Bytes::new().into());
        let push = async { repository.push_blob(&Self::descriptor(), body).await };
        let pushed = tokio::time::timeout(PROMPT, push).await;
        pushed.unwrap_or_else(|_| panic!("the client did not notice the end of the connection"))
    }
}

fn begin(session: &str) -> Exchange {
    Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202).header("location", session)
}

fn with_digest(session: &str) -> String {
    format!("{session}?digest={}", Setting::descriptor().digest)
}

/// Limits that are longer than any test.
fn patient() -> Limits {
    let mut limits = Limits::default();
    (limits.idle, limits.response) = (LONG, LONG);
    limits
}

/// Returns a client that reaches the server over a connection that can end in this way, and a
/// repository at the server.
async fn client_for(end: End, server: &Script) -> (ClientBuilder, Repository, Guard) {
    let plain = || format!("{}/a/b", server.address()).parse().unwrap();
    if !matches!(end, End::CloseNotify | End::TlsReset | End::Tunnel) {
        return (quick(), plain(), Box::new(()));
    }
    let authority = Authority::new();
    let front = Front::start(&authority.issue(&["r.example"]), server.address()).await;
    let mut trusting = RegistrySettings::default();
    let roots = RootCertificates::from_pem(authority.certificate().as_bytes()).unwrap();
    trusting.root_certificates = Some(roots);
    let client = quick().default_settings(trusting);
    let address = front.address();
    if matches!(end, End::Tunnel) {
        let proxy = longshore_testkit::proxy::Proxy::http(None)
            .await
            .route("r.example:443", address)
            .dropping_a_tunnel_after(SENT as u64);
        let through = Proxy::parse(&format!("http://{}", proxy.address())).unwrap();
        let client = client.proxies(Proxies::all(through));
        return (client, "r.example/a/b".parse().unwrap(), Box::new((front, proxy)));
    }
    let here = HostAddresses::new("r.example", None, vec![address.ip()]);
    let repository = format!("r.example:{}/a/b", address.port()).parse().unwrap();
    (client.host_addresses(here), repository, Box::new(front))
}

async fn body(from: From) -> (BlobBody, Guard) {
    let stalled = matches!(from, From::StalledRegistry);
    match from {
        From::Memory => (CONTENT.clone().into(), Box::new(())),
        From::File => {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &CONTENT[..]).unwrap();
            (BlobBody::file(file.path()), Box::new(file))
        }
        From::Registry | From::StalledRegistry => {
            let (address, stop) = start(Registry::builder().memory()).await;
            let proxy = FaultProxy::start(address).await;
            let repository = format!("{}/c/d", proxy.address()).parse().unwrap();
            let repository = quick().limits(patient()).build().repository(&repository);
            let content = CONTENT.clone().into();
            repository.push_blob(&Setting::descriptor(), content).await.unwrap();
            if stalled {
                proxy.inject("GET", "/blobs/", 1, Fault::Stall(STALLED as u64));
            }
            (BlobBody::source(Arc::new(repository)), Box::new((proxy, stop)))
        }
    }
}

/// Returns all combinations of upload methods and body sources.
fn combinations() -> impl Iterator<Item = (Form, From)> {
    let sources = [From::Memory, From::File, From::Registry, From::StalledRegistry];
    sources.into_iter().flat_map(|from| [(Form::Put, from), (Form::Patch, from)])
}

/// Checks that the upload continues at the registry's offset after the connection ends without a
/// reply.
async fn resumes_after(end: End) {
    for (form, from) in combinations() {
        let mut setting = Setting::new(end, form, from).await;
        let first = setting.first("/v2/u/1", 0);
        let server = &setting.server;
        server.expect(begin("/v2/u/1"));
        server.expect(match end {
            End::Reset | End::TlsReset => first.reset(SENT),
            End::Shutdown | End::CloseNotify => first.shut_down(SENT),
            // Here the proxy ends the connection before the registry has read the whole body.
            _ => first,
        });
        let far = format!("0-{}", SENT - 1);
        server.expect(Exchange::new("GET", "/v2/u/1").answer(204).header("range", far));
        setting.expect_rest("/v2/u/1", SENT, None);
        setting.push().await.unwrap_or_else(|e| panic!("{end:?} {form:?} {from:?}: {e:?}"));
        setting.server.finish();
    }
}

#[tokio::test]
async fn an_upload_resumes_after_a_reset() {
    resumes_after(End::Reset).await;
}

#[tokio::test]
async fn an_upload_resumes_after_a_fin() {
    resumes_after(End::Shutdown).await;
}

#[tokio::test]
async fn an_upload_resumes_after_a_close_notify() {
    resumes_after(End::CloseNotify).await;
}

#[tokio::test]
async fn an_upload_resumes_after_a_reset_below_tls() {
    resumes_after(End::TlsReset).await;
}

#[tokio::test]
async fn an_upload_resumes_after_its_tunnel_is_closed() {
    resumes_after(End::Tunnel).await;
}

/// Returns the first request with a body, and a reply that is sent before the body is complete.
fn answered(setting: &Setting, session: &str, status: u16, closes: bool) -> Exchange {
    let exchange = setting.first(session, 0).answer(status).early(SENT);
    if closes { exchange.header("connection", "close") } else { exchange }
}

/// Waits until the connections of early replies are closed. Returns how many bytes of each body
/// arrived.
async fn early_bodies(server: &Script, count: usize) -> Vec<usize> {
    let closed = async {
        while server.early_bodies().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PROMPT, closed).await;
    assert!(waited.is_ok(), "a connection stayed open in the middle of a body");
    server.early_bodies()
}

async fn assert_cut_short(server: &Script, count: usize, shown: &str) {
    for size in early_bodies(server, count).await {
        assert!(size < SIZE, "{shown}: the whole body was sent");
    }
}

#[tokio::test]
async fn a_413_during_a_body_stops_the_body() {
    for closes in [false, true] {
        for (form, from) in combinations() {
            let shown = format!("413 {form:?} {from:?}, closes: {closes}");
            let mut setting = Setting::new(End::Reply, form, from).await;
            let server = &setting.server;
            server.expect(begin("/v2/u/1"));
            server.expect(answered(&setting, "/v2/u/1", 413, closes));
            server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
            let mut cut_short = 1;
            // A registry that refuses the whole blob may accept it in chunks.
            if matches!(form, Form::Put) {
                server.expect(begin("/v2/u/2"));
                let chunk = Exchange::new("PATCH", "/v2/u/2").answer(413).early(SENT);
                server.expect(chunk.header("connection", "close"));
                server.expect(Exchange::new("DELETE", "/v2/u/2").answer(204));
                cut_short = 2;
            }
            let error: Error = setting.push().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{shown}: {error:?}");
            assert_cut_short(&setting.server, cut_short, &shown).await;
            setting.server.finish();
        }
    }
}

#[tokio::test]
async fn after_a_401_during_a_body_the_upload_restarts_with_credentials() {
    for closes in [false, true] {
        for (form, from) in combinations() {
            let shown = format!("401 {form:?} {from:?}, closes: {closes}");
            let mut setting = Setting::new(End::Reply, form, from).await;
            let registry = setting.server.address().to_string().parse().unwrap();
            let client = quick().limits(patient()).credentials(login(registry, "user", "pw"));
            setting.client = match form {
                Form::Put => client,
                Form::Patch => client.upload_method(UploadMethod::Chunked(NonZeroU64::MAX)),
            }
            .build();
            let server = &setting.server;
            server.expect(begin("/v2/u/1").without("authorization"));
            let challenge = "Basic realm=\"r\"";
            let refused = answered(&setting, "/v2/u/1", 401, closes);
            server.expect(refused.header("www-authenticate", challenge));
            // The range of a session without content is ambiguous, so a new session begins.
            let status = Exchange::new("GET", "/v2/u/1").with("authorization", BASIC).answer(204);
            server.expect(status.header("range", "0-0"));
            server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
            server.expect(begin("/v2/u/2").with("authorization", BASIC));
            setting.expect_rest("/v2/u/2", 0, Some(BASIC));
            setting.push().await.unwrap_or_else(|e| panic!("{shown}: {e:?}"));
            assert_cut_short(&setting.server, 1, &shown).await;
            setting.server.finish();
        }
    }
}

#[tokio::test]
async fn a_307_during_a_body_is_followed_with_a_new_body() {
    for closes in [false, true] {
        for (form, from) in combinations() {
            let shown = format!("307 {form:?} {from:?}, closes: {closes}");
            let mut setting = Setting::new(End::Reply, form, from).await;
            let server = &setting.server;
            server.expect(begin("/v2/u/1"));
            let to = match form {
                Form::Put => with_digest("/v2/u/2"),
                Form::Patch => "/v2/u/2".to_owned(),
            };
            server.expect(answered(&setting, "/v2/u/1", 307, closes).header("location", to));
            setting.expect_rest("/v2/u/2", 0, None);
            setting.push().await.unwrap_or_else(|e| panic!("{shown}: {e:?}"));
            assert_cut_short(&setting.server, 1, &shown).await;
            setting.server.finish();
        }
    }
}

/// `user:pw`.
const BASIC: &str = "Basic dXNlcjpwdw==";
/// 8 MiB: more than the buffers of a connection can hold.
const SIZE: usize = 8 << 20;
/// 2 MiB: the connection ends after this part of the body.
const SENT: usize = 2 << 20;
/// 3 MiB: a stalled source sends nothing after this part of the body.
const STALLED: usize = 3 << 20;
/// 120 s: the client would wait this long if it did not notice the end.
const LONG: Duration = Duration::from_secs(120);
/// 20 s: the limit for a push that normally takes a tenth of a second.
const PROMPT: Duration = Duration::from_secs(20);
