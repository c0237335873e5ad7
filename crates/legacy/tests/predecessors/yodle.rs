//! Compares docker-registry-client 0.5.2, by yodle, with longshore, for v2 registries. `yodle_v1`
//! compares them for v1 registries.

use super::*;

use longshore::{Delete as _, Digest};

/// Starts Python and sets two variables: `client` is yodle's `DockerRegistryClient`, and `base` is
/// yodle's `BaseClient`, which has one method for each request.
fn yodle(place: &Place, arguments: &str) -> Predecessor {
    let mut yodle = Predecessor::start(&[]);
    yodle.run(
        "from docker_registry_client import *; from docker_registry_client._BaseClient import *",
    );
    let arguments = format!("'http://{}', {arguments}", place.address);
    yodle.run(&format!("client = DockerRegistryClient({arguments})"));
    yodle.run(&format!("base = BaseClient({arguments})"));
    yodle
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_detect_v2_and_list_the_same_repositories() {
    let place = Place::open().await;
    let mut yodle = yodle(&place, "");
    assert_eq!(yodle.gives("client.api_version"), 2);
    let ping = place.client.ping(&place.registry()).await.unwrap();
    assert_eq!(ping.api_version.as_deref(), Some("registry/2.0"));
    drop(yodle.gives("base.check_status()"));

    let ours = place.repositories().await;
    assert_texts(&yodle.gives("base.catalog()['repositories']"), &ours);
    assert_texts(&yodle.gives("list(client.repositories())"), &ours);
    assert_texts(&yodle.gives("client.namespaces()"), &["library", "team"]);
    assert_texts(&yodle.gives("list(client.repositories('team'))"), &ours[1..]);
    let raised = yodle.raises("client.repository('team/app', 'team')");
    assert_eq!(raised.short(), ("RuntimeError", None));
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_list_the_same_tags() {
    let place = Place::open().await;
    let mut yodle = yodle(&place, "");
    for repository in ["client.repository('team/app')", "client.repository('app', 'team')"] {
        yodle.run(&format!("repository = {repository}"));
        assert_eq!(yodle.gives("repository.name"), "team/app");
        assert_texts(&yodle.gives("repository.tags()"), &place.tags("team/app").await);
    }
    let raised = yodle.raises("base.get_repository_tags('no/where')");
    let ours = place.at("no/where").tags(None).all().await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_get_and_delete_the_same_manifest_by_digest() {
    let place = Place::open().await;
    let mut yodle = yodle(&place, "");
    yodle.run("repository = client.repository('team/app')");
    yodle.run("content, digest = repository.manifest('v1')");
    // yodle requests only schema 1, but this registry sends the stored manifest.
    assert_eq!(yodle.gives("digest"), place.digest("team/app", "v1").await);
    let ours: Value = serde_json::from_str(&place.manifest("team/app", "v1").await).unwrap();
    assert_eq!(yodle.gives("content"), ours);
    assert_eq!(yodle.gives("base.get_manifest('team/app', 'v2')._digest"), yodle.gives("digest"));

    let digest = Digest::parse(yodle.gives("digest").as_str().unwrap()).unwrap();
    yodle.run("repository.delete_manifest(digest)");
    for (expression, e) in [
        ("repository.delete_manifest(digest)", place.at("team/app").delete_manifest(&digest).await),
        (
            "repository.manifest('v1')",
            place.at("team/app").manifest(&tag("v1").into()).await.map(drop),
        ),
    ] {
        let raised = yodle.raises(expression);
        same_failure(&raised, "HTTPError", Some(404), &e.unwrap_err(), ErrorKind::NotFound);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_and_longshore_delete_the_same_blob() {
    let place = Place::open().await;
    let mut yodle = yodle(&place, "");
    let layer = &docker_image(3, "amd64").blobs[1].0;
    let delete = format!("base.delete_blob('plain', '{}')", layer.digest);
    drop(yodle.gives(&delete));
    let raised = yodle.raises(&delete);
    let ours = place.at("plain").delete_blob(&layer.digest).await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(404), &ours, ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn yodle_authenticates_with_a_password() {
    let place = Place::basic().await;
    let mut yodle = yodle(&place, "username='user', password='s3cret'");
    assert_texts(
        &yodle.gives("client.repository('team/app').tags()"),
        &place.tags("team/app").await,
    );

    let anonymous = format!("DockerRegistryClient('http://{}')", place.address);
    let raised = yodle.raises(&anonymous);
    let e = quick().build().check_credentials(&place.registry()).await.unwrap_err();
    same_failure(&raised, "HTTPError", Some(401), &e, ErrorKind::Unauthorized);
}
