//! Connections to registries: schemes, detection, path prefixes and timeouts.

use std::net::SocketAddr;
use std::time::Duration;

use longshore::{
    Client, ClientBuilder, ErrorKind, Limits, MemoryCredentials, Ping, RegistryName,
    RegistrySettings, RegistryUrl, Result, RootCertificates, Scheme, Secret, Source as _, Tag,
    Target as _, UserAgent, Verification,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{blob, blob_path, place, quick};

fn name(address: SocketAddr) -> RegistryName {
    address.to_string().parse().unwrap()
}

fn scheme(scheme: Scheme) -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(scheme);
    settings
}

fn detecting() -> ClientBuilder {
    quick().default_settings(scheme(Scheme::Detect))
}

async fn ping(client: &Client, address: SocketAddr) -> Result<Ping> {
    client.ping(&name(address)).await
}

fn root() -> Exchange {
    Exchange::new("GET", "/v2/")
}

#[tokio::test]
async fn a_valid_certificate_is_detected_once_and_accepted() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let mut settings = scheme(Scheme::Detect);
    let pem = authority.certificate();
    settings.root_certificates = Some(RootCertificates::from_pem(pem.as_bytes()).unwrap());
    let client = quick().default_settings(settings).build();
    // Any reply shows that the server supports TLS.
    server.expect(root().answer(404));
    server.expect(root());
    let found = ping(&client, front.address()).await.unwrap();
    assert_eq!((found.scheme, found.verification), (Scheme::Https, Verification::Full));
    assert!(found.detected);
    server.expect(root());
    ping(&client, front.address()).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn detection_accepts_an_invalid_certificate_only_from_a_registry() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    server.expect(root().answer(401));
    server.expect(root());
    let found = ping(&detecting().build(), front.address()).await.unwrap();
    assert_eq!((found.scheme, found.verification), (Scheme::Https, Verification::Skip));
    // A registry does not answer its root with 404 or 500. The client does not fall back further.
    for status in [404, 500] {
        let client = detecting().retry(once()).build();
        server.expect(root().answer(status));
        let e = ping(&client, front.address()).await.unwrap_err();
        assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");
    }
    // These settings do not permit a fallback.
    let mut full = scheme(Scheme::Detect);
    full.verification = Some(Verification::Full);
    for settings in [scheme(Scheme::Https), full] {
        let client = quick().default_settings(settings).build();
        let e = ping(&client, front.address()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Transport);
    }
    server.finish();
}

fn once() -> longshore::RetryPolicy {
    let mut policy = longshore::RetryPolicy::default();
    policy.max_attempts = std::num::NonZeroUsize::MIN;
    policy
}

#[tokio::test]
async fn a_certificate_accepted_by_detection_is_accepted_for_that_server_only() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let other = Front::start(&authority.for_loopback(), server.address()).await;
    let descriptor = blob(b"content");
    let repository = format!("{}/a/b", front.address()).parse().unwrap();
    let repository = detecting().build().repository(&repository);
    server.expect(root());
    server.expect(
        Exchange::new("GET", blob_path(&descriptor))
            .answer(307)
            .header("location", format!("https://{}/elsewhere", other.address())),
    );
    let e = repository.blob(&descriptor).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("root certificate")), "{e:?}");
    server.expect(Exchange::new("GET", blob_path(&descriptor)).body("content"));
    repository.blob(&descriptor).await.unwrap().bytes(100).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn detected_plain_http_is_used_for_all_pages_of_a_listing() {
    let server = Script::start().await;
    let client = detecting().build();
    server.expect(root().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    let list = |query: &str| Exchange::new("GET", format!("/v2/a/b/tags/list{query}"));
    let next = server.url("/v2/a/b/tags/list?last=v1&n=1000");
    server.expect(
        list("").header("link", format!("<{next}>; rel=\"next\"")).body("{\"tags\":[\"v1\"]}"),
    );
    server.expect(list("?last=v1&n=1000").body("{\"tags\":[\"v2\"]}"));
    let tags = client.repository(&place(&server)).tags(None).all().await.unwrap();
    assert_eq!(tags, ["v1", "v2"].map(|t| Tag::parse(t).unwrap()));
    server.expect(root());
    let found = ping(&client, server.address()).await.unwrap();
    assert_eq!((found.scheme, found.detected), (Scheme::Http, true));
    server.finish();
}

#[tokio::test]
async fn detection_returns_settings_that_another_client_can_use() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let pem = RootCertificates::from_pem(authority.certificate().as_bytes()).unwrap();
    let mut trusting = RegistrySettings::default();
    trusting.root_certificates = Some(pem);
    for (settings, address, expected) in [
        (trusting, front.address(), (Scheme::Https, None, false)),
        (<_>::default(), front.address(), (Scheme::Https, Some(Verification::Skip), true)),
        (<_>::default(), server.address(), (Scheme::Http, None, true)),
    ] {
        let client = quick().settings(name(address), settings.clone()).build();
        server.expect(root());
        let found = client.detect(&name(address)).await.unwrap();
        let (scheme, verification, fallback) = expected;
        assert_eq!((found.scheme, found.verification), (Some(scheme), verification));
        assert_eq!(
            (found.fallback, &found.root_certificates),
            (fallback, &settings.root_certificates)
        );
        // The other client does not repeat the detection.
        server.expect(root());
        let client = quick().settings(name(address), found).build();
        let ping = ping(&client, address).await.unwrap();
        assert_eq!((ping.scheme, ping.detected), (scheme, fallback));
    }
    server.finish();
}

