//! Redirects: credentials stay at home, and chains end.

use longshore::{ErrorKind, RemoteRepository, Source as _};
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, blob_path, place, quick, remote};

/// A client that has used its credentials already.
async fn logged_in(server: &Script) -> RemoteRepository {
    let tags = || Exchange::new("GET", "/v2/a/b/tags/list");
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    server.expect(tags().body("{\"tags\":[]}"));
    let registry = place(server).registry().clone();
    let store = crate::login(registry, "user", "s3cret");
    let repository = quick().credentials(store).build().repository(&place(server));
    repository.tags(None).all().await.unwrap();
    repository
}

const BASIC: &str = "Basic dXNlcjpzM2NyZXQ=";

#[tokio::test]
async fn another_port_gets_no_credentials_and_neither_does_the_way_back() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let repository = logged_in(&server).await;
    let descriptor = blob(b"content");
    server.expect(
        Exchange::new("GET", blob_path(&descriptor))
            .with("authorization", BASIC)
            .answer(307)
            .header("location", storage.url("/object?sig=s")),
    );
    storage.expect(
        Exchange::new("GET", "/object?sig=s")
            .without("authorization")
            .without("cookie")
            .without("referer")
            .answer(302)
            .header("location", server.url("/back")),
    );
    server.expect(Exchange::new("GET", "/back").without("authorization").body("content"));
    let content = repository.blob(&descriptor).await.unwrap().bytes(100).await.unwrap();
    assert_eq!(content, "content");
    server.finish();
    storage.finish();
}

#[tokio::test]
async fn the_same_origin_keeps_them() {
    let server = Script::start().await;
    let repository = logged_in(&server).await;
    let descriptor = blob(b"content");
    server.expect(
        Exchange::new("GET", blob_path(&descriptor)).answer(307).header("location", "/moved"),
    );
    server.expect(Exchange::new("GET", "/moved").with("authorization", BASIC).body("content"));
    repository.blob(&descriptor).await.unwrap().bytes(100).await.unwrap();
    server.finish();
}

#[tokio::test]
async fn a_loop_ends_after_ten_hops() {
    let server = Script::start().await;
    let descriptor = blob(b"content");
    for _ in 0..11 {
        server.expect(
            Exchange::new("GET", blob_path(&descriptor))
                .answer(302)
                .header("location", blob_path(&descriptor)),
        );
    }
    let e = remote(&server).blob(&descriptor).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Protocol);
    assert!(e.to_string().contains("more than 10 times"), "{e}");
    server.finish();
}

#[tokio::test]
async fn an_upload_is_not_turned_into_something_else() {
    let server = Script::start().await;
    server.expect(
        Exchange::new("POST", "/v2/a/b/blobs/uploads/")
            .answer(303)
            .header("location", "/elsewhere"),
    );
    let e = remote(&server).begin_upload().await.unwrap_err();
    assert!(e.to_string().contains("method"), "{e}");
    server.finish();
}

#[tokio::test]
async fn trap_17_a_blob_is_asked_for_behind_a_redirect() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let descriptor = blob(b"content");
    let redirected = |method| {
        let location = storage.url("/object");
        Exchange::new(method, blob_path(&descriptor)).answer(307).header("location", location)
    };
    server.expect(redirected("HEAD"));
    storage.expect(Exchange::new("HEAD", "/object").without("authorization").body("content"));
    assert_eq!(remote(&server).blob_size(&descriptor.digest).await.unwrap(), Some(7));
    // A URL that was signed for GET answers HEAD with 403.
    server.expect(redirected("HEAD"));
    storage.expect(Exchange::new("HEAD", "/object").answer(403));
    server.expect(redirected("GET"));
    storage.expect(Exchange::new("GET", "/object").body("content"));
    assert_eq!(remote(&server).blob_size(&descriptor.digest).await.unwrap(), Some(7));
    server.finish();
    storage.finish();
}
