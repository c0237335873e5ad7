//! Challenges, tokens, and the errors of refused authentication.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use longshore::{
    BlobBody, ErrorKind, Pushed, RemoteRepository, Repository, Source as _, Target as _,
};
use longshore_testkit::script::{Exchange, Script};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::{blob, blob_path, login, place, quick, remote};

const BASIC_HEADER: &str = "Basic dXNlcjpzM2NyZXQ=";

fn as_user(server: &Script) -> RemoteRepository {
    assert_eq!(BASIC_HEADER, format!("Basic {}", BASE64.encode("user:s3cret")));
    let registry = place(server).registry().clone();
    let store = login(registry, "user", "s3cret");
    quick().credentials(store).build().repository(&place(server))
}

fn tags() -> Exchange {
    Exchange::new("GET", "/v2/a/b/tags/list")
}

fn bearer(realm: &str) -> String {
    format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"repository:a/b:pull\"")
}

const PULL: &str = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull";

#[tokio::test]
async fn basic_is_sent_with_every_request_after_the_first_challenge() {
    let server = Script::start().await;
    server.expect(
        tags().without("authorization").answer(401).header("www-authenticate", "Basic realm=\"r\""),
    );
    server.expect(tags().with("authorization", BASIC_HEADER).body("{\"tags\":[\"v1\"]}"));
    server.expect(tags().with("authorization", BASIC_HEADER).body("{\"tags\":[]}"));
    let repository = as_user(&server);
    assert_eq!(repository.tags(None).all().await.unwrap().len(), 1);
    assert_eq!(repository.tags(None).all().await.unwrap().len(), 0);
    server.finish();
}

#[tokio::test]
async fn a_404_counts_as_acceptance_of_the_password() {
    let server = Script::start().await;
    let content = blob(b"content");
    let head = || Exchange::new("HEAD", blob_path(&content));
    let basic = "Basic realm=\"r\"";
    server.expect(head().answer(401).header("www-authenticate", basic));
    server.expect(head().with("authorization", BASIC_HEADER).answer(404));
    let repository = as_user(&server);
    assert_eq!(repository.blob_size(&content.digest).await.unwrap(), None);
    let refused = head().with("authorization", BASIC_HEADER).answer(401);
    server.expect(refused.header("www-authenticate", basic));
    server.expect(head().with("authorization", BASIC_HEADER).answer(404));
    assert_eq!(repository.blob_size(&content.digest).await.unwrap(), None);
    server.finish();
}

/// A challenge that a proxy sends, with a scheme that the client does not support.
const OTHER: &str = "Negotiate";

#[tokio::test]
async fn an_accepted_password_is_sent_once_more_after_a_refusal() {
    let server = Script::start().await;
    let basic = "Basic realm=\"r\"";
    let good = || tags().with("authorization", BASIC_HEADER);
    let refused = || good().answer(401).header("www-authenticate", basic);
    server.expect(tags().answer(401).header("www-authenticate", basic));
    server.expect(good().body("{\"tags\":[]}"));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    for refusal in
        [refused(), good().answer(401), good().answer(401).header("www-authenticate", OTHER)]
    {
        server.expect(refusal);
        server.expect(good().body("{\"tags\":[]}"));
        repository.tags(None).all().await.unwrap();
    }
    // A second refusal is final. After that, the password is sent once per request until the
    // registry accepts it again.
    for times in [2, 1] {
        (0..times).for_each(|_| server.expect(refused()));
        let e = repository.tags(None).all().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
    }
    server.expect(good().body("{\"tags\":[]}"));
    repository.tags(None).all().await.unwrap();
    server.expect(refused());
    server.expect(good().body("{\"tags\":[]}"));
    repository.tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn each_of_two_concurrently_refused_requests_sends_an_accepted_password_once_more() {
    let (address, _server) = in_pairs(&["200 OK", REFUSED, "200 OK"]).await;
    let place: Repository = format!("{address}/a/b").parse().unwrap();
    let store = login(place.registry().clone(), "user", "s3cret");
    let repository = quick().credentials(store).build().repository(&place);
    let both = || async {
        tokio::try_join!(repository.tags(None).all(), repository.tags(None).all()).map(drop)
    };
    both().await.unwrap();
    both().await.unwrap();
}

const REFUSED: &str = "401 Unauthorized";

/// Starts a registry that answers requests with a password in pairs: it waits for two, and sends
/// the same reply to both.
async fn in_pairs(statuses: &'static [&'static str]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let mut statuses = statuses.iter();
        let mut first = None;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            if !String::from_utf8_lossy(&head).contains(BASIC_HEADER) {
                answer(stream, REFUSED).await;
            } else if let Some(first) = first.take() {
                let status = statuses.next().unwrap();
                answer(first, status).await;
                answer(stream, status).await;
            } else {
                first = Some(stream);
            }
        }
    });
    (address, server)
}

