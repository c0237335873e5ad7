//! Proxies (HTTP, HTTPS and SOCKS5) with passwords, and custom name resolution.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use async_trait::async_trait;
use longshore::{
    AddressFamily, Client, ClientBuilder, ErrorKind, HostAddresses, NoProxy, Proxies, Proxy,
    RegistryName, RegistrySettings, Resolver, Result, RootCertificates, Scheme, Secret,
    Verification,
};
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::tls::{Authority, Front};

use crate::quick;

/// `user:hunter2`.
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

fn registry(name: &str) -> RegistryName {
    name.parse().unwrap()
}

fn trusting(authority: &Authority) -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.root_certificates = Some(certificates(authority));
    settings
}

fn certificates(authority: &Authority) -> RootCertificates {
    RootCertificates::from_pem(authority.certificate().as_bytes()).unwrap()
}

fn plain() -> RegistrySettings {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Http);
    settings
}

fn proxy(scheme: &str, address: SocketAddr) -> Proxy {
    Proxy::parse(&format!("{scheme}://{address}")).unwrap()
}

fn through(proxy: Proxy) -> ClientBuilder {
    quick().proxies(Proxies::all(proxy))
}

fn root(server: &Script) {
    server.expect(Exchange::new("GET", "/v2/").without("proxy-authorization"));
}

/// A registry `r.example` with TLS that can only be reached through a proxy.
struct Hidden {
    server: Script,
    authority: Authority,
    front: Front,
}

impl Hidden {
    async fn start() -> Self {
        let (server, authority) = (Script::start().await, Authority::new());
        let front = Front::start(&authority.issue(&["r.example"]), server.address()).await;
        Self { server, authority, front }
    }

    async fn ping(&self, client: ClientBuilder) -> Result<()> {
        let client = client.default_settings(trusting(&self.authority)).build();
        client.ping(&registry("r.example")).await.map(drop)
    }
}

#[tokio::test]
async fn tls_uses_a_tunnel_and_only_the_proxy_gets_the_proxy_password() {
    use longshore_testkit::proxy::Proxy as Server;
    let hidden = Hidden::start().await;
    let server = Server::http(Some(BASIC)).await.route("r.example:443", hidden.front.address());
    let open = proxy("http", server.address());
    let with_url = format!("http://user:hunter2@{}", server.address());
    for good in
        [open.clone().login("user", Secret::new("hunter2")), Proxy::parse(&with_url).unwrap()]
    {
        root(&hidden.server);
        hidden.ping(through(good)).await.unwrap();
    }
    assert_eq!(server.asked(), ["CONNECT r.example:443"; 2]);
    let wrong = open.clone().login("user", Secret::new("wrong-one"));
    for bad in [open, wrong] {
        let e = hidden.ping(through(bad)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Transport);
        let shown = format!("{e} {e:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("wrong-one"), "{shown}");
    }
    hidden.server.finish();
}

#[tokio::test]
async fn a_missing_proxy_password_is_an_error_without_a_retry() {
    use longshore_testkit::proxy::Proxy as Server;
    let hidden = Hidden::start().await;
    let server = Server::http(Some(BASIC)).await.route("r.example:443", hidden.front.address());
    let open = proxy("http", server.address());
    let e = hidden.ping(through(open.clone())).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("user and password in the proxy")), "{e:?}");
    assert_eq!(server.asked(), ["CONNECT r.example:443"]);
    let client = through(open).default_settings(plain()).build();
    let e = client.ping(&registry("r.example")).await.unwrap_err();
    assert!(e.hint().is_some_and(|hint| hint.contains("user and password in the proxy")), "{e:?}");
    assert_eq!((e.kind(), server.asked().len()), (ErrorKind::Unauthorized, 2));
    hidden.server.finish();
}

#[tokio::test]
async fn a_proxy_gets_the_full_url_of_plain_http_requests() {
    use longshore_testkit::proxy::Proxy as Server;
    let server = Script::start().await;
    let proxy_server = Server::http(Some(BASIC)).await.route("r.example:5000", server.address());
    let login = proxy("http", proxy_server.address()).login("user", Secret::new("hunter2"));
    server.expect(Exchange::new("GET", "/v2/").with("host", "r.example:5000"));
    let client = through(login).default_settings(plain()).build();
    client.ping(&registry("r.example:5000")).await.unwrap();
    assert_eq!(proxy_server.asked(), ["GET http://r.example:5000/v2/"]);
    server.finish();
}

