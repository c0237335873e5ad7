//! Registries that are configured to accept less or more than by default.

use http::Method;
use longshore_core::Digest;
use longshore_registry::{RegistryBuilder, RegistryLimits};

use crate::harness::{Manifest, on_each_storage, on_each_storage_with};

#[tokio::test]
async fn a_read_only_registry_refuses_all_writes() {
    let folder = tempfile::tempdir().unwrap();
    let builder = || longshore_registry::Registry::builder().disk(folder.path());
    let (image, upload) = {
        let client = crate::harness::Client::new(builder());
        (client.push_image("a", "v1", b"layer").await, client.begin("a").await)
    };
    let client = crate::harness::Client::new(builder().read_only());
    let (layer, fresh) = (Digest::sha256(b"layer"), Digest::sha256(b"fresh"));
    let manifest = format!("/v2/a/manifests/{}", image.digest());
    for (method, path) in [
        (Method::POST, "/v2/a/blobs/uploads/".to_owned()),
        (Method::POST, format!("/v2/a/blobs/uploads/?digest={fresh}")),
        (Method::POST, format!("/v2/b/blobs/uploads/?mount={layer}&from=a")),
        (Method::PATCH, upload.clone()),
        (Method::PUT, format!("{upload}?digest={fresh}")),
        (Method::GET, upload.clone()),
        (Method::DELETE, upload),
        (Method::PUT, "/v2/a/manifests/v2".into()),
        (Method::PUT, manifest.clone()),
        (Method::DELETE, "/v2/a/manifests/v1".into()),
        (Method::DELETE, manifest.clone()),
        (Method::DELETE, format!("/v2/a/blobs/{layer}")),
    ] {
        let reply = client.request(method.clone(), &path, &[], "fresh").await;
        let reply = reply.expect_error(405, "UNSUPPORTED");
        assert_eq!(reply.header("allow"), "GET, HEAD", "{method} {path}");
    }
    client.get(&manifest).await.expect(200);
    client.get(&format!("/v2/a/blobs/{layer}")).await.expect(200);
    assert_eq!(client.get("/v2/a/tags/list").await.json()["tags"], serde_json::json!(["v1"]));
    client.get("/v2/b/tags/list").await.expect(404);
    client.head(&format!("/v2/a/blobs/{fresh}")).await.expect(404);
}

#[tokio::test]
async fn content_referenced_by_a_manifest_may_be_missing_if_allowed() {
    let (present, absent) = (Manifest::image(&[b"present"]), Manifest::image(&[b"absent"]));
    let sparse = Manifest::index(&[&present, &absent]);
    on_each_storage(async |client| {
        client.push_image("a", "present", b"present").await;
        let refused = client.put_manifest("a", "sparse", &sparse).await;
        refused.expect_error(404, "MANIFEST_BLOB_UNKNOWN");
    })
    .await;
    on_each_storage_with(RegistryBuilder::allow_missing, async |client| {
        client.push_image("a", "present", b"present").await;
        client.put_manifest("a", "sparse", &sparse).await.expect(201);
        client.put_manifest("a", "absent", &Manifest::image(&[b"other"])).await.expect(201);
        assert_eq!(client.get("/v2/a/manifests/sparse").await.body, sparse.json.as_bytes());
        client.get(&format!("/v2/a/manifests/{}", absent.digest())).await.expect(404);
        // Existing content must still match its descriptor.
        let wrong = sparse.json.replace(
            &format!(r#""size":{}"#, present.json.len()),
            &format!(r#""size":{}"#, present.json.len() + 1),
        );
        let wrong = Manifest { json: wrong, ..sparse.clone() };
        client.put_manifest("a", "wrong", &wrong).await.expect_error(400, "MANIFEST_INVALID");
    })
    .await;
}

#[tokio::test]
async fn a_blob_above_the_size_limit_is_refused_and_its_upload_is_removed() {
    let mut limits = RegistryLimits::default();
    limits.blob_size = 10;
    on_each_storage_with(
        |builder| builder.limits(limits.clone()),
        async |client| {
            client.push_blob("a", b"ten bytes!").await;
            let eleven = Digest::sha256(b"eleven bytes");
            let path = format!("/v2/a/blobs/uploads/?digest={eleven}");
            let whole = client.request(Method::POST, &path, &[], "eleven bytes").await;
            whole.expect_error(413, "SIZE_INVALID");
            let upload = client.begin("a").await;
            let put = client.put(&upload, &eleven, "eleven bytes").await;
            put.expect_error(413, "SIZE_INVALID");
            client.get(&upload).await.expect(404);
            let upload = client.begin("a").await;
            client.request(Method::PATCH, &upload, &[], "eleven").await.expect(202);
            let more = client.request(Method::PATCH, &upload, &[], " bytes").await;
            more.expect_error(413, "SIZE_INVALID");
            client.get(&upload).await.expect(404);
            client.head(&format!("/v2/a/blobs/{eleven}")).await.expect(404);
        },
    )
    .await;
}
