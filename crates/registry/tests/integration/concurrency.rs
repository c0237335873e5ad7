//! Concurrent requests of many clients.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use http::Method;
use longshore_core::Digest;

use crate::conformance::chunk_to;
use crate::harness::{Manifest, on_each_storage};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_pushes_of_one_blob_to_several_repositories_succeed() {
    on_each_storage(async |client| {
        let content: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 253) as u8).collect();
        let pushes = (0..64).map(|i| {
            let (client, content) = (client.clone(), content.clone());
            tokio::spawn(async move { client.push_blob(&format!("r{}", i % 4), &content).await })
        });
        let digest = Digest::sha256(&content);
        for pushed in future::join_all(pushes).await {
            assert_eq!(pushed.unwrap(), digest);
        }
        for i in 0..4 {
            let got = client.get(&format!("/v2/r{i}/blobs/{digest}")).await;
            assert_eq!(got.expect(200).body, content);
        }
    })
    .await;
}

#[tokio::test]
async fn a_second_change_to_a_busy_upload_is_refused() {
    on_each_storage(async |client| {
        let location = client.begin("a").await;
        // The first request sends a chunk, then waits until the second one was refused.
        let (resume, resumed) = tokio::sync::oneshot::channel::<()>();
        let first = stream::iter([Bytes::from_static(b"01234")]).chain(stream::once(async {
            resumed.await.unwrap();
            Bytes::from_static(b"56789")
        }));
        let frames = first.map(|chunk| Ok::<_, std::io::Error>(http_body::Frame::data(chunk)));
        let body = http_body_util::StreamBody::new(frames);
        let request = http::Request::patch(&location).body(body).unwrap();
        let busy = client.clone();
        let first = tokio::spawn(async move { busy.send(request).await });
        let mut refused = chunk_to(client, &location, "9-9", b"x".to_vec()).await;
        // Until the first request has begun, the second is refused only because of its offset.
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            refused = chunk_to(client, &location, "9-9", b"x".to_vec()).await;
            if String::from_utf8_lossy(&refused.body).contains("another request") {
                break;
            }
        }
        let refused = refused.expect_error(416, "BLOB_UPLOAD_INVALID");
        assert!(refused.json()["errors"][0]["message"].as_str().unwrap().contains("another"));
        let digest = Digest::sha256(b"0123456789");
        client.put(&location, &digest, "").await.expect(416);
        client.delete(&location).await.expect(416);
        client.get(&location).await.expect(204);
        resume.send(()).unwrap();
        first.await.unwrap().expect(202);
        client.put(&location, &digest, "").await.expect(201);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writes_lose_no_tags() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        let image = Manifest::image(&[]);
        let puts = (0..64).map(|i| {
            let (client, image) = (client.clone(), image.clone());
            tokio::spawn(async move {
                let more = format!(r#","annotations":{{"i":"{i}"}}"#);
                let other = Manifest::image_with(&[], &more);
                client.put_manifest("a", "shared", &other).await.expect(201);
                client.put_manifest("a", &format!("t{i:02}"), &image).await.expect(201);
                let path = "/v2/a/tags/list";
                let tags = client.request(Method::GET, path, &[], "").await.expect(200);
                let own = format!("t{i:02}");
                assert!(tags.json()["tags"].as_array().unwrap().contains(&own.into()));
            })
        });
        for put in future::join_all(puts).await {
            put.unwrap();
        }
        let tags = client.get("/v2/a/tags/list").await;
        assert_eq!(tags.json()["tags"].as_array().unwrap().len(), 65);
        let shared = client.get("/v2/a/manifests/shared").await.expect(200);
        assert_eq!(shared.header("docker-content-digest"), Digest::sha256(&shared.body).as_str());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tag_never_outlives_its_manifest() {
    on_each_storage(async |client| {
        client.push_blob("a", b"{}").await;
        let image = Manifest::image(&[]);
        let by_digest = format!("/v2/a/manifests/{}", image.digest());
        for _ in 0..32 {
            let (pusher, pushed) = (client.clone(), image.clone());
            let push = tokio::spawn(async move { pusher.put_manifest("a", "v", &pushed).await });
            let (deleter, path) = (client.clone(), by_digest.clone());
            let delete = tokio::spawn(async move { deleter.delete(&path).await });
            push.await.unwrap().expect(201);
            delete.await.unwrap();
            let tags = client.get("/v2/a/tags/list").await.expect(200);
            let is_tagged = tags.json()["tags"] == serde_json::json!(["v"]);
            let found = client.get("/v2/a/manifests/v").await;
            assert_eq!(is_tagged, found.status == 200, "{tags:?}");
        }
    })
    .await;
}
