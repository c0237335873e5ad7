//! Redirects: credentials are not sent to other origins, and chains are limited.

use longshore::{ErrorKind, RemoteRepository, Source as _};
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, blob_path, place, quick, remote};

/// Returns a repository whose client has already authenticated.
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
async fn credentials_are_dropped_at_another_origin_and_not_sent_again() {
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
async fn a_redirect_within_the_origin_keeps_credentials() {
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
async fn a_redirect_loop_ends_after_ten_hops() {
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
async fn a_redirect_does_not_change_the_method_of_an_upload() {
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
async fn trap_17_the_size_of_a_redirected_blob_is_found() {
    let (server, storage) = (Script::start().await, Script::start().await);
    let descriptor = blob(b"content");
    let redirected = |method| {
        let location = storage.url("/object");
        Exchange::new(method, blob_path(&descriptor)).answer(307).header("location", location)
    };
    server.expect(redirected("HEAD"));
    storage.expect(Exchange::new("HEAD", "/object").without("authorization").body("content"));
    assert_eq!(remote(&server).blob_size(&descriptor.digest).await.unwrap(), Some(7));
    // A storage service answers HEAD with 403 if the URL was signed for GET.
    server.expect(redirected("HEAD"));
    storage.expect(Exchange::new("HEAD", "/object").answer(403));
    server.expect(redirected("GET"));
    storage.expect(Exchange::new("GET", "/object").body("content"));
    assert_eq!(remote(&server).blob_size(&descriptor.digest).await.unwrap(), Some(7));
    server.finish();
    storage.finish();
}