async fn answer(mut stream: TcpStream, status: &str) {
    let answer = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 11\r\n\
         www-authenticate: Basic realm=\"r\"\r\n\r\n{{\"tags\":[]}}"
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_password_that_was_never_accepted_is_sent_only_once_per_request() {
    let server = Script::start().await;
    let challenge = || ("www-authenticate", "Basic realm=\"r\"");
    let refused = |exchange: Exchange| exchange.answer(401).header(challenge().0, challenge().1);
    server.expect(refused(tags().without("authorization")));
    server.expect(refused(tags().with("authorization", BASIC_HEADER)));
    server.expect(refused(tags().with("authorization", BASIC_HEADER)));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap_err();
    repository.tags(None).all().await.unwrap_err();
    server.finish();
}

#[tokio::test]
async fn a_streamed_body_is_not_sent_again_after_a_refusal() {
    let server = Script::start().await;
    let basic = "Basic realm=\"r\"";
    server.expect(tags().answer(401).header("www-authenticate", basic));
    server.expect(tags().with("authorization", BASIC_HEADER).body("{\"tags\":[]}"));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    let begun = Exchange::new("POST", "/v2/a/b/blobs/uploads/").with("authorization", BASIC_HEADER);
    server.expect(begun.answer(202).header("location", "/v2/u/1"));
    let mut upload = repository.begin_upload().await.unwrap();
    let patch = Exchange::new("PATCH", "/v2/u/1").with("authorization", BASIC_HEADER);
    server.expect(patch.sending("abc").answer(401).header("www-authenticate", basic));
    let chunk = futures_util::stream::iter([Ok(Bytes::from_static(b"abc"))]);
    let stream = longshore::BlobStream::new(chunk);
    let e = upload.append(stream, 3).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    server.finish();
}

#[tokio::test]
async fn an_accepted_token_that_the_service_issues_again_is_sent_once_more() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    let token = || Exchange::new("GET", PULL).body("{\"token\":\"t\",\"expires_in\":300}");
    let refused = |exchange: Exchange| exchange.answer(401).header("www-authenticate", &challenge);
    let good = || tags().with("authorization", "Bearer t");
    server.expect(refused(tags()));
    server.expect(token());
    server.expect(good().body("{\"tags\":[]}"));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    server.expect(refused(good()));
    server.expect(token());
    server.expect(good().body("{\"tags\":[]}"));
    repository.tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_accepted_preset_token_is_kept_after_one_refusal() {
    let server = Script::start().await;
    let good = || tags().with("authorization", "Bearer mine");
    let name = place(&server).registry().clone();
    let client = quick().token(name, None, longshore::Secret::new("mine")).build();
    let repository = client.repository(&place(&server));
    server.expect(good().body("{\"tags\":[]}"));
    server.expect(good().answer(401));
    server.expect(good().body("{\"tags\":[]}"));
    repository.tags(None).all().await.unwrap();
    repository.tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_token_is_fetched_once_per_scope_and_before_a_push() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server
        .expect(tags().without("authorization").answer(401).header("www-authenticate", &challenge));
    server.expect(
        Exchange::new("GET", PULL)
            .with("authorization", BASIC_HEADER)
            .body("{\"token\":\"t1\",\"expires_in\":300}"),
    );
    server.expect(tags().with("authorization", "Bearer t1").body("{\"tags\":[]}"));
    server.expect(tags().with("authorization", "Bearer t1").body("{\"tags\":[]}"));
    // A push requires more scopes. Its token is fetched before the first request of the push.
    let push = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush";
    server.expect(
        Exchange::new("GET", push)
            .with("authorization", BASIC_HEADER)
            .body("{\"access_token\":\"t2\",\"expires_in\":300}"),
    );
    server.expect(
        Exchange::new("POST", "/v2/a/b/blobs/uploads/")
            .with("authorization", "Bearer t2")
            .answer(202)
            .header("location", "/v2/u/1"),
    );
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    repository.tags(None).all().await.unwrap();
    repository.begin_upload().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn anonymous_clients_get_tokens() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).without("authorization").body("{\"token\":\"t\"}"));
    server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":null}"));
    assert_eq!(remote(&server).tags(None).all().await.unwrap().len(), 0);
    server.finish();
}

