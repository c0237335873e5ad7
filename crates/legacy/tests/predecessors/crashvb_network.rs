//! Compares docker-registry-client-async with longshore: proxies, resolvers, certificates and time
//! limits.

use super::crashvb::crashvb_with;
use super::*;

use std::net::Ipv4Addr;
use std::time::Duration;

use longshore::{
    AddressFamily, ClientBuilder, Environment, HostAddresses, Limits, NoProxy, Proxies, Proxy,
    Result, RetryPolicy, Secret, Verification,
};
use longshore_testkit::proxy::Proxy as Server;
use longshore_testkit::script::{Exchange, Script};

/// A registry name that only the test's proxies and resolvers can resolve.
const HIDDEN: &str = "r.example:5000";

/// `user:hunter2`.
const BASIC: &str = "Basic dXNlcjpodW50ZXIy";

/// Starts Python and sets two variables: `client` is a docker-registry-client-async client, and
/// `image` is the image `team/app:v1` of the registry.
fn at(registry: &str, environment: &[(&str, &str)], arguments: &str) -> Predecessor {
    let mut crashvb = Predecessor::start(environment);
    crashvb.run("from docker_registry_client_async import *; import aiohttp, socket");
    crashvb.run("from aiohttp.abc import AbstractResolver");
    crashvb.run(&format!("client = DockerRegistryClientAsync({arguments})"));
    crashvb.run(&format!("image = ImageName.parse('{registry}/team/app:v1')"));
    crashvb
}

const TAGS: &str = "(await client.get_tags(image, protocol='http')).tags['tags']";
const TAGS_OVER_TLS: &str = "(await client.get_tags(image, protocol='https')).tags['tags']";

/// Returns the tags of `team/app` that longshore reads over plain HTTP.
async fn plain_tags(registry: &str, client: ClientBuilder) -> Result<Vec<String>> {
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Http);
    tags(registry, client.default_settings(settings)).await
}

async fn tags(registry: &str, client: ClientBuilder) -> Result<Vec<String>> {
    let client = client.retry(once()).build();
    let repository = client.repository(&format!("{registry}/team/app").parse().unwrap());
    let tags = repository.tags(None).all().await?;
    Ok(tags.iter().map(ToString::to_string).collect())
}

fn once() -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    policy.max_attempts = std::num::NonZeroUsize::MIN;
    policy
}

