//! Tests the v1 API against a v1 registry.

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use longshore::{
    BlobStream, Body, Client, Digest, ErrorKind, MemoryCredentials, RegistryName, RegistrySettings,
    RetryPolicy, Scheme, Secret, Source as _, Tag, TagOrDigest,
};
use longshore_legacy::v1::{
    Access, ApiVersion, Endpoints, Image, ImageId, Registry, Repository, api_version,
};
use longshore_registry::Registry as Embedded;
use longshore_testkit::fixture::Layer;
use longshore_testkit::script::{Exchange, Script};
use longshore_testkit::v1::{Settings, V1Registry};

use crate::start;

const BASE: &str = r#"{"id": "base", "architecture": "amd64"}"#;
const TOP: &str = r#"{"id": "top", "parent": "base", "created": "2015-01-02T03:04:05Z"}"#;
const LAYER: &[u8] = b"\x1f\x8b\x08\x00 not text \xff\x00";

/// Starts a registry with `lib/img:latest`: an image with a parent.
async fn filled(settings: Settings) -> V1Registry {
    let server = V1Registry::with(settings).await;
    server.put_image("base", BASE, b"base layer");
    server.put_image("top", TOP, LAYER);
    server.put_tag("lib/img", "latest", "top");
    server
}

fn name(server: &V1Registry) -> RegistryName {
    server.address().parse().unwrap()
}

fn repository(client: &Client, server: &V1Registry) -> Repository {
    Registry::new(client, &name(server)).repository(&"lib/img".parse().unwrap()).unwrap()
}