#[tokio::test]
async fn a_refused_token_is_renewed() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", &challenge));
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t1\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t1").body("{\"tags\":[]}"));
    server.expect(
        tags()
            .with("authorization", "Bearer t1")
            .answer(401)
            .header("www-authenticate", format!("{challenge},error=\"invalid_token\"")),
    );
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t2\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t2").body("{\"tags\":[]}"));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    repository.tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn an_expiring_token_is_renewed_before_its_next_use() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    for token in ["t1", "t2"] {
        // The token expires too soon to be used again.
        let body = format!("{{\"token\":\"{token}\",\"expires_in\":1}}");
        server.expect(Exchange::new("GET", PULL).body(body));
        let authorization = format!("Bearer {token}");
        server.expect(tags().with("authorization", authorization).body("{\"tags\":[]}"));
    }
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    repository.tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn scopes_in_the_registrys_challenge_are_requested() {
    let server = Script::start().await;
    let digest = blob(b"x").digest;
    let target = format!("/v2/a/b/blobs/{digest}");
    let wants = format!(
        "Bearer realm=\"{}\",service=\"reg\",scope=\"repository:a/b:delete\"",
        server.url("/token")
    );
    server.expect(Exchange::new("DELETE", &target).answer(401).header("www-authenticate", wants));
    let token = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush%2Cdelete";
    server.expect(Exchange::new("GET", token).body("{\"token\":\"t\"}"));
    server.expect(Exchange::new("DELETE", target).with("authorization", "Bearer t").answer(202));
    longshore::Delete::delete_blob(&as_user(&server), &digest).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_mount_requests_one_token_for_both_repositories() {
    let server = Script::start().await;
    let descriptor = blob(b"x");
    let source: Repository = format!("{}/c/d", server.address()).parse().unwrap();
    let target = format!(
        "/v2/a/b/blobs/uploads/?mount={}&from=c%2Fd",
        descriptor.digest.as_str().replace(':', "%3A")
    );
    server.expect(
        Exchange::new("POST", &target)
            .answer(401)
            .header("www-authenticate", bearer(&server.url("/token"))),
    );
    let token = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush\
        &scope=repository%3Ac%2Fd%3Apull";
    server.expect(Exchange::new("GET", token).body("{\"token\":\"t\"}"));
    server.expect(Exchange::new("POST", target).with("authorization", "Bearer t").answer(201));
    let mount = BlobBody::mount(source);
    let pushed = as_user(&server).push_blob(&descriptor, mount).await.unwrap();
    assert_eq!(pushed, Pushed::Mounted);
    server.finish();
}

#[tokio::test]
async fn an_upload_continues_with_a_new_token_after_a_401() {
    let server = Script::start().await;
    let content = b"hello, world";
    let descriptor = blob(content);
    let challenge = bearer(&server.url("/token"));
    let token = "/token?service=reg&scope=repository%3Aa%2Fb%3Apull%2Cpush";
    let put = format!("/v2/u/1?digest={}", descriptor.digest);
    let begin = Exchange::new("POST", "/v2/a/b/blobs/uploads/");
    server.expect(begin.clone().answer(401).header("www-authenticate", &challenge));
    server.expect(Exchange::new("GET", token).body("{\"token\":\"t1\",\"expires_in\":300}"));
    server
        .expect(begin.with("authorization", "Bearer t1").answer(202).header("location", "/v2/u/1"));
    server.expect(
        Exchange::new("PUT", &put)
            .with("authorization", "Bearer t1")
            .answer(401)
            .header("www-authenticate", &challenge),
    );
    server.expect(Exchange::new("GET", token).body("{\"token\":\"t2\",\"expires_in\":300}"));
    server.expect(
        Exchange::new("GET", "/v2/u/1")
            .with("authorization", "Bearer t2")
            .answer(204)
            .header("range", "0-4")
            .header("location", "/v2/u/2"),
    );
    server.expect(
        Exchange::new("PUT", put.replace("/u/1", "/u/2"))
            .with("authorization", "Bearer t2")
            .sending(&content[5..])
            .answer(201),
    );
    let body = BlobBody::from(Bytes::from_static(content));
    as_user(&server).push_blob(&descriptor, body).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn the_error_for_a_refused_request_names_the_resource_and_the_credentials() {
    let server = Script::start().await;
    for _ in 0..2 {
        let refused = "{\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"no\"}]}";
        let reply = tags().answer(401).header("www-authenticate", "Basic realm=\"r\"");
        server.expect(reply.body(refused));
    }
    let e = as_user(&server).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let shown = format!("{e} {e:?}");
    assert!(shown.contains(&format!("tags of {}/a/b", server.address())), "{shown}");
    assert!(shown.contains("credentials from the caller"), "{shown}");
    assert!(shown.contains("UNAUTHORIZED: no"), "{shown}");
    assert!(!shown.contains("s3cret") && !shown.contains("dXNlcjpzM2NyZXQ"), "{shown}");

    let reply = tags().answer(401).header("www-authenticate", "Basic realm=\"r\"");
    server.expect(reply);
    let e = remote(&server).tags(None).all().await.unwrap_err();
    assert!(e.to_string().contains("anonymous"), "{e}");

    server.expect(tags().answer(403));
    let e = remote(&server).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Denied);
    assert!(e.to_string().contains("anonymous"), "{e}");
    server.finish();
}

#[tokio::test]
async fn an_error_names_the_token_service_that_refused_the_credentials() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).answer(401));
    let e = as_user(&server).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    let shown = e.to_string();
    assert!(shown.contains("/token refused credentials from the caller"), "{e}");
    assert!(shown.contains("/a/b"), "{e}");
    server.finish();
}

