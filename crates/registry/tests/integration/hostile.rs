//! Malicious requests. The registry refuses them with an error in the specification's format, and
//! never accesses files outside the root.

use http::Method;
use longshore_core::Digest;
use longshore_registry::Registry;

use crate::durability::blob_file;
use crate::harness::{
    Client, IMAGE, INDEX, Manifest, descriptor, on_each_storage, on_each_storage_with,
};

#[tokio::test]
async fn invalid_paths_are_refused_with_an_error_document() {
    on_each_storage(async |client| {
        let long = "a".repeat(256);
        for path in [
            "/v2/../x/tags/list",
            "/v2/%2e%2e/x/tags/list",
            "/v2/a%2f..%2fb/tags/list",
            "/v2/%252e%252e/tags/list",
            "/v2/%c0%ae/tags/list",
            "/v2/a%00/tags/list",
            "/v2/a%0d%0aX:y/tags/list",
            &format!("/v2/{long}/tags/list"),
            "/v2/UPPER/tags/list",
            "/v2/_uploads/tags/list",
            "/v2/a/blobs/../../../../etc/passwd",
            "/v2/a/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd",
            &format!("/v2/a/manifests/{}", "t".repeat(129)),
        ] {
            for method in [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE] {
                let reply = client.request(method.clone(), path, &[], "").await;
                let status = reply.status.as_u16();
                assert!((400..=405).contains(&status), "{method} {path}: {status}");
                assert!(!reply.headers.contains_key("location"), "{path}");
                assert!(!reply.headers.contains_key("x"), "{path}");
                if method != Method::HEAD {
                    assert!(reply.json()["errors"][0]["code"].is_string(), "{path}");
                }
            }
        }
        for digest in ["sha256:abc", "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709", "md5:x", "x"]
        {
            let got = client.get(&format!("/v2/a/blobs/{digest}")).await;
            got.expect_error(400, "DIGEST_INVALID");
        }
        let image = Manifest::image(&[]);
        let put = client.put_manifest("a", "sha256:baddigeststring", &image).await;
        put.expect_error(400, "DIGEST_INVALID");
    })
    .await;
}

#[tokio::test]
async fn the_refusal_of_a_method_lists_the_allowed_methods() {
    on_each_storage(async |client| {
        let digest = Digest::sha256(b"");
        let upload = client.begin("a").await;
        for path in [
            "/v2/".to_owned(),
            "/v2/_catalog".into(),
            "/v2/a/tags/list".into(),
            "/v2/a/manifests/v1".into(),
            "/v2/a/blobs/uploads/".into(),
            format!("/v2/a/blobs/{digest}"),
            format!("/v2/a/referrers/{digest}"),
            upload.clone(),
        ] {
            for method in ["TRACE", "OPTIONS", "BREW"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let reply = client.request(method, &path, &[], "").await;
                let reply = reply.expect_error(405, "UNSUPPORTED");
                assert!(!reply.header("allow").is_empty());
            }
        }
        client.delete(&upload).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn invalid_manifests_are_refused() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        let image = Manifest::image(&[]);
        let other = Manifest::image(&[b"absent"]);
        let at = |media_type, json: &str| Manifest { media_type, json: json.to_owned() };
        let config = descriptor("application/x", b"{}");
        let wrong_size = config.replace("\"size\":2", "\"size\":3");
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
        let twice =
            format!(r#"{{"schemaVersion":2,"config":{config},"config":{config},"layers":[]}}"#);
        let sized = format!(r#"{{"schemaVersion":2,"config":{wrong_size},"layers":[]}}"#);
        let bad_digest = image.json.replace("sha256:", "sha256:..%2f");
        let version =
            |n| image.json.replace("\"schemaVersion\":2", &format!("\"schemaVersion\":{n}"));
        let inner = image.json.replace("\"size\":2", "\"size\":2,\"size\":2");
        let cased = image.json.replace("\"layers\":[]", "\"layers\":[],\"Layers\":[]");
        for (manifest, status, code) in [
            (at(IMAGE, &version(3)), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &version(1)), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &inner), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &cased), 400, "MANIFEST_INVALID"),
            (at(IMAGE, "not json"), 400, "MANIFEST_INVALID"),
            (at(IMAGE, ""), 400, "MANIFEST_INVALID"),
            (at(IMAGE, "[]"), 400, "MANIFEST_INVALID"),
            (at(IMAGE, "{}"), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &both), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &twice), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &sized), 400, "MANIFEST_INVALID"),
            (at(IMAGE, &bad_digest), 400, "MANIFEST_INVALID"),
            (at(INDEX, &image.json), 400, "MANIFEST_INVALID"),
            (at("text/html", &image.json), 400, "MANIFEST_INVALID"),
            (at("bad type", &image.json), 400, "MANIFEST_INVALID"),
            (other.clone(), 404, "MANIFEST_BLOB_UNKNOWN"),
            (Manifest::index(&[&image]), 404, "MANIFEST_BLOB_UNKNOWN"),
        ] {
            let put = client.put_manifest("a", "v1", &manifest).await;
            put.expect_error(status, code);
        }
        let put = client.put_manifest("a", other.digest().as_str(), &image).await;
        put.expect_error(400, "DIGEST_INVALID");
        client.head("/v2/a/manifests/v1").await.expect(404);
        client.put_manifest("a", "v1", &image).await.expect(201);
    })
    .await;
}