#[tokio::test]
async fn credentials_with_permission_are_sent_over_detected_plain_http() {
    let server = Script::start().await;
    // Detection does not permit sending credentials, because an attacker can influence its result.
    // These credentials have their own permission.
    let store = crate::login(name(server.address()), "user", "pass");
    let client = detecting().credentials(store).build();
    server.expect(root());
    server.expect(root().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(root().with("authorization", "Basic dXNlcjpwYXNz"));
    client.check_credentials(&name(server.address())).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn trap_16_detection_respects_schemes_timeouts_and_verification() {
    // An explicit scheme is kept, even if the server does not support it.
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let plain = quick().default_settings(scheme(Scheme::Http)).retry(once()).build();
    assert!(ping(&plain, front.address()).await.is_err(), "plain HTTP is not upgraded to TLS");
    let tls = quick().default_settings(scheme(Scheme::Https)).build();
    let e = ping(&tls, server.address()).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("plain HTTP")), "{e:?}");

    // A server that accepts the connection and sends nothing causes a timeout, not a fallback to
    // plain HTTP.
    let silent_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut limits = Limits::default();
    limits.connect = Duration::from_millis(200);
    let client = detecting().limits(limits).retry(once()).build();
    let e = ping(&client, silent_server.local_addr().unwrap()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");

    // A closed port is an error, and does not cause a fallback to plain HTTP.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let e = ping(&detecting().retry(once()).build(), closed).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);

    // With verification skipped, the client does not fall back to plain HTTP.
    let mut skip = scheme(Scheme::Detect);
    skip.verification = Some(Verification::Skip);
    let client = quick().settings(name(front.address()), skip).build();
    server.expect(root().answer(404));
    server.expect(root());
    let found = ping(&client, front.address()).await.unwrap();
    assert_eq!((found.scheme, found.verification), (Scheme::Https, Verification::Skip));
    server.finish();
}

#[tokio::test]
async fn an_ipv6_address_in_brackets_is_reached() {
    let (authority, server) = (Authority::new(), Script::start().await);
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let mut secure = scheme(Scheme::Https);
    let pem = authority.certificate();
    secure.root_certificates = Some(RootCertificates::from_pem(pem.as_bytes()).unwrap());
    for (settings, target, spoken) in [
        (RegistrySettings::default(), server.address(), Scheme::Http),
        (secure, front.address(), Scheme::Https),
    ] {
        let (address, relay) = relay(target).await;
        server.expect(root().with("host", address.to_string()));
        let client = quick().default_settings(settings).build();
        let found = ping(&client, address).await.unwrap();
        assert_eq!((found.scheme, found.detected), (spoken, false));
        relay.abort();
    }
    assert_eq!(front.handshakes(), 1);
    server.finish();
}

/// Forwards connections from an IPv6 address of this machine to `target`.
async fn relay(target: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let relay = tokio::spawn(async move {
        while let Ok((mut inside, _)) = listener.accept().await {
            let mut outside = TcpStream::connect(target).await.unwrap();
            tokio::spawn(
                async move { tokio::io::copy_bidirectional(&mut inside, &mut outside).await },
            );
        }
    });
    (address, relay)
}

#[tokio::test]
async fn all_requests_stay_below_a_path_prefix() {
    let server = Script::start().await;
    let url: RegistryUrl = format!("{}/team/v2/", server.url("")).parse().unwrap();
    let client = quick().settings(url.registry().clone(), url.settings()).build();
    server.expect(Exchange::new("GET", "/team/v2/"));
    client.ping(url.registry()).await.unwrap();

    let list = |query: &str| Exchange::new("GET", format!("/team/v2/a/b/tags/list{query}"));
    // The link may have the prefix or not, and may be relative or absolute, because some proxies do
    // not rewrite links.
    for link in [
        "/team/v2/a/b/tags/list?last=v1",
        "/v2/a/b/tags/list?last=v1",
        "?last=v1",
        &server.url("/team/v2/a/b/tags/list?last=v1"),
    ] {
        let link = format!("<{link}>; rel=\"next\"");
        server.expect(list("").header("link", link).body("{\"tags\":[\"v1\"]}"));
        server.expect(list("?last=v1").body("{\"tags\":[\"v2\"]}"));
        let tags = client.repository(&place(&server)).tags(None).all().await.unwrap();
        assert_eq!(tags.len(), 2);
    }
    let descriptor = blob(b"content");
    for session in ["/team/v2/a/b/blobs/uploads/1?s=x", &server.url("/team/v2/u?s=x"), "1?s=x"] {
        let (path, completed) = match session {
            "1?s=x" => ("1", "/team/v2/a/b/blobs/uploads/1"),
            s if s.starts_with('/') => ("1", "/team/v2/a/b/blobs/uploads/1"),
            _ => ("u", "/team/v2/u"),
        };
        let put = format!("{completed}?s=x&digest={}", descriptor.digest);
        assert!(completed.ends_with(path));
        server.expect(
            Exchange::new("POST", "/team/v2/a/b/blobs/uploads/")
                .answer(202)
                .header("location", session),
        );
        server.expect(Exchange::new("PUT", put).sending("content").answer(201));
        let repository = client.repository(&place(&server));
        repository.push_blob(&descriptor, bytes::Bytes::from("content").into()).await.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn a_request_fails_at_its_total_time_limit() {
    let server = Script::start().await;
    let mut limits = Limits::default();
    limits.total = Some(Duration::from_millis(300));
    let repository = quick().build().repository(&place(&server));
    let hurried = repository.with_limits(limits.clone());
    let descriptor = blob(b"content");
    server.expect(Exchange::new("GET", blob_path(&descriptor)).body("content").stall(3));
    let body = hurried.blob_range(&descriptor, 0..7).await.unwrap();
    let e = body.bytes(100).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout, "{e:?}");
    assert!(e.to_string().contains("300ms"), "{e}");
    // Other calls keep their limits and use the same connections.
    server.expect(Exchange::new("GET", blob_path(&descriptor)).body("content"));
    repository.blob(&descriptor).await.unwrap().bytes(100).await.unwrap();

    let silent_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent_server.local_addr().unwrap();
    let client = quick().build().with_limits(limits.clone());
    let e = ping(&client, address).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    // Detection has the same time limit, and the error names the registry.
    let repository = detecting().build().repository(&format!("{address}/a").parse().unwrap());
    let e = repository.with_limits(limits).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert!(e.to_string().contains(&format!("registry {address}")), "{e}");
    server.finish();
}

#[tokio::test]
async fn a_timeout_can_be_set_for_single_calls() {
    let silent_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent_server.local_addr().unwrap();
    let mut limits = Limits::default();
    limits.response = Duration::from_millis(100);
    let client = quick().retry(once()).build().with_limits(limits);
    let e = ping(&client, address).await.unwrap_err();
    assert!(e.to_string().contains("no reply within 100ms"), "{e}");
    let (mut stream, _) = silent_server.accept().await.unwrap();
    let mut request = [0; 12];
    stream.read_exact(&mut request).await.unwrap();
    assert_eq!(&request, b"GET /v2/ HTT");
}

#[tokio::test]
async fn connections_are_reused() {
    let server = Script::start().await;
    let client = quick().build();
    for _ in 0..5 {
        server.expect(root());
        ping(&client.clone(), server.address()).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    server.finish();
}

#[tokio::test]
async fn a_client_uses_settings_and_credentials_only_for_their_registry() {
    let (plain, server) = (Script::start().await, Script::start().await);
    let authority = Authority::new();
    let front = Front::start(&authority.for_loopback(), server.address()).await;
    let mut tls = RegistrySettings::default();
    tls.root_certificates =
        Some(RootCertificates::from_pem(authority.certificate().as_bytes()).unwrap());
    let store = MemoryCredentials::new().with(name(front.address()), "user", Secret::new("pass"));
    let client = quick().settings(name(front.address()), tls).credentials(store).build();
    let challenge = || root().answer(401).header("www-authenticate", "Basic realm=\"r\"");
    plain.expect(challenge().without("authorization"));
    assert!(client.check_credentials(&name(plain.address())).await.is_err());
    server.expect(challenge());
    server.expect(root().with("authorization", "Basic dXNlcjpwYXNz"));
    client.check_credentials(&name(front.address())).await.unwrap();
    plain.finish();
    server.finish();
}

#[tokio::test]
async fn the_user_agent_can_be_configured() {
    let server = Script::start().await;
    let own = concat!("longshore/", env!("CARGO_PKG_VERSION"));
    server.expect(root().with("user-agent", own));
    ping(&quick().build(), server.address()).await.unwrap();
    server.expect(root().with("user-agent", "tool/1.0 (x)"));
    let client = quick().user_agent(UserAgent::parse("tool/1.0 (x)").unwrap()).build();
    ping(&client, server.address()).await.unwrap();
    assert!(UserAgent::parse("a\r\nb: c").is_err() && UserAgent::parse(" ").is_err());
    server.finish();
}