#[tokio::test]
async fn the_certificate_of_a_tls_proxy_is_checked_with_its_own_authority() {
    use longshore_testkit::proxy::Proxy as Server;
    let (hidden, authority) = (Hidden::start().await, Authority::new());
    let inner = Server::http(None).await.route("r.example:443", hidden.front.address());
    let front = Front::start(&authority.for_loopback(), inner.address()).await;
    let unknown = proxy("https", front.address());
    let trusted = unknown.clone().root_certificates(certificates(&authority));
    root(&hidden.server);
    hidden.ping(through(trusted.clone())).await.unwrap();
    assert_eq!((front.handshakes(), hidden.front.handshakes()), (1, 1));
    // The registry's authority is not trusted for the proxy, and the proxy's authority is not
    // trusted for the registry.
    assert!(hidden.ping(through(unknown.clone())).await.is_err());
    let name = registry("r.example");
    assert!(through(trusted.clone()).build().ping(&name).await.is_err());
    // The proxy's certificate is checked even if verification is skipped for the registry.
    let mut skip = RegistrySettings::default();
    skip.verification = Some(Verification::Skip);
    let skipping = |proxy| through(proxy).settings(name.clone(), skip.clone()).build();
    assert!(skipping(unknown).ping(&name).await.is_err());
    root(&hidden.server);
    skipping(trusted).ping(&name).await.unwrap();
    hidden.server.finish();
}

#[tokio::test]
async fn only_socks5h_lets_the_proxy_resolve_names() {
    use longshore_testkit::proxy::Proxy as Server;
    let hidden = Hidden::start().await;
    let server = Server::socks5(Some("user:hunter2"))
        .await
        .route("r.example:443", hidden.front.address())
        .route("10.1.2.3:443", hidden.front.address());
    let by_proxy = proxy("socks5h", server.address()).login("user", Secret::new("hunter2"));
    root(&hidden.server);
    hidden.ping(through(by_proxy)).await.unwrap();
    let here = proxy("socks5", server.address()).login("user", Secret::new("hunter2"));
    root(&hidden.server);
    let client = through(here).host_addresses("r.example:443:10.1.2.3".parse().unwrap());
    hidden.ping(client).await.unwrap();
    assert_eq!(server.asked(), ["SOCKS5 r.example:443", "SOCKS5 10.1.2.3:443"]);
    let wrong = proxy("socks5h", server.address()).login("user", Secret::new("wrong-one"));
    let e = hidden.ping(through(wrong)).await.unwrap_err();
    assert!(!format!("{e} {e:?}").contains("wrong-one"), "{e:?}");
    hidden.server.finish();
}

#[tokio::test]
async fn excepted_hosts_are_reached_without_a_proxy() {
    use longshore_testkit::proxy::Proxy as Server;
    let (server, proxy_server) = (Script::start().await, Server::http(None).await);
    let everything = Proxies::all(proxy("http", proxy_server.address()));
    let name = registry(&server.address().to_string());
    let client = quick().proxies(everything.clone()).build();
    assert!(client.ping(&name).await.is_err(), "the proxy has no route");
    let count = proxy_server.asked().len();
    assert!(count > 0);
    let list = NoProxy::parse(&format!("127.0.0.0/8:{}", server.address().port()));
    root(&server);
    quick().proxies(everything.except(list)).build().ping(&name).await.unwrap();
    assert_eq!(proxy_server.asked().len(), count);
    server.finish();
}

#[derive(Debug)]
struct Everything(IpAddr);

#[async_trait]
impl Resolver for Everything {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>> {
        match host.ends_with(".example") {
            true => Ok(vec!["2001:db8::1".parse().unwrap(), self.0]),
            false => Ok(Vec::new()),
        }
    }
}

#[tokio::test]
async fn a_custom_resolver_and_configured_addresses_are_used() {
    let server = Script::start().await;
    let port = server.address().port();
    let name = registry(&format!("r.example:{port}"));
    let ping = async |builder: ClientBuilder| {
        let client: Client = builder.proxies(Proxies::none()).default_settings(plain()).build();
        client.ping(&name).await
    };
    let local = IpAddr::from(Ipv4Addr::LOCALHOST);
    server.expect(Exchange::new("GET", "/v2/").with("host", name.to_string()));
    ping(quick().host_addresses(HostAddresses::new("r.example", Some(port), vec![local])))
        .await
        .unwrap();
    root(&server);
    let resolver = Everything(local);
    ping(quick().resolver(resolver).address_family(AddressFamily::Ipv4)).await.unwrap();
    // Configured addresses override the resolver.
    root(&server);
    let elsewhere = Everything("192.0.2.1".parse().unwrap());
    let set = HostAddresses::new("r.example", None, vec![local]);
    ping(quick().resolver(elsewhere).host_addresses(set.clone())).await.unwrap();
    let e = ping(quick().host_addresses(set).address_family(AddressFamily::Ipv6)).await;
    assert_eq!(e.unwrap_err().kind(), ErrorKind::Transport);
    server.finish();
}

#[tokio::test]
async fn an_ipv6_address_is_refused_if_only_ipv4_is_allowed() {
    let client = quick().address_family(AddressFamily::Ipv4).build();
    let e = client.ping(&registry("[::1]:5000")).await.unwrap_err();
    assert!(e.to_string().contains("no IPv4 address"), "{e}");
}