fn image(client: &Client, server: &V1Registry, id: &str) -> Image {
    Registry::new(client, &name(server)).image(&ImageId::parse(id).unwrap())
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn id(text: &str) -> ImageId {
    ImageId::parse(text).unwrap()
}

/// Returns a client that may use plain HTTP with all these servers, and has credentials for the
/// first server.
fn trusting(servers: &[&V1Registry]) -> Client {
    let credentials = MemoryCredentials::new().with(name(servers[0]), "user", Secret::new("pass"));
    let mut settings = RegistrySettings::default();
    settings.scheme = Some(Scheme::Http);
    let client = Client::builder().credentials(credentials);
    let with = |client: longshore::ClientBuilder, server: &&V1Registry| {
        client.settings(name(server), settings.clone())
    };
    servers.iter().fold(client, with).build()
}

/// Returns a client that does not retry.
fn impatient() -> Client {
    let mut policy = RetryPolicy::default();
    policy.max_attempts = std::num::NonZeroUsize::MIN;
    Client::builder().retry(policy).build()
}

#[tokio::test]
async fn requests_match_the_v1_api() {
    let server = Script::start().await;
    let registry = Registry::new(&Client::new(), &server.address().to_string().parse().unwrap());
    let repository = registry.repository(&"lib/img".parse().unwrap()).unwrap();
    let path = "/v1/repositories/lib/img/tags/newtag";
    let ask = |method: &str, path: &str| Exchange::new(method, path).with("accept", "*/*");
    let json = "application/json";
    server.expect(ask("PUT", path).with("content-type", json).sending(r#""abc123""#).body("true"));
    repository.set_tag(&tag("newtag"), &id("abc123")).await.unwrap();
    server.expect(ask("DELETE", path).sending("").body("true"));
    repository.delete_tag(&tag("newtag")).await.unwrap();
    server.expect(ask("GET", "/v1/images/a/ancestry").body(r#"["a"]"#));
    assert_eq!(registry.image(&id("a")).ancestry().await.unwrap(), [id("a")]);
    server.expect(ask("DELETE", "/v1/repositories/lib/img/").body("true"));
    repository.delete().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn replies_of_yodles_mock_registry_are_parsed() {
    let server = Script::start().await;
    let registry = Registry::new(&Client::new(), &server.address().to_string().parse().unwrap());
    server.expect(Exchange::new("GET", "/v1/_ping").without("authorization"));
    let ping = registry.ping().await.unwrap();
    assert_eq!((ping.version, ping.standalone), (None, true));
    server.expect(
        Exchange::new("GET", "/v1/search").body(r#"{"results":[{"name":"library/myrepo"}]}"#),
    );
    let found = registry.search("").all().await.unwrap();
    assert_eq!(
        found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(),
        ["library/myrepo"]
    );
    // A name without a namespace is in `library`.
    for name in ["myrepo", "library/myrepo"] {
        let repository = registry.repository(&name.parse().unwrap()).unwrap();
        assert_eq!((repository.namespace(), repository.name()), ("library", "myrepo"));
        let tags = Exchange::new("GET", "/v1/repositories/library/myrepo/tags");
        server.expect(tags.body(r#"{"latest":""}"#));
        let tags = repository.tags().await.unwrap();
        assert_eq!(tags.len(), 1);
        assert_eq!((tags[0].tag.as_str(), tags[0].id.as_ref()), ("latest", None));
    }
    let e = registry.repository(&"a/b/c".parse().unwrap()).unwrap_err();
    assert!(e.to_string().contains("a namespace and a name"), "{e}");
    server.finish();
}

#[tokio::test]
async fn ping_describes_the_registry() {
    for (header, standalone) in
        [(None, true), (Some("True"), true), (Some("1"), true), (Some("false"), false)]
    {
        let server = Script::start().await;
        let mut exchange = Exchange::new("GET", "/v1/_ping").body("true");
        exchange = exchange.header("x-docker-registry-version", "0.9.1");
        if let Some(value) = header {
            exchange = exchange.header("x-docker-registry-standalone", value);
        }
        server.expect(exchange);
        let ping = Registry::new(&Client::new(), &server.address().to_string().parse().unwrap())
            .ping()
            .await;
        let ping = ping.unwrap();
        assert_eq!((ping.version.as_deref(), ping.standalone), (Some("0.9.1"), standalone));
        server.finish();
    }
}

#[tokio::test]
async fn a_search_follows_all_pages_and_escapes_its_words() {
    let mut settings = Settings::default();
    settings.page_size = Some(2);
    let server = V1Registry::with(settings).await;
    for repository in ["a/1", "a/2", "a/3", "b/1"] {
        server.put_tag(repository, "latest", "x");
    }
    let registry = Registry::new(&Client::new(), &name(&server));
    let found = registry.search("a").all().await.unwrap();
    let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["a/1", "a/2", "a/3"]);
    let pages = ["GET /v1/search?q=a", "GET /v1/search?q=a&page=2"];
    assert_eq!(server.lines(), pages);
    assert!(registry.search("x y&page=7#").all().await.unwrap().is_empty());
    assert_eq!(server.lines(), ["GET /v1/search?q=x+y%26page%3D7%23"]);
    assert_eq!(registry.search("").all().await.unwrap().len(), 4);
}

#[tokio::test]
async fn tags_are_read_from_a_map_or_a_list() {
    for (list_form, expected) in [(false, id("topmost00")), (true, id("topmost0"))] {
        let mut settings = Settings::default();
        settings.list_form = list_form;
        let server = filled(settings).await;
        server.put_tag("lib/img", "v1", "topmost00");
        server.put_tag("lib/img", "-no tag", "top");
        let repository = repository(&Client::new(), &server);
        let tags = repository.tags().await.unwrap();
        let tags: Vec<_> = tags.iter().map(|t| (t.tag.as_str(), t.id.clone())).collect();
        assert_eq!(tags, [("latest", Some(id("top"))), ("v1", Some(expected))]);
        assert_eq!(repository.tag(&tag("latest")).await.unwrap(), id("top"));
        let json = repository.tag_json(&tag("latest")).await.unwrap();
        assert_eq!(json["docker_version"], "1.4.1");
        assert_eq!(repository.images().await.unwrap()[0].id, id("base"));
    }
}

#[tokio::test]
async fn an_image_is_read_with_its_binary_layer() {
    let server = filled(Settings::default()).await;
    let client = Client::new();
    let image = image(&client, &server, "top");
    let json = image.json().await.unwrap();
    assert_eq!((&*json.bytes, json.size), (TOP.as_bytes(), Some(LAYER.len() as u64)));
    assert_eq!(image.field("parent").await.unwrap(), "base");
    let e = image.field("nothing").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("nothing"), "{e}");
    assert_eq!(image.ancestry().await.unwrap(), [id("top"), id("base")]);

    let layer = image.layer().await.unwrap();
    assert_eq!(layer.size(), Some(LAYER.len() as u64));
    assert_eq!(layer.into_stream().bytes(1 << 10).await.unwrap(), LAYER);
    let checked = image.layer().await.unwrap().checked(&json).unwrap();
    assert_eq!(checked.bytes(1 << 10).await.unwrap(), LAYER);
    server.damage_layer("top");
    let mut checked = image.layer().await.unwrap().checked(&json).unwrap();
    let e = checked.try_next().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    assert!(checked.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn v1_layers_are_read_with_any_gzip_content_encoding() {
    let json = r#"{"id":"abc"}"#;
    let zipped = |content| Vec::from(Layer::gzip(content).content);
    let layer = zipped(b"a layer");
    let checksum = Digest::sha256(&[json.as_bytes(), b"\n", &layer].concat());
    for (coding, body) in
        [("gzip", zipped(&layer)), ("x-gzip", zipped(&layer)), ("gzip", layer.clone())]
    {
        let server = Script::start().await;
        let registry = server.address().to_string().parse().unwrap();
        let image = Registry::new(&Client::new(), &registry).image(&id("abc"));
        server.expect(
            Exchange::new("GET", "/v1/images/abc/json")
                .header("x-docker-size", layer.len().to_string())
                .header("x-docker-checksum-payload", checksum.as_str())
                .body(json),
        );
        let described = image.json().await.unwrap();
        let coded = Exchange::new("GET", "/v1/images/abc/layer").header("content-encoding", coding);
        server.expect(coded.body(body));
        let found = image.layer().await.unwrap();
        assert_eq!(found.size(), None);
        let content = found.checked(&described).unwrap().bytes(1 << 20).await.unwrap();
        assert_eq!(content, layer);
        server.finish();
    }
}

#[tokio::test]
async fn tags_are_set_and_removed_and_repositories_are_deleted() {
    let server = filled(Settings::default()).await;
    let repository = repository(&Client::new(), &server);
    repository.set_tag(&tag("v2"), &id("base")).await.unwrap();
    assert_eq!(repository.tag(&tag("v2")).await.unwrap(), id("base"));
    repository.delete_tag(&tag("latest")).await.unwrap();
    let left = repository.tags().await.unwrap();
    assert_eq!(left.iter().map(|t| t.tag.as_str()).collect::<Vec<_>>(), ["v2"]);
    repository.delete().await.unwrap();
    assert_eq!(repository.tags().await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_image_is_pushed_from_bytes_or_a_stream() {
    let server = filled(Settings::default()).await;
    let client = Client::new();
    let json = r#"{"id":"new","parent":"top"}"#;
    let pieces = [&LAYER[..5], &LAYER[5..]].map(|piece| Ok(Bytes::from_static(piece)));
    let stream = BlobStream::new(stream::iter(pieces));
    let bodies = [
        ("new", Body::Stream { stream, size: Some(LAYER.len() as u64) }),
        ("neu", Body::Bytes(Bytes::from_static(LAYER))),
    ];
    for (name, body) in bodies {
        let json = json.replace("new", name);
        let image = image(&client, &server, name);
        let checksum = image.push(json.clone(), body).await.unwrap();
        assert_eq!(checksum, Digest::sha256(&[json.as_bytes(), b"\n", LAYER].concat()));
        let read = image.json().await.unwrap();
        assert_eq!((&*read.bytes, read.checksum.as_ref()), (json.as_bytes(), Some(&checksum)));
        let layer = image.layer().await.unwrap().checked(&read).unwrap();
        assert_eq!(layer.bytes(1 << 10).await.unwrap(), LAYER);
        let e = image.push_json(json).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
    }
    // A stream of unknown size is sent in chunks. The steps can be called one by one.
    let image = image(&client, &server, "slow");
    image.push_json(r#"{"id":"slow"}"#).await.unwrap();
    let stream = BlobStream::new(stream::iter([Ok(Bytes::from_static(LAYER))]));
    image.push_layer(Body::Stream { stream, size: None }).await.unwrap();
    let e = image.push_checksum(&Digest::sha256(b"other")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("Checksum mismatch"), "{e}");
    let right = Digest::sha256(&[br#"{"id":"slow"}"#, &b"\n"[..], LAYER].concat());
    image.push_checksum(&right).await.unwrap();
    assert_eq!(image.json().await.unwrap().checksum, Some(right));
}

#[tokio::test]
async fn missing_or_invalid_content_is_an_error() {
    let server = filled(Settings::default()).await;
    let client = impatient();
    let registry = Registry::new(&client, &name(&server));
    let (here, nowhere) =
        (repository(&client, &server), registry.repository(&"lib/none".parse().unwrap()).unwrap());
    let none = image(&client, &server, "none");
    for e in [
        nowhere.tags().await.unwrap_err(),
        nowhere.delete().await.unwrap_err(),
        here.tag(&tag("none")).await.unwrap_err(),
        here.tag_json(&tag("none")).await.unwrap_err(),
        here.delete_tag(&tag("none")).await.unwrap_err(),
        here.set_tag(&tag("x"), &id("none")).await.unwrap_err(),
        none.json().await.unwrap_err(),
        none.ancestry().await.unwrap_err(),
        none.layer().await.unwrap_err(),
        none.push_layer(Body::Bytes(Bytes::new())).await.unwrap_err(),
    ] {
        assert_eq!((e.kind(), e.status()), (ErrorKind::NotFound, Some(404)), "{e}");
        assert!(e.to_string().contains("not found"), "{e}");
    }
    let e = none.push_json("{").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);

    let server = Script::start().await;
    let registry = Registry::new(&client, &server.address().to_string().parse().unwrap());
    let repository = registry.repository(&"a/b".parse().unwrap()).unwrap();
    for (path, body) in [("tags", "<html>"), ("tags", "[1]"), ("tags", r#"{"a":{}}"#)] {
        server.expect(Exchange::new("GET", format!("/v1/repositories/a/b/{path}")).body(body));
        let e = repository.tags().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Protocol, "{body}");
    }
    server.expect(Exchange::new("GET", "/v1/repositories/a/b/tags/x").body("../../etc"));
    assert_eq!(repository.tag(&tag("x")).await.unwrap_err().kind(), ErrorKind::Protocol);
    server.expect(Exchange::new("GET", "/v1/repositories/a/b/tags/x").body("abc"));
    assert_eq!(repository.tag(&tag("x")).await.unwrap(), id("abc"));
    server.expect(Exchange::new("GET", "/v1/_ping").body("<html>"));
    assert_eq!(registry.ping().await.unwrap_err().kind(), ErrorKind::Protocol);
    server.finish();
}

#[tokio::test]
async fn credentials_are_sent_after_a_challenge() {
    let mut settings = Settings::default();
    settings.authorization = Some("Basic dXNlcjpwYXNz".to_owned());
    let server = filled(settings).await;
    let e = repository(&Client::new(), &server).tags().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let client = trusting(&[&server]);
    server.requests();
    let layer = BlobStream::new(stream::iter([Ok(Bytes::from_static(LAYER))]));
    let image = image(&client, &server, "top");
    // A stream can be sent only once, so the client checks first whether credentials are required.
    let e = image.push_layer(Body::Stream { stream: layer, size: None }).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    repository(&client, &server).tags().await.unwrap();
    let sent = server.requests();
    let told: Vec<_> = sent.iter().map(|r| r.header("authorization").is_some()).collect();
    assert_eq!(told, [false, true, true, true]);
}

#[tokio::test]
async fn a_token_of_the_index_replaces_the_credentials() {
    let mut settings = Settings::default();
    settings.needs_token = true;
    let registry = filled(settings.clone()).await;
    // By default, the token is sent only to an endpoint on the index's host or on a subdomain of
    // it.
    let named = format!("elsewhere.example:1, {} \t", registry.address());
    settings.index_of = Some(named);
    settings.needs_token = false;
    settings.authorization = Some("Basic dXNlcjpwYXNz".to_owned());
    let index = filled(settings).await;
    let client = trusting(&[&index, &registry]);
    assert!(!Registry::new(&client, &name(&index)).ping().await.unwrap().standalone);

    let e = repository(&client, &registry).tags().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let repository = repository(&client, &index);
    index.requests();
    for (access, line, word) in [
        (Access::Read, "GET /v1/repositories/lib/img/images", "read"),
        (Access::Write, "PUT /v1/repositories/lib/img/", "write"),
    ] {
        registry.requests();
        let authorized = repository.authorize(access, Endpoints::SameSite).await.unwrap();
        let asked = index.requests();
        let last = asked.last().unwrap();
        assert_eq!((last.line.as_str(), last.header("x-docker-token")), (line, Some("true")));
        authorized.set_tag(&tag("v2"), &id("base")).await.unwrap();
        assert_eq!(authorized.tag(&tag("v2")).await.unwrap(), id("base"));
        authorized.image(&id("base")).json().await.unwrap();
        assert!(index.requests().is_empty());
        let token = format!("Token signature=123abc,repository=\"lib/img\",access={word}");
        let sent = registry.requests();
        assert_eq!(sent.len(), 3);
        assert!(sent.iter().all(|r| r.header("authorization") == Some(token.as_str())));
    }
    let e =
        Registry::new(&client, &name(&registry)).repository(&"lib/img".parse().unwrap()).unwrap();
    let e = e.authorize(Access::Write, Endpoints::SameSite).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    // Permission to use plain HTTP with the index does not extend to the registry that the index
    // names.
    let unasked = self::repository(&trusting(&[&index]), &index);
    registry.requests();
    let authorized = unasked.authorize(Access::Read, Endpoints::SameSite).await.unwrap();
    let e = authorized.tags().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    assert!(e.to_string().contains("plain HTTP"), "{e}");
    assert!(registry.requests().is_empty());
    let standalone = filled(Settings::default()).await;
    let alone = self::repository(&client, &standalone);
    let e = alone.authorize(Access::Read, Endpoints::Any).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.hint().unwrap().contains("standalone"));
}

#[tokio::test]
async fn a_token_is_sent_back_to_its_own_index_on_loopback() {
    let server = Script::start().await;
    let name: RegistryName = server.address().to_string().parse().unwrap();
    let user = MemoryCredentials::new().with(name.clone(), "user", Secret::new("pass"));
    let client = Client::builder().credentials(user).build();
    let images = || Exchange::new("GET", "/v1/repositories/lib/img/images");
    server.expect(images().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    let basic = images().with("authorization", "Basic dXNlcjpwYXNz");
    server.expect(basic.header("x-docker-token", "signature=1").body("[]"));
    let tags = Exchange::new("GET", "/v1/repositories/lib/img/tags");
    server.expect(tags.with("authorization", "Token signature=1").body("{}"));
    let repository = Registry::new(&client, &name).repository(&"lib/img".parse().unwrap()).unwrap();
    let authorized = repository.authorize(Access::Read, Endpoints::SameSite).await.unwrap();
    assert!(authorized.tags().await.unwrap().is_empty());
    server.finish();
}

#[tokio::test]
async fn trap_25_a_404_from_v2_means_v1_and_a_401_means_v2() {
    let client = impatient();
    for (exchange, expected) in [
        (Exchange::new("GET", "/v2/"), Ok(ApiVersion::V2)),
        (Exchange::new("GET", "/v2/").answer(401), Ok(ApiVersion::V2)),
        (
            Exchange::new("GET", "/v2/")
                .answer(401)
                .header("www-authenticate", "Basic realm=\"x\""),
            Ok(ApiVersion::V2),
        ),
        (Exchange::new("GET", "/v2/").answer(404), Ok(ApiVersion::V1)),
        (Exchange::new("GET", "/v2/").answer(404).body("<html>"), Ok(ApiVersion::V1)),
        (Exchange::new("GET", "/v2/").answer(403), Err(ErrorKind::Denied)),
        (Exchange::new("GET", "/v2/").answer(410), Err(ErrorKind::NotFound)),
        (Exchange::new("GET", "/v2/").answer(429), Err(ErrorKind::RateLimited)),
        (Exchange::new("GET", "/v2/").answer(500), Err(ErrorKind::Transport)),
        (Exchange::new("GET", "/v2/").answer(503), Err(ErrorKind::Transport)),
        (
            Exchange::new("GET", "/v2/").header("content-type", "text/html").body("<html>"),
            Err(ErrorKind::Protocol),
        ),
    ] {
        let server = Script::start().await;
        server.expect(exchange.clone().without("authorization"));
        let registry = server.address().to_string().parse().unwrap();
        let found = api_version(&client, &registry).await.map_err(|e| e.kind());
        assert_eq!(found, expected, "{exchange:?}");
        server.finish();
    }
}

#[tokio::test]
async fn the_api_version_is_detected_or_chosen_by_the_caller() {
    let client = impatient();
    let old = filled(Settings::default()).await;
    let (new, _stop) = start(Embedded::builder().memory()).await;
    let (old, new) = (name(&old), new.to_string().parse::<RegistryName>().unwrap());
    for (registry, version) in [(&old, ApiVersion::V1), (&new, ApiVersion::V2)] {
        assert_eq!(api_version(&client, registry).await.unwrap(), version);
        // A caller can use either API explicitly. Requests of an API that the registry does not
        // support fail with not found.
        let v1 = Registry::new(&client, registry).repository(&"lib/img".parse().unwrap()).unwrap();
        let v2 = client.repository(&format!("{registry}/lib/img").parse().unwrap());
        let answers = [
            v1.tags().await.map(drop).map_err(|e| e.kind()),
            Registry::new(&client, registry).ping().await.map(drop).map_err(|e| e.kind()),
            client.ping(registry).await.map(drop).map_err(|e| e.kind()),
        ];
        let (yes, no) = (Ok(()), Err(ErrorKind::NotFound));
        let expected = if version == ApiVersion::V1 { [yes, yes, no] } else { [no, no, yes] };
        assert_eq!(answers, expected, "{version}");
        let e = v2.manifest(&TagOrDigest::from(tag("latest"))).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
    }
}
