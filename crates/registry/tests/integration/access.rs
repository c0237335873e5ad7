//! Access control, as clients see it.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use longshore_core::Digest;
use longshore_registry::{
    Access, AccessRequest, Decision, Htpasswd, Permissions, RegistryBuilder, Tokens, Users,
};

use crate::harness::{Client, Manifest, Reply, on_each_storage_with};

fn users() -> Users {
    Users::new().user("reader", "r", Permissions::PULL).user("writer", "w", Permissions::PUSH).user(
        "owner",
        "o",
        Permissions::ALL,
    )
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn as_user(client: &Client, who: Option<&str>, method: Method, path: &str) -> Reply {
    let authorization = who.unwrap_or_default();
    let headers = [("authorization", authorization)];
    let headers = if who.is_some() { &headers[..] } else { &[] };
    client.request(method, path, headers, "").await
}

/// Sends requests for every route, with several methods, as each user. A request without permission
/// is refused before its target is looked up.
#[tokio::test]
async fn each_user_can_do_only_what_their_permissions_allow() {
    let set_up = |builder: RegistryBuilder| builder.access(users());
    on_each_storage_with(set_up, async |client| {
        let digest = Digest::sha256(b"absent");
        let upload = "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef";
        let blob = format!("/v2/a/blobs/{digest}");
        let referrers = format!("/v2/a/referrers/{digest}");
        let (reader, writer) = (basic("reader", "r"), basic("writer", "w"));
        let (owner, wrong) = (basic("owner", "o"), basic("owner", "x"));
        // For each request: the permission that it needs, and the status for users who have it.
        for (method, path, permission, allowed) in [
            (Method::GET, "/v2/", 'b', 200),
            (Method::GET, "/v2/_catalog", 'r', 200),
            (Method::GET, "/v2/a/tags/list", 'r', 404),
            (Method::HEAD, "/v2/a/manifests/v1", 'r', 404),
            (Method::GET, blob.as_str(), 'r', 404),
            (Method::GET, referrers.as_str(), 'r', 200),
            (Method::POST, "/v2/a/blobs/uploads/", 'w', 202),
            (Method::GET, upload, 'w', 404),
            (Method::PATCH, upload, 'w', 404),
            (Method::DELETE, upload, 'w', 404),
            (Method::PUT, "/v2/a/manifests/v1", 'w', 400),
            (Method::DELETE, "/v2/a/manifests/v1", 'd', 404),
            (Method::DELETE, blob.as_str(), 'd', 404),
        ] {
            for (who, permissions) in [
                (None, ""),
                (Some(wrong.as_str()), ""),
                (Some("nonsense"), ""),
                (Some(reader.as_str()), "br"),
                (Some(writer.as_str()), "brw"),
                (Some(owner.as_str()), "brwd"),
            ] {
                let reply = as_user(client, who, method.clone(), path).await;
                let expected = match permissions {
                    "" => 401,
                    permissions if permissions.contains(permission) => allowed,
                    _ => 403,
                };
                assert_eq!(reply.status, expected, "{method} {path} by {permissions:?}");
                if expected == 401 {
                    assert!(reply.header("www-authenticate").starts_with("Basic "));
                }
            }
        }
        let twice = [("authorization", owner.as_str()), ("authorization", reader.as_str())];
        client.request(Method::GET, "/v2/", &twice, "").await.expect(400);
    })
    .await;
}

#[tokio::test]
async fn users_of_a_password_file_have_full_access() {
    // The password is `secret`, hashed at the lowest cost.
    let ann = "ann:$2y$04$wQ.d8FTkNda2B6LZaNaXU.wm8ZgVA1pcVdxS2I5NzLwyHYTOjVHEi";
    let set_up = |builder: RegistryBuilder| builder.access(Htpasswd::parse(ann).unwrap());
    on_each_storage_with(set_up, async |client| {
        let (right, wrong) = (basic("ann", "secret"), basic("ann", "wrong"));
        let digest = Digest::sha256(b"absent");
        for (method, path, allowed) in [
            (Method::GET, "/v2/".to_owned(), 200),
            (Method::GET, "/v2/_catalog".into(), 200),
            (Method::POST, "/v2/a/blobs/uploads/".into(), 202),
            (Method::DELETE, format!("/v2/a/blobs/{digest}"), 404),
        ] {
            for (who, status) in [(Some(&right), allowed), (Some(&wrong), 401), (None, 401)] {
                let who = who.map(String::as_str);
                let reply = as_user(client, who, method.clone(), &path).await;
                assert_eq!(reply.status, status, "{method} {path} by {who:?}");
            }
        }
    })
    .await;
}

/// An access policy that is always busy.
#[derive(Debug)]
struct Busy;

#[async_trait]
impl Access for Busy {
    async fn authorize(&self, _: Option<&str>, _: &AccessRequest<'_>) -> Decision {
        Decision::Later(Duration::from_secs(5))
    }
}

#[tokio::test]
async fn requests_are_refused_with_retry_after_while_the_access_policy_is_busy() {
    on_each_storage_with(
        |builder| builder.access(Busy),
        async |client| {
            let reply = client.get("/v2/").await.expect_error(429, "TOOMANYREQUESTS");
            assert_eq!(reply.header("retry-after"), "5");
        },
    )
    .await;
}

async fn token(client: &Client, user: &str, scopes: &str) -> String {
    let who = basic(user, &user[..1]);
    let path = format!("/token?service=longshore{scopes}");
    let issued = as_user(client, Some(&who), Method::GET, &path).await.expect(200);
    format!("Bearer {}", issued.json()["token"].as_str().unwrap())
}

#[tokio::test]
async fn tokens_permit_only_their_scope() {
    let set_up = |builder: RegistryBuilder| {
        builder.access(Tokens::new(users(), "http://registry.test/token"))
    };
    on_each_storage_with(set_up, async |client| {
        let refused = client.get("/v2/").await.expect_error(401, "UNAUTHORIZED");
        assert_eq!(
            refused.header("www-authenticate"),
            r#"Bearer realm="http://registry.test/token",service="longshore""#
        );
        let refused = client.post("/v2/a/blobs/uploads/").await.expect(401);
        assert!(refused.header("www-authenticate").contains(r#"scope="repository:a:pull,push""#));
        let push = token(client, "writer", "&scope=repository:a:pull,push").await;
        let at = "/v2/a/blobs/uploads/";
        let digest = Digest::sha256(b"secret");
        let headers = [("authorization", push.as_str())];
        let path = format!("{at}?digest={digest}");
        client.request(Method::POST, &path, &headers, "secret").await.expect(201);
        as_user(client, Some(&push), Method::POST, "/v2/b/blobs/uploads/").await.expect(401);

        // Mounting requires permission to pull from the source. Without it, the registry behaves as
        // if the blob did not exist.
        let absent = Digest::sha256(b"absent");
        let other = token(client, "writer", "&scope=repository:b:pull,push").await;
        for digest in [&digest, &absent] {
            for from in ["&from=a", ""] {
                let path = format!("/v2/b/blobs/uploads/?mount={digest}{from}");
                as_user(client, Some(&other), Method::POST, &path).await.expect(202);
            }
        }
        let scopes = "&scope=repository:b:pull,push&scope=repository:a:pull";
        let both = token(client, "writer", scopes).await;
        let path = format!("/v2/b/blobs/uploads/?mount={digest}&from=a");
        as_user(client, Some(&both), Method::POST, &path).await.expect(201);

        // A reader's token never permits writing, whatever scope was requested.
        let reader = token(client, "reader", "&scope=repository:a:pull,push,delete").await;
        as_user(client, Some(&reader), Method::POST, at).await.expect(401);
        let blob = format!("/v2/a/blobs/{digest}");
        as_user(client, Some(&reader), Method::DELETE, &blob).await.expect(401);
        as_user(client, Some(&reader), Method::GET, &blob).await.expect(200);
        let bad = basic("reader", "wrong");
        as_user(client, Some(&bad), Method::GET, "/token").await.expect(401);
        let image = Manifest::image(&[]);
        client.put_manifest("a", "v1", &image).await.expect(401);
    })
    .await;
}
