//! The events that an observer receives for each request.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request};
use http_body_util::Full;
use longshore_core::Digest;
use longshore_registry::{Answered, Permissions, Registry, RegistryBuilder, Users};

use crate::harness::Client;

/// Returns a client of a registry, and the events that its observer has received, one line each.
fn observed(
    set_up: impl Fn(RegistryBuilder) -> RegistryBuilder,
) -> (Client, Arc<Mutex<Vec<String>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&events);
    let observer = move |answered: &Answered| {
        let Answered { method, path, route, status, user, received, sent, .. } = answered;
        let status = status.map_or(0, |status| status.as_u16());
        let user = user.as_deref().unwrap_or("-");
        let line = format!("{method} {path} {route} {status} {user} {received} {sent}");
        lines.lock().unwrap().push(line);
    };
    (Client::new(set_up(Registry::builder()).on_answered(observer)), events)
}

fn last_event(events: &Mutex<Vec<String>>) -> String {
    events.lock().unwrap().pop().unwrap()
}

#[tokio::test]
async fn each_request_is_reported_with_its_route_and_sizes() {
    let (client, events) = observed(|builder| builder);
    let digest = Digest::sha256(b"content");
    client.get("/v2/").await.expect(200);
    assert_eq!(last_event(&events), "GET /v2/ base 200 - 0 2");
    let path = format!("/v2/a/blobs/uploads/?digest={digest}&x=secret");
    client.request(Method::POST, &path, &[], "content").await.expect(201);
    let shown = path.replace("secret", "…");
    assert_eq!(last_event(&events), format!("POST {shown} uploads 201 - 7 0"));
    let blob = format!("/v2/a/blobs/{digest}");
    client.get(&blob).await.expect(200);
    assert_eq!(last_event(&events), format!("GET {blob} blob 200 - 0 7"));
    client.head(&blob).await.expect(200);
    assert_eq!(last_event(&events), format!("HEAD {blob} blob 200 - 0 0"));
    let upload = client.begin("a").await;
    last_event(&events);
    client.request(Method::PATCH, &upload, &[], "part").await.expect(202);
    let line = last_event(&events);
    assert!(line.ends_with("… upload 202 - 4 0") && !line.contains(&upload), "{line}");
    client.get("/v1/_ping").await.expect(404);
    assert!(last_event(&events).starts_with("GET /v1/_ping other 404 - 0 "));

    // A response also ends if the client does not read it completely.
    let request = Request::get(&blob).body(Full::<bytes::Bytes>::default()).unwrap();
    drop(client.registry.answer(request).await);
    assert_eq!(last_event(&events), format!("GET {blob} blob 200 - 0 0"));
    // A request also ends if the client stops waiting for the response.
    let body = http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::io::Error>,
    >());
    let request = Request::post(&path).body(body).unwrap();
    let answer = client.registry.answer(request);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(10), answer);
    waited.await.unwrap_err();
    assert_eq!(last_event(&events), format!("POST {shown} uploads 0 - 0 0"));
}

#[tokio::test]
async fn a_user_is_reported_only_if_authenticated() {
    let users = || Users::new().user("ann", "a", Permissions::PULL);
    let (client, events) = observed(|builder| builder.access(users()));
    for (method, path, offered, line) in [
        (Method::GET, "/v2/", "ann:a", "GET /v2/ base 200 ann 0 2"),
        (Method::GET, "/v2/", "ann:wrong", "GET /v2/ base 401 - 0 "),
        (Method::GET, "/v2/", "eve:a", "GET /v2/ base 401 - 0 "),
        (
            Method::DELETE,
            "/v2/a/manifests/v1",
            "ann:a",
            "DELETE /v2/a/manifests/v1 manifest 403 ann",
        ),
        (Method::GET, "/nothing", "eve:a", "GET /nothing other 404 - 0 "),
        (Method::GET, "/v2/A/tags/list", "eve:a", "GET /v2/A/tags/list other 400 - 0 "),
        (Method::GET, "/v2/_catalog?n=x", "ann:a", "GET /v2/_catalog?n=x catalog 400 ann 0 "),
    ] {
        let authorization = format!("Basic {}", STANDARD.encode(offered));
        let headers = [("authorization", authorization.as_str())];
        client.request(method, path, &headers, "").await;
        let event = last_event(&events);
        assert!(event.starts_with(line), "{event}");
    }
}