#[tokio::test]
async fn basic_replaces_a_failing_token_service() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(
        tags()
            .answer(401)
            .header("www-authenticate", challenge)
            .header("www-authenticate", "Basic realm=\"r\""),
    );
    server.expect(Exchange::new("GET", PULL).answer(404));
    server.expect(tags().with("authorization", BASIC_HEADER).body("{\"tags\":[]}"));
    as_user(&server).tags(None).all().await.unwrap();
    server.finish();
}

#[tokio::test]
async fn no_request_is_sent_to_a_forbidden_realm() {
    for realm in ["null://", "file:///etc/passwd", "http://user:pw@127.0.0.1/", ""] {
        let server = Script::start().await;
        server.expect(tags().answer(401).header("www-authenticate", bearer(realm)));
        let e = as_user(&server).tags(None).all().await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unauthorized);
        assert!(e.to_string().contains("token service"), "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn the_error_for_an_unusable_challenge_gives_the_reason() {
    for (challenge, why) in [
        ("Negotiate", "only negotiate"),
        ("Bearer service=\"x\"", "no realm"),
        ("Basic realm=\"x", "unclosed quote"),
    ] {
        let server = Script::start().await;
        server.expect(tags().answer(401).header("www-authenticate", challenge));
        let e = as_user(&server).tags(None).all().await.unwrap_err();
        assert!(e.to_string().contains(why), "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn a_changed_token_service_is_refused() {
    let (server, other) = (Script::start().await, Script::start().await);
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\"}"));
    server.expect(tags().body("{\"tags\":[]}"));
    server.expect(tags().answer(401).header("www-authenticate", bearer(&other.url("/token"))));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    let e = repository.tags(None).all().await.unwrap_err();
    assert!(e.to_string().contains("a different token service"), "{e}");
    server.finish();
    other.finish();
}

#[tokio::test]
async fn concurrent_requests_share_one_token() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\",\"expires_in\":300}"));
    server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
    let repository = as_user(&server);
    repository.tags(None).all().await.unwrap();
    for _ in 0..8 {
        server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
    }
    let all = (0..8).map(|_| repository.tags(None).all());
    for listing in futures_util::future::join_all(all).await {
        listing.unwrap();
    }
    server.finish();
}

#[tokio::test]
async fn clones_of_a_client_share_connections_and_tokens() {
    let server = Script::start().await;
    let challenge = bearer(&server.url("/token"));
    server.expect(tags().answer(401).header("www-authenticate", challenge));
    server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\",\"expires_in\":300}"));
    let first = quick().credentials(login(place(&server).registry().clone(), "a", "b")).build();
    let second = first.clone();
    for client in [first, second] {
        server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
        client.repository(&place(&server)).tags(None).all().await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    server.finish();
}

#[tokio::test]
async fn a_failure_to_get_a_token_is_not_cached() {
    for (status, body) in [(200, "{}"), (200, "{\"token\":\"\"}"), (401, ""), (403, "{}")] {
        let server = Script::start().await;
        let challenge = bearer(&server.url("/token"));
        let repository = as_user(&server);
        server.expect(tags().answer(401).header("www-authenticate", &challenge));
        server.expect(Exchange::new("GET", PULL).answer(status).body(body));
        let e = repository.tags(None).all().await.unwrap_err();
        assert!(!e.to_string().is_empty());
        // The next request gets a new token first, and succeeds.
        server.expect(Exchange::new("GET", PULL).body("{\"token\":\"t\",\"expires_in\":300}"));
        server.expect(tags().with("authorization", "Bearer t").body("{\"tags\":[]}"));
        repository.tags(None).all().await.unwrap_or_else(|e| panic!("{status} {body}: {e:?}"));
        server.finish();
    }
}

