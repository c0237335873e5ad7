//! aysa's docker-registry-client: its calls as it sent them, beside longshore's.
//!
//! It was never on the Python package index (the name there is yodle's), only a source archive. So
//! its requests, as recorded when it was run, are made here by hand: those headers, those paths.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use longshore::{
    Client, Delete as _, Digest, ErrorKind, Filter, MediaType, RegistryName, RemoteRepository,
    Source as _, Tag, Target as _,
};
use longshore_registry::{Builder, Registry, Rights, Users};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::docker_content::docker_list;
use crate::embedded::start;

/// What came back to it.
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A registry with two repositories of one list, and both ways to it.
struct Place {
    address: SocketAddr,
    client: Client,
    _stop: oneshot::Sender<()>,
}

impl Place {
    async fn new() -> Self {
        Self::of(Registry::builder()).await
    }

    async fn of(registry: Builder) -> Self {
        let (address, stop) = start(registry.memory()).await;
        Self { address, client: Client::new(), _stop: stop }
    }

    async fn filled() -> Self {
        let place = Self::new().await;
        for (name, tag) in
            [("project/image", "dev"), ("project/image", "old"), ("other/image", "dev")]
        {
            docker_list().push(&place.at(name), Some(&Tag::parse(tag).unwrap())).await;
        }
        place
    }

    fn registry(&self) -> RegistryName {
        self.address.to_string().parse().unwrap()
    }

    fn at(&self, name: &str) -> RemoteRepository {
        self.client.repository(&format!("{}/{name}", self.address).parse().unwrap())
    }

    /// One of its requests. Without a password it sent `None:None`, as here.
    fn sent(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: AySA-Docker-Registry-Api-Client\r\n\
             Accept-Encoding: gzip, deflate\r\nConnection: close\r\nAuthorization: Basic \
             Tm9uZTpOb25l\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.address
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head[9..12].parse().unwrap();
        Reply { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str, accept: &MediaType) -> Reply {
        self.sent("GET", path, &format!("Accept: {accept}\r\n"), "")
    }
}

/// Those of a reply with a list under a key.
fn names(reply: &Reply, key: &str) -> Vec<String> {
    let names = reply.json()[key].as_array().unwrap().clone();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_catalog_and_tags_are_ours() {
    let place = Place::filled().await;
    let ours = place.client.catalog(&place.registry()).all().await.unwrap();
    let ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
    let all = names(&place.sent("GET", "/v2/_catalog", "", ""), "repositories");
    assert_eq!(all, ours);

    // catalog(items=1): its next request has the parameters of the link, on the same path.
    let first = place.sent("GET", "/v2/_catalog?n=1", "", "");
    assert_eq!(names(&first, "repositories"), ours[..1]);
    let link = first.header("link").unwrap();
    let query = &link[link.find('?').unwrap()..link.find('>').unwrap()];
    let next = place.sent("GET", &format!("/v2/_catalog{query}"), "", "");
    assert_eq!(names(&next, "repositories"), ours[1..]);

    // catalog('^PROJECT'): from the start, whatever the case.
    let filter = Filter::at_start("(?i)PROJECT").unwrap();
    assert_eq!(ours.iter().filter(|name| filter.matches(name)).count(), 1);
    assert!(!Filter::at_start("image").unwrap().matches("project/image"));

    let tags = names(&place.sent("GET", "/v2/project/image/tags/list", "", ""), "tags");
    assert_eq!(tags, ["dev", "old"]);
    assert_eq!(place.at("project/image").tags(None).all().await.unwrap(), [tag("dev"), tag("old")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_digests_and_manifests_are_ours() {
    let place = Place::filled().await;
    let ours = place.at("project/image").manifest(&tag("dev").into()).await.unwrap();
    // digest(…) and manifest(…) asked for schema 2, fat manifests for lists; this registry converts
    // nothing, and sends what there is.
    for accept in [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST] {
        let theirs = place.get("/v2/project/image/manifests/dev", &accept);
        assert_eq!(theirs.body.as_bytes(), ours.bytes());
        assert_eq!(theirs.header("docker-content-digest"), Some(ours.digest().as_str()));
        assert_eq!(theirs.header("content-type"), Some(ours.media_type().as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_put_manifest_is_ours_but_for_the_bytes() {
    let place = Place::filled().await;
    let repository = place.at("project/image");
    let ours = repository.manifest(&tag("dev").into()).await.unwrap();
    // It parsed the document, and sent what it made of it, as plain JSON.
    let rewritten = serde_json::from_slice::<Value>(ours.bytes()).unwrap().to_string();
    let put = place.sent(
        "PUT",
        "/v2/project/image/manifests/theirs",
        "Content-Type: application/json\r\n",
        &rewritten,
    );
    assert_eq!(put.status, 201, "{}", put.body);
    let theirs = repository.resolve(&tag("theirs").into()).await.unwrap();
    assert_eq!(theirs.digest, Digest::sha256(rewritten.as_bytes()));
    assert_ne!(theirs.digest, *ours.digest(), "another manifest of the same content");
    repository.push_manifest(&ours, Some(&tag("ours"))).await.unwrap();
    let again = repository.resolve(&tag("ours").into()).await.unwrap();
    assert_eq!(again.digest, *ours.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_delete_tag_took_the_siblings_and_ours_does_not() {
    let place = Place::filled().await;
    let repository = place.at("project/image");
    repository.delete_tag(&tag("old")).await.unwrap();
    assert_eq!(repository.tags(None).all().await.unwrap(), [tag("dev")]);
    let ours = repository.manifest(&tag("dev").into()).await.unwrap();
    repository.push_manifest(&ours, Some(&tag("old"))).await.unwrap();

    // delete_tag('project/image', 'old'): a GET for the digest, and a DELETE of that.
    let got = place.get("/v2/project/image/manifests/old", &MediaType::DOCKER_MANIFEST);
    let digest = got.header("docker-content-digest").unwrap();
    let path = format!("/v2/project/image/manifests/{digest}");
    assert_eq!(place.sent("DELETE", &path, "", "").status, 202);
    assert_eq!(repository.tags(None).all().await.unwrap(), [], "dev went, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_error_is_the_first_of_the_registrys_and_ours_has_them_all() {
    let place = Place::filled().await;
    let theirs = place.get("/v2/project/image/manifests/missing", &MediaType::DOCKER_MANIFEST);
    assert_eq!(theirs.status, 404);
    let first = &theirs.json()["errors"][0];
    let e = place.at("project/image").manifest(&tag("missing").into()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert_eq!(e.registry_errors()[0].code.as_str(), first["code"]);
    assert_eq!(e.registry_errors()[0].message.as_str(), first["message"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_without_a_password_was_turned_away_as_none_and_ours_asks_as_nobody() {
    let users = Users::new().user("guest", "guest", Rights::ALL);
    let place = Place::of(Registry::builder().access(users)).await;
    assert_eq!(place.sent("GET", "/v2/", "", "").status, 401);
    let e = place.client.authenticate(&place.registry()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    assert!(format!("{e} {e:?}").contains("anonymous"), "{e:?}");
}