fn through(server: &Server) -> Proxy {
    Proxy::parse(&format!("http://{}", server.address())).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_use_the_same_proxy_with_the_same_password() {
    let place = Place::open().await;
    let server = Server::http(Some(BASIC)).await.route(HIDDEN, place.address);
    let proxies = format!("proxies=dict(http='http://{}')", server.address());
    let login = |word| format!("{proxies}, proxy_auth=aiohttp.BasicAuth('user', '{word}')");

    let mut crashvb = at(HIDDEN, &[], &login("hunter2"));
    let ours = through(&server).login("user", Secret::new("hunter2"));
    let ours = plain_tags(HIDDEN, quick().proxies(Proxies::all(ours))).await.unwrap();
    assert_texts(&crashvb.gives(TAGS), &ours);
    // crashvb first requests `/v2/` for a challenge. longshore sends the intended request first.
    let asked = server.asked();
    assert!(asked[0].starts_with("GET http://r.example:5000/v2/team/app/tags/list"), "{asked:?}");
    assert_eq!(asked[1], "GET http://r.example:5000/v2/");
    assert_eq!(asked[2], "GET http://r.example:5000/v2/team/app/tags/list");

    let raised = at(HIDDEN, &[], &login("wrong")).raises(TAGS);
    let wrong = through(&server).login("user", Secret::new("wrong"));
    let e = plain_tags(HIDDEN, quick().proxies(Proxies::all(wrong))).await.unwrap_err();
    assert!(raised.is("ClientResponseError") && raised.status == Some(407), "{raised:?}");
    assert!(!e.to_string().contains("wrong"), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_open_the_same_tunnel_to_a_registry_with_tls() {
    let place = Place::over_tls(|registry, _| registry).await;
    let registry = place.address.to_string();
    let server = Server::http(None).await.route(&*registry, place.address);
    let proxies = format!("proxies=dict(https='http://{}')", server.address());
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, place.certificate()).unwrap();
    let ca = [("DRCA_CACERTS", ca.to_str().unwrap())];
    let known = || quick().default_settings(trusting(place.certificate()));
    let through = Proxies::all(through(&server));

    let theirs = at(&registry, &ca, &proxies).gives(TAGS_OVER_TLS);
    let ours = tags(&registry, known().proxies(through.clone())).await.unwrap();
    assert_texts(&theirs, &ours);
    let asked = server.asked();
    assert!(asked.len() > 1 && asked.iter().all(|a| *a == format!("CONNECT {registry}")));

    // If the list has the host and port, both clients connect directly. If the list has only the
    // host, or a space before the item, only longshore connects directly:
    // docker-registry-client-async compares exact items.
    let host = place.address.ip();
    for (list, tunnels) in
        [(registry.clone(), 0), (format!("x,{host}"), 1), (format!("x, {registry}"), 1)]
    {
        let before = server.asked().len();
        let arguments = format!("{proxies}, no_proxy='{list}'");
        assert_texts(&at(&registry, &ca, &arguments).gives(TAGS_OVER_TLS), &ours);
        assert_eq!(server.asked().len() - before, tunnels, "{list}");
        let except = through.clone().except(NoProxy::parse(&list));
        assert_eq!(tags(&registry, known().proxies(except)).await.unwrap(), ours);
        assert_eq!(server.asked().len() - before, tunnels, "{list}: longshore connects directly");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_read_the_same_proxy_from_the_environment() {
    let place = Place::open().await;
    let server = Server::http(None).await.route(HIDDEN, place.address);
    let url = format!("http://{}", server.address());
    let nowhere = "http://127.0.0.1:1";
    for variables in [
        [("HTTP_PROXY", &*url), ("http_proxy", nowhere)],
        [("http_proxy", &*url), ("https_proxy", nowhere)],
    ] {
        let before = server.asked().len();
        let environment = variables.iter().fold(Environment::empty(), |e, (k, v)| e.with(k, v));
        let ours = Proxies::from_environment(&environment).unwrap();
        let ours = plain_tags(HIDDEN, quick().proxies(ours)).await.unwrap();
        assert_texts(&at(HIDDEN, &variables, "").gives(TAGS), &ours);
        assert_eq!(server.asked().len() - before, 3, "{variables:?}");
    }
    // docker-registry-client-async also uses the proxy for loopback. longshore does so only with an
    // option.
    let variables = [("HTTP_PROXY", &*url)];
    let registry = place.address.to_string();
    let raised = at(&registry, &variables, "").raises(TAGS);
    assert_eq!(raised.status, Some(502), "{raised:?}");
    let environment = Environment::empty().with("HTTP_PROXY", &url);
    let ours = quick().proxies(Proxies::from_environment(&environment).unwrap());
    assert_eq!(plain_tags(&registry, ours).await.unwrap(), ["v1", "v2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_use_a_custom_resolver() {
    let place = Place::open().await;
    let port = place.address.port();
    // IPv4 only.
    let local = format!("localhost:{port}");
    let theirs = at(&local, &[], "tcp_connector_kwargs=dict(family=socket.AF_INET)").gives(TAGS);
    let ours = quick().address_family(AddressFamily::Ipv4);
    assert_texts(&theirs, &plain_tags(&local, ours).await.unwrap());

    // A resolver that the caller provides.
    let hidden = format!("r.example:{port}");
    let mut crashvb = at(&hidden, &[], "");
    crashvb.run(
        "class Own(AbstractResolver):\n    \
             async def resolve(self, host, port=0, family=socket.AF_INET):\n        \
                 return [dict(hostname=host, host='127.0.0.1', port=port, family=family, \
                         proto=0, flags=0)]\n    \
             async def close(self): pass",
    );
    crashvb.run("client = DockerRegistryClientAsync(tcp_connector_kwargs=dict(resolver=Own()))");
    let set = HostAddresses::new("r.example", None, vec![Ipv4Addr::LOCALHOST.into()]);
    let ours = plain_tags(&hidden, quick().host_addresses(set)).await.unwrap();
    assert_texts(&crashvb.gives(TAGS), &ours);

    // No other resolver can resolve the name.
    let raised = at(&hidden, &[], "").raises(TAGS);
    let e = plain_tags(&hidden, quick()).await.unwrap_err();
    same_failure(&raised, "ClientConnectorError", None, &e, ErrorKind::Transport);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_respect_time_limits() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = silent.local_addr().unwrap().to_string();
    // In crashvb, a limit for one call does not cover the earlier request for the challenge, which
    // has a limit of 300 seconds. Therefore, the session sets the limit.
    let session = "client_session_kwargs=dict(timeout=aiohttp.ClientTimeout(total=0.2))";
    let raised = at(&registry, &[], session).raises(TAGS);
    let mut limits = Limits::default();
    limits.response = Duration::from_millis(200);
    let e = plain_tags(&registry, quick().limits(limits)).await.unwrap_err();
    same_failure(&raised, "TimeoutError", None, &e, ErrorKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_and_longshore_trust_the_same_certificates() {
    let place = Place::over_tls(|registry, _| registry).await;
    let registry = place.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, other) = (place.certificate().to_owned(), Authority::new().certificate());
    let (ca_file, other_file) = (file("ca.pem", &ca), file("other.pem", &other));
    let https = || {
        let mut settings = RegistrySettings::default();
        settings.scheme = Some(Scheme::Https);
        settings
    };

    let theirs = at(&registry, &[("DRCA_CACERTS", &ca_file)], "").gives(TAGS_OVER_TLS);
    let ours = tags(&registry, quick().default_settings(trusting(&ca))).await.unwrap();
    assert_texts(&theirs, &ours);
    for (environment, settings) in
        [(vec![], https()), (vec![("DRCA_CACERTS", &*other_file)], trusting(&other))]
    {
        let raised = at(&registry, &environment, "").raises(TAGS_OVER_TLS);
        let e = tags(&registry, quick().default_settings(settings)).await.unwrap_err();
        same_failure(&raised, "ClientConnectorCertificateError", None, &e, ErrorKind::Transport);
    }

    // Verification is off. Defect of crashvb: the variable turns verification on again. In
    // longshore, verification remains off.
    assert_texts(&at(&registry, &[], "ssl=False").gives(TAGS_OVER_TLS), &ours);
    let taken_back = at(&registry, &[("DRCA_CACERTS", &other_file)], "ssl=False");
    let raised = { taken_back }.raises(TAGS_OVER_TLS);
    assert!(raised.is("ClientConnectorCertificateError"), "{raised:?}");
    for mut settings in [https(), trusting(&other)] {
        settings.verification = Some(Verification::Skip);
        assert_eq!(tags(&registry, quick().default_settings(settings)).await.unwrap(), ours);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_needs_an_option_to_read_a_token_that_is_not_labelled_as_json() {
    let server = Script::start().await;
    let challenge = format!("Bearer realm=\"{}\",service=\"reg\"", server.url("/token"));
    let mislabelled = |query: &str| {
        Exchange::new("GET", format!("/token?service=reg&scope=repository{query}"))
            .header("content-type", "text/plain")
            .body("{\"token\":\"t\"}")
    };
    let refused = |target: &str| {
        Exchange::new("GET", target).answer(401).header("www-authenticate", &*challenge)
    };
    let listed = |target: &str| {
        let body = "{\"name\":\"team/app\",\"tags\":[\"v1\"]}";
        let reply = Exchange::new("GET", target).with("authorization", "Bearer t").body(body);
        reply.header("content-type", "application/json")
    };
    let registry = server.address().to_string();
    let their_token = || mislabelled(":team/app:pull&client_id=docker-registry-client-async");
    server.expect(refused("/v2/"));
    server.expect(their_token());
    let mut crashvb = at(&registry, &[], "");
    let raised = crashvb.raises(TAGS);
    assert!(raised.is("ContentTypeError"), "{raised:?}");

    server.expect(refused("/v2/"));
    server.expect(their_token());
    server.expect(listed("/v2/team/app/tags/list"));
    crashvb.run(&format!(
        "await client.add_auth_token_json_kwargs(endpoint='{registry}', \
         json_kwargs=dict(content_type='text/plain'))"
    ));
    assert_texts(&crashvb.gives(TAGS), &["v1"]);

    // longshore needs no option: it parses a token of any content type.
    let own = "/v2/team/app/tags/list";
    server.expect(refused(own));
    server.expect(mislabelled("%3Ateam%2Fapp%3Apull"));
    server.expect(listed(own));
    assert_eq!(plain_tags(&registry, quick()).await.unwrap(), ["v1"]);
    server.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn crashvb_cannot_be_used_after_its_session_was_closed() {
    let place = Place::open().await;
    let mut crashvb = crashvb_with(&place, "team/app:v1", "");
    crashvb.run(
        "async def within():\n    \
             async with DockerRegistryClientAsync() as own:\n        \
                 return (await own.get_tags(image)).tags['tags'], own\n\
         tags, own = await within()",
    );
    assert_texts(&crashvb.gives("tags"), &place.tags("team/app").await);
    assert_eq!(crashvb.gives("own.client_session"), Value::Null);
    // Defect of crashvb: a closed client keeps its closed connector.
    let raised = crashvb.raises("await own.get_tags(image)");
    assert!(raised.is("RuntimeError"), "{raised:?}");
}
