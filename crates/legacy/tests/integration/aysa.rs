//! Compares aysa's docker-registry-client with longshore, by recorded requests.
//!
//! aysa's client was published only as a source archive. The package of that name in the Python
//! package index is yodle's client. The tests send the requests of aysa's client themselves, with
//! the headers and paths recorded from a run.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};

use longshore::{
    Client, Delete as _, Digest, ErrorKind, Filter, MediaType, RegistryName, RemoteRepository,
    Source as _, Tag, Target as _,
};
use longshore_registry::{Permissions, Registry, RegistryBuilder, TestRegistry, Users};
use longshore_testkit::script::{Exchange, Script};
use serde_json::Value;

use crate::docker_content::docker_list;
use crate::start;

/// The reply to one of aysa's requests.
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

/// A registry, and longshore's client for it.
struct Place {
    address: SocketAddr,
    client: Client,
    _stop: TestRegistry,
}

impl Place {
    async fn new() -> Self {
        Self::of(Registry::builder()).await
    }

    async fn of(registry: RegistryBuilder) -> Self {
        let (address, stop) = start(registry.memory()).await;
        Self { address, client: Client::new(), _stop: stop }
    }

    /// Starts a registry that requires the password `guest` of the user `guest`.
    async fn with_guest() -> Self {
        let users = Users::new().user("guest", "guest", Permissions::ALL);
        Self::of(Registry::builder().access(users)).await
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

    /// Sends one of aysa's requests without a password.
    fn sent(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        sent_as(NOBODY, self.address, method, path, headers, body)
    }

    fn get(&self, path: &str, accept: &MediaType) -> Reply {
        self.sent("GET", path, &format!("Accept: {accept}\r\n"), "")
    }
}

/// The login that aysa sends without a password: `None:None`.
const NOBODY: &str = "Tm9uZTpOb25l";

/// Sends one of aysa's requests with a login.
fn sent_as(
    login: &str,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: \
         AySA-Docker-Registry-Api-Client\r\nAccept-Encoding: gzip, deflate\r\nConnection: \
         close\r\nAuthorization: Basic {login}\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let status = head[9..12].parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

/// Returns the names under a key of a reply.
fn names(reply: &Reply, key: &str) -> Vec<String> {
    let names = reply.json()[key].as_array().unwrap().clone();
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_and_longshore_list_the_same_repositories_and_tags() {
    let place = Place::filled().await;
    let ours = place.client.catalog(&place.registry()).all().await.unwrap();
    let ours: Vec<String> = ours.iter().map(ToString::to_string).collect();
    let all = names(&place.sent("GET", "/v2/_catalog", "", ""), "repositories");
    assert_eq!(all, ours);

    // catalog(items=1): the next request has the query of the link and the same path.
    let first = place.sent("GET", "/v2/_catalog?n=1", "", "");
    assert_eq!(names(&first, "repositories"), ours[..1]);
    let link = first.header("link").unwrap();
    let query = &link[link.find('?').unwrap()..link.find('>').unwrap()];
    let next = place.sent("GET", &format!("/v2/_catalog{query}"), "", "");
    assert_eq!(names(&next, "repositories"), ours[1..]);

    // catalog('^PROJECT') matches from the start, ignoring case.
    let filter = Filter::at_start("(?i)PROJECT").unwrap();
    assert_eq!(ours.iter().filter(|name| filter.matches(name)).count(), 1);
    assert!(!Filter::at_start("image").unwrap().matches("project/image"));

    let tags = names(&place.sent("GET", "/v2/project/image/tags/list", "", ""), "tags");
    assert_eq!(tags, ["dev", "old"]);
    assert_eq!(place.at("project/image").tags(None).all().await.unwrap(), [tag("dev"), tag("old")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_and_longshore_read_the_same_digests_and_manifests() {
    let place = Place::filled().await;
    let ours = place.at("project/image").manifest(&tag("dev").into()).await.unwrap();
    // digest(…) and manifest(…) request schema 2, or a list for fat manifests. This registry
    // converts nothing, so it sends the stored manifest.
    for accept in [MediaType::DOCKER_MANIFEST, MediaType::DOCKER_LIST] {
        let theirs = place.get("/v2/project/image/manifests/dev", &accept);
        assert_eq!(theirs.body.as_bytes(), ours.bytes());
        assert_eq!(theirs.header("docker-content-digest"), Some(ours.digest().as_str()));
        assert_eq!(theirs.header("content-type"), Some(ours.media_type().as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_put_manifest_changes_the_bytes_and_longshore_does_not() {
    let place = Place::filled().await;
    let repository = place.at("project/image");
    let ours = repository.manifest(&tag("dev").into()).await.unwrap();
    // aysa parses the document, serializes it again, and sends it as plain JSON.
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
    assert_ne!(theirs.digest, *ours.digest(), "the rewritten manifest has another digest");
    repository.push_manifest(&ours, Some(&tag("ours"))).await.unwrap();
    let again = repository.resolve(&tag("ours").into()).await.unwrap();
    assert_eq!(again.digest, *ours.digest());
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_delete_tag_removes_other_tags_and_longshore_does_not() {
    let place = Place::filled().await;
    let repository = place.at("project/image");
    repository.delete_tag(&tag("old")).await.unwrap();
    assert_eq!(repository.tags(None).all().await.unwrap(), [tag("dev")]);
    let ours = repository.manifest(&tag("dev").into()).await.unwrap();
    repository.push_manifest(&ours, Some(&tag("old"))).await.unwrap();

    // delete_tag('project/image', 'old'): a GET for the digest, and a DELETE of the digest.
    let got = place.get("/v2/project/image/manifests/old", &MediaType::DOCKER_MANIFEST);
    let digest = got.header("docker-content-digest").unwrap();
    let path = format!("/v2/project/image/manifests/{digest}");
    assert_eq!(place.sent("DELETE", &path, "", "").status, 202);
    assert_eq!(repository.tags(None).all().await.unwrap(), [], "dev is also deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_and_longshore_report_the_same_registry_error() {
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
async fn aysa_without_a_password_logs_in_as_none_and_longshore_is_anonymous() {
    let place = Place::with_guest().await;
    assert_eq!(place.sent("GET", "/v2/", "", "").status, 401);
    let e = place.client.check_credentials(&place.registry()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    assert!(format!("{e} {e:?}").contains("anonymous"), "{e:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_pings_without_a_trailing_slash_and_gets_the_same_result() {
    let place = Place::new().await;
    assert_eq!(place.sent("GET", "/v2", "", "").status, 200);
    place.client.ping(&place.registry()).await.unwrap();
    // aysa returns `False` for every other reply. longshore returns the error.
    let shut = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    TcpStream::connect(shut).unwrap_err();
    let e = crate::quick().build().ping(&shut.to_string().parse().unwrap()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_and_longshore_authenticate_with_a_password() {
    let place = Place::with_guest().await;
    let known = crate::login(place.registry(), "guest", "guest");
    let known = crate::quick().credentials(known).build();
    let image = known.repository(&format!("{}/project/image", place.address).parse().unwrap());
    docker_list().push(&image, Some(&tag("dev"))).await;

    let guest = "Z3Vlc3Q6Z3Vlc3Q=";
    let theirs = sent_as(guest, place.address, "GET", "/v2/project/image/tags/list", "", "");
    assert_eq!((theirs.status, names(&theirs, "tags")), (200, vec!["dev".to_owned()]));
    assert_eq!(image.tags(None).all().await.unwrap(), [tag("dev")]);
    // aysa sends the password with the first request, and longshore sends it after a challenge.
    // Both report that a wrong password was refused.
    let wrong = "Z3Vlc3Q6d3Jvbmc=";
    assert_eq!(sent_as(wrong, place.address, "GET", "/v2/", "", "").status, 401);
    let wrong = crate::login(place.registry(), "guest", "wrong");
    let wrong = crate::quick().credentials(wrong).build();
    let e = wrong.check_credentials(&place.registry()).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
}

#[tokio::test(flavor = "multi_thread")]
async fn longshore_reports_an_error_status_with_any_body_and_aysa_does_not() {
    let server = Script::start().await;
    let ours = crate::remote(&server);
    // aysa raises the first error of the list, fails on an empty list, ignores a body without a
    // list, and fails on a body that is not JSON.
    for (body, code) in [
        ("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\"}]}", Some("DENIED")),
        ("{\"errors\":[]}", None),
        ("{\"message\":\"no\"}", None),
        ("<html>no</html>", None),
    ] {
        let tags = |query: &str| {
            let tags = Exchange::new("GET", format!("/v2/a/b/tags/list{query}"));
            tags.answer(403).header("content-type", "application/json").body(body)
        };
        server.expect(tags(""));
        let path = "/v2/a/b/tags/list";
        let theirs = sent_as(NOBODY, server.address(), "GET", path, "", "");
        assert_eq!((theirs.status, &*theirs.body), (403, body));
        server.expect(tags(""));
        let e = ours.tags(None).all().await.unwrap_err();
        assert_eq!((e.kind(), e.status()), (ErrorKind::Denied, Some(403)), "{body}");
        assert_eq!(e.registry_errors().first().map(|e| e.code.as_str()), code, "{body}");
    }
    server.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn aysa_delete_manifest_by_tag_matches_delete_tag_of_longshore() {
    let place = Place::filled().await;
    // delete_manifest('project/image', 'old') sends the tag as the reference. This registry then
    // removes only that tag. `delete_tag` of longshore does the same at every registry.
    assert_eq!(place.sent("DELETE", "/v2/project/image/manifests/old", "", "").status, 202);
    let repository = place.at("project/image");
    assert_eq!(repository.tags(None).all().await.unwrap(), [tag("dev")]);
    repository.delete_tag(&tag("dev")).await.unwrap();
    assert_eq!(repository.tags(None).all().await.unwrap(), []);
    assert_eq!(place.sent("DELETE", "/v2/project/image/manifests/old", "", "").status, 404);
    let e = repository.delete_tag(&tag("old")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}
