//! Custom requests, which pass the same layers as all other requests.

use longshore::http::header::AUTHORIZATION;
use longshore::http::{HeaderValue, Method};
use longshore::{Body, Client, ErrorKind, RawReply, RawRequest, RegistrySettings, Result, Scheme};
use longshore_testkit::script::{Exchange, Script};

use crate::{place, quick};

const BASIC: &str = "Basic dXNlcjpzM2NyZXQ=";

fn client(server: &Script) -> Client {
    let registry = place(server).registry().clone();
    let store = crate::login(registry, "user", "s3cret");
    quick().credentials(store).build()
}

async fn send(server: &Script, request: RawRequest) -> Result<RawReply> {
    client(server).request(place(server).registry(), request).await
}

#[tokio::test]
async fn a_custom_request_is_authenticated_and_retried() {
    let server = Script::start().await;
    let challenge = "Basic realm=\"r\"";
    let request = || Exchange::new("POST", "/v2/x/_custom?a=%2F").sending("body");
    server.expect(request().answer(401).header("www-authenticate", challenge));
    server.expect(request().with("authorization", BASIC).answer(503));
    server.expect(
        request().with("authorization", BASIC).with("x-own", "1").answer(299).header("x-is", "2"),
    );
    let request = RawRequest::new(Method::POST, "/v2/x/_custom?a=%2F")
        .header("x-own".parse().unwrap(), HeaderValue::from_static("1"))
        .body(Body::Bytes("body".into()));
    let reply = send(&server, request).await.unwrap();
    assert_eq!((reply.status.as_u16(), &reply.headers["x-is"]), (299, &"2".parse().unwrap()));
    server.finish();
}

#[tokio::test]
async fn the_scope_of_a_custom_request_is_in_its_token_request() {
    let server = Script::start().await;
    let realm = format!("Bearer realm=\"{}\"", server.url("/token"));
    server.expect(Exchange::new("GET", "/v2/x").answer(401).header("www-authenticate", realm));
    let token = Exchange::new("GET", "/token?scope=repository%3Aa%2Fb%3Apull");
    server.expect(token.with("authorization", BASIC).body("{\"token\":\"t\"}"));
    server.expect(Exchange::new("GET", "/v2/x").with("authorization", "Bearer t").body("done"));
    let request = RawRequest::new(Method::GET, "/v2/x").scope("repository:a/b:pull").unwrap();
    let reply = send(&server, request).await.unwrap();
    assert_eq!(reply.bytes(100).await.unwrap(), "done");
    assert!(RawRequest::new(Method::GET, "/v2/x").scope("pull").is_err());
    server.finish();
}

#[tokio::test]
async fn a_custom_authorization_is_kept_and_not_sent_to_another_origin() {
    let (server, storage) = (Script::start().await, Script::start().await);
    server.expect(
        Exchange::new("GET", "/v2/x")
            .with("authorization", "Custom own")
            .answer(307)
            .header("location", storage.url("/y")),
    );
    storage.expect(Exchange::new("GET", "/y").without("authorization").answer(404).body("gone"));
    let own = HeaderValue::from_static("Custom own");
    let request = RawRequest::new(Method::GET, "/v2/x").header(AUTHORIZATION, own);
    let reply = send(&server, request).await.unwrap();
    assert!(reply.uri.to_string().ends_with("/y"));
    assert_eq!(reply.into_error().await.kind(), ErrorKind::NotFound);
    server.finish();
    storage.finish();
}

#[tokio::test]
async fn a_custom_request_to_another_server_is_refused() {
    let server = Script::start().await;
    for target in ["v2/", "//evil.example/", "https://evil.example/v2/", "http://u:p@x/", ""] {
        let e = send(&server, RawRequest::new(Method::GET, target)).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{target}: {e}");
    }
    server.expect(Exchange::new("DELETE", "/session?id=1").answer(204));
    let target = server.url("/session?id=1");
    send(&server, RawRequest::new(Method::DELETE, target)).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn another_registrys_authorization_is_sent_over_plain_http_only_with_permission() {
    let server = Script::start().await;
    let (registry, other) = (place(&server).registry().clone(), "index.example".parse().unwrap());
    let from = |issuer| {
        let request = RawRequest::new(Method::GET, "/v1/x").about("x");
        request.authorized_by(issuer, HeaderValue::from_static("Token t"))
    };
    let client = quick().build();
    let e = client.request(&registry, from(&other)).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied, "{e}");
    // The header is sent back to its issuer within this machine, or to a registry with plain HTTP
    // configured.
    let mut plain = RegistrySettings::default();
    plain.scheme = Some(Scheme::Http);
    let plainly = quick().settings(registry.clone(), plain).build();
    for (client, issuer) in [(client, &registry), (plainly, &other)] {
        server.expect(Exchange::new("GET", "/v1/x").with("authorization", "Token t").answer(404));
        let reply = client.request(&registry, from(issuer)).await.unwrap();
        let e = reply.expect(&[200]).await.unwrap_err();
        assert_eq!(
            (e.kind(), e.to_string()),
            (ErrorKind::NotFound, "not found: x (HTTP 404)".to_owned())
        );
    }
    server.finish();
}

#[tokio::test]
async fn an_incomplete_document_is_requested_again() {
    let server = Script::start().await;
    let request = || Exchange::new("GET", "/v1/x");
    let fetch = async || {
        let request = RawRequest::new(Method::GET, "/v1/x").about("x");
        client(&server).fetch(place(&server).registry(), request, 10).await
    };
    server.expect(request().body("[1, 2]").cut(3));
    server.expect(request().body("[1, 2]"));
    assert_eq!(fetch().await.unwrap().json::<Vec<u8>>().unwrap(), [1, 2]);
    server.expect(request().body("0123456789_"));
    assert_eq!(fetch().await.unwrap_err().kind(), ErrorKind::TooLarge);
    server.expect(request().body("<html>"));
    assert_eq!(fetch().await.unwrap_err().kind(), ErrorKind::Protocol);
    server.expect(request().answer(404));
    assert_eq!(fetch().await.unwrap_err().to_string(), "not found: x (HTTP 404)");
    server.finish();
}