#[tokio::test]
async fn invalid_mounts_digests_and_algorithms_are_refused() {
    on_each_storage(async |client| {
        let digest = Digest::sha256(b"");
        for (query, code) in [
            ("mount=sha256:short".to_owned(), "DIGEST_INVALID"),
            (format!("mount={digest}&from=../x"), "NAME_INVALID"),
            (format!("mount={digest}&mount={digest}"), "DIGEST_INVALID"),
            ("digest-algorithm=md5".into(), "DIGEST_INVALID"),
            ("digest=sha256:short".into(), "DIGEST_INVALID"),
            ("x=%ff".into(), "UNSUPPORTED"),
        ] {
            let posted = client.post(&format!("/v2/a/blobs/uploads/?{query}")).await;
            posted.expect_error(400, code);
        }
    })
    .await;
}

#[tokio::test]
async fn oversized_heads_are_refused() {
    on_each_storage(async |client| {
        let path = format!("/v2/a/tags/list?last={}", "x".repeat(16 << 10));
        client.get(&path).await.expect(414);
        let value = "x".repeat(64 << 10);
        let headers = [("x-large", value.as_str())];
        client.request(Method::GET, "/v2/", &headers, "").await.expect(431);
    })
    .await;
}

#[tokio::test]
async fn manifests_and_blobs_cannot_be_deleted_if_deletes_are_disabled() {
    on_each_storage_with(
        |builder| builder.without_deletes(),
        async |client| {
            let image = client.push_image("a", "v1", b"layer").await;
            for path in [
                "/v2/a/manifests/v1".to_owned(),
                format!("/v2/a/manifests/{}", image.digest()),
                format!("/v2/a/blobs/{}", Digest::sha256(b"layer")),
            ] {
                client.delete(&path).await.expect_error(405, "UNSUPPORTED");
                client.head(&path).await.expect(200);
            }
        },
    )
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn symbolic_links_give_no_access_to_files_outside_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let root = folder.path().join("root");
    let client = Client::new(Registry::builder().disk(&root));
    client.push_image("a", "v1", b"layer").await;
    let digest = Digest::sha256(b"layer");
    let link = root.join("repositories/a/_blobs/sha256").join(digest.encoded());
    for file in [link, blob_file(&root, &digest)] {
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&secret, &file).unwrap();
    }
    client.get(&format!("/v2/a/blobs/{digest}")).await.expect(404);
    client.push_blob("a", b"layer").await;
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    let got = client.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!(got.expect(200).body, "layer");
}
