//! What a client remembers about a registry for later clients.

use std::num::NonZeroU64;
use std::path::Path;

use bytes::Bytes;
use longshore::{
    BlobBody, Delete as _, ErrorKind, RemoteRepository, Source as _, Tag, Target as _, UploadMethod,
};
use longshore_testkit::random;
use longshore_testkit::script::{Exchange, Script};

use crate::{blob, elsewhere};

/// Returns the repository of a new client that uses a cache folder.
fn remote(server: &Script, folder: &Path) -> RemoteRepository {
    let (builder, repository) = elsewhere(server);
    builder.cache_folder(folder).build().repository(&repository)
}

fn realm(server: &Script, path: &str) -> String {
    format!("http://r.example:{}{path}", server.address().port())
}

fn tags() -> Exchange {
    Exchange::new("GET", "/v2/a/b/tags/list")
}

fn challenge(server: &Script, path: &str) -> Exchange {
    let bearer = format!("Bearer realm=\"{}\",service=\"reg\"", realm(server, path));
    tags().without("authorization").answer(401).header("www-authenticate", &bearer)
}

fn token(path: &str) -> Exchange {
    Exchange::new("GET", format!("{path}?service=reg&scope=repository%3Aa%2Fb%3Apull"))
}

fn with_token() -> Exchange {
    tags().with("authorization", "Bearer t").body("{\"tags\":[]}")
}

async fn list(server: &Script, folder: &Path) {
    remote(server, folder).tags(None).all().await.unwrap();
}

/// Lets a client learn the token service `/token`.
async fn learn(server: &Script, folder: &Path) {
    server.expect(challenge(server, "/token"));
    server.expect(token("/token").body("{\"token\":\"t\"}"));
    server.expect(with_token());
    list(server, folder).await;
}

#[tokio::test]
async fn a_later_client_sends_a_token_with_its_first_request() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    learn(&server, folder.path()).await;
    server.expect(token("/token").body("{\"token\":\"t\"}"));
    server.expect(with_token());
    list(&server, folder.path()).await;
    // No token is stored.
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(text.contains("/token") && !text.contains("Bearer"), "{text}");
    }
    server.finish();
}

#[tokio::test]
async fn a_token_service_that_is_gone_is_replaced_by_that_of_a_new_challenge() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    learn(&server, folder.path()).await;
    server.expect(token("/token").answer(404));
    server.expect(challenge(&server, "/other"));
    server.expect(token("/other").body("{\"token\":\"t\"}"));
    server.expect(with_token());
    list(&server, folder.path()).await;
    server.expect(token("/other").body("{\"token\":\"t\"}"));
    server.expect(with_token());
    list(&server, folder.path()).await;
    server.finish();
}

#[tokio::test]
async fn a_challenge_that_names_another_service_replaces_the_remembered_one() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    learn(&server, folder.path()).await;
    let elsewhere = Script::start().await;
    let bearer = format!("Bearer realm=\"{}\",service=\"reg\"", realm(&elsewhere, "/other"));
    server.expect(token("/token").body("{\"token\":\"old\"}"));
    let refused = tags().with("authorization", "Bearer old").answer(401);
    server.expect(refused.header("www-authenticate", &bearer));
    elsewhere.expect(token("/other").body("{\"token\":\"t\"}"));
    server.expect(with_token());
    list(&server, folder.path()).await;
    server.finish();
    elsewhere.finish();
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_other_users_can_change_is_ignored() {
    use std::os::unix::fs::PermissionsExt as _;
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let chmod = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    learn(&server, folder.path()).await;
    let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    chmod(&file, 0o664);
    learn(&server, folder.path()).await;
    chmod(folder.path(), 0o777);
    learn(&server, folder.path()).await;
    server.finish();
}

#[tokio::test]
async fn a_registry_that_deletes_no_tags_is_asked_once() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let tag = Tag::parse("v1").unwrap();
    server.expect(Exchange::new("DELETE", "/v2/a/b/manifests/v1").answer(405));
    for _ in 0..2 {
        let refused = remote(&server, folder.path()).delete_tag(&tag).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    }
    server.finish();
}

#[tokio::test]
async fn a_tag_that_one_repository_does_not_delete_is_not_remembered() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let tag = Tag::parse("v1").unwrap();
    for _ in 0..2 {
        server.expect(Exchange::new("DELETE", "/v2/a/b/manifests/v1").answer(400));
        let refused = remote(&server, folder.path()).delete_tag(&tag).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
    }
    server.finish();
}

#[tokio::test]
async fn a_basic_challenge_is_not_remembered() {
    // Everyone may read, so a wrong password must not be sent with reads.
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    server.expect(tags().answer(401).header("www-authenticate", "Basic realm=\"r\""));
    remote(&server, folder.path()).tags(None).all().await.unwrap_err();
    server.expect(tags().without("authorization").body("{\"tags\":[]}"));
    list(&server, folder.path()).await;
    server.finish();
}

#[tokio::test]
async fn a_chunk_size_that_the_caller_chose_is_not_replaced() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let file = format!("r.example_{}.json", server.address().port());
    std::fs::write(folder.path().join(file), "{\"version\":1,\"chunk_size\":4}").unwrap();
    for (chosen, first) in [(UploadMethod::default(), "0123"), (chunked(6), "012345")] {
        let content = Bytes::from_static(b"01234567");
        let location = "/v2/u/1";
        let begin = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
        server.expect(begin.header("location", location));
        server.expect(Exchange::new("PATCH", location).sending(first).answer(403));
        server.expect(Exchange::new("DELETE", location).answer(204));
        let (builder, repository) = elsewhere(&server);
        let client = builder.cache_folder(folder.path()).upload_method(chosen).build();
        let pushed =
            client.repository(&repository).push_blob(&blob(&content), content.into()).await;
        assert_eq!(pushed.unwrap_err().kind(), ErrorKind::Denied);
    }
    server.finish();
}

fn chunked(size: u64) -> UploadMethod {
    UploadMethod::Chunked(NonZeroU64::new(size).unwrap())
}

#[tokio::test]
async fn a_later_client_begins_with_chunks_that_the_registry_accepts() {
    let (server, folder) = (Script::start().await, tempfile::tempdir().unwrap());
    let content = random::bytes(1, 100 << 10);
    let large = blob(&content);
    let begin = |n: usize| {
        let begin = Exchange::new("POST", "/v2/a/b/blobs/uploads/").answer(202);
        begin.header("location", format!("/v2/u/{n}"))
    };
    let chunk = |n: usize| {
        let chunk = Exchange::new("PATCH", format!("/v2/u/{n}")).sending(&*content);
        chunk.answer(202).header("location", format!("/v2/u/{n}"))
    };
    let finish =
        |n: usize| Exchange::new("PUT", format!("/v2/u/{n}?digest={}", large.digest)).answer(201);
    server.expect(begin(1));
    server.expect(finish(1).answer(413));
    server.expect(Exchange::new("DELETE", "/v2/u/1").answer(204));
    for n in 2..4 {
        server.expect(begin(n));
        server.expect(chunk(n));
        server.expect(finish(n));
        let body = BlobBody::from(content.clone());
        remote(&server, folder.path()).push_blob(&large, body).await.unwrap();
    }
    server.finish();
}