#[tokio::test]
async fn a_storage_service_that_sends_a_challenge_gets_no_credentials() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let descriptor = blob(b"x");
    server.expect(
        Exchange::new("GET", blob_path(&descriptor))
            .answer(307)
            .header("location", storage.url("/object")),
    );
    storage.expect(
        Exchange::new("GET", "/object")
            .without("authorization")
            .answer(401)
            .header("www-authenticate", "Basic realm=\"evil\""),
    );
    let e = as_user(&server).blob(&descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unauthorized);
    server.finish();
    storage.finish();
}

#[tokio::test]
async fn errors_of_a_token_service_name_the_service_and_not_the_reference() {
    let token = || Exchange::new("GET", PULL);
    let large = format!("{{\"token\":\"{}\"}}", "t".repeat(200 << 10));
    for (answer, kind, message) in [
        (
            token().body(large),
            ErrorKind::TooLarge,
            "too large: token service SERVICE: the reply has more than 131072 bytes",
        ),
        (
            token().body("no JSON"),
            ErrorKind::Unauthorized,
            "unauthorized: token service SERVICE: answered with invalid JSON",
        ),
        (
            token().body("<html>"),
            ErrorKind::Unauthorized,
            "unauthorized: token service SERVICE: answered with a web page",
        ),
        (
            token().answer(503),
            ErrorKind::Transport,
            "connection failed: token service SERVICE (HTTP 503)",
        ),
        // A 404 of the token service does not mean that the tag list is missing.
        (
            token().answer(404),
            ErrorKind::Unauthorized,
            "unauthorized: token service SERVICE: no token issued to credentials from the caller \
             (HTTP 404)",
        ),
    ] {
        let server = Script::start().await;
        let service = server.url("/token");
        server.expect(tags().answer(401).header("www-authenticate", bearer(&service)));
        // A transient failure of the service is retried, with five attempts in total.
        let attempts = if kind == ErrorKind::Transport { 5 } else { 1 };
        (0..attempts).for_each(|_| server.expect(answer.clone()));
        let e = as_user(&server).tags(None).all().await.unwrap_err();
        assert_eq!((e.kind(), e.to_string()), (kind, message.replace("SERVICE", &service)));
        server.finish();
    }
}

#[tokio::test]
async fn errors_of_a_token_service_contain_its_error_codes() {
    // The error has the status of the service only if the service refuses access to the registry's
    // resource. A caller that decides by the status would take any other status for an answer of
    // the registry.
    for (status, kind, stated) in [
        (401, ErrorKind::Unauthorized, Some(401)),
        (403, ErrorKind::Denied, Some(403)),
        (400, ErrorKind::Unauthorized, None),
        (404, ErrorKind::Unauthorized, None),
    ] {
        let server = Script::start().await;
        server.expect(tags().answer(401).header("www-authenticate", bearer(&server.url("/token"))));
        let codes = "{\"errors\":[{\"code\":\"DENIED\",\"message\":\"account locked\"}]}";
        server.expect(Exchange::new("GET", PULL).answer(status).body(codes));
        let e = as_user(&server).tags(None).all().await.unwrap_err();
        assert_eq!((e.kind(), e.status()), (kind, stated), "{status}");
        let codes: Vec<_> = e.registry_errors().iter().map(|error| error.code.as_str()).collect();
        assert_eq!(codes, ["DENIED"], "{status}");
        assert!(e.to_string().contains("account locked"), "{e}");
        server.finish();
    }
}

#[tokio::test]
async fn an_error_names_the_token_service_that_cannot_be_reached() {
    let server = Script::start().await;
    let closed = "http://127.0.0.1:1/token";
    server.expect(tags().answer(401).header("www-authenticate", bearer(closed)));
    let e = as_user(&server).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Transport);
    assert_eq!(
        e.to_string(),
        "requesting a token from the token service: cannot connect to 127.0.0.1:1: connection refused"
    );
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let realm = format!("http://{}/token", silent.local_addr().unwrap());
    server.expect(tags().answer(401).header("www-authenticate", bearer(&realm)));
    let mut limits = longshore::Limits::default();
    limits.response = std::time::Duration::from_millis(50);
    let client = quick().limits(limits).build();
    let e = client.repository(&place(&server)).tags(None).all().await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Timeout);
    assert!(
        e.to_string().starts_with("requesting a token from the token service: timed out: GET "),
        "{e}"
    );
    server.finish();
}
