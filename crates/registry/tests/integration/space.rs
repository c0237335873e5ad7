//! The limit on the total size of a registry.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream;
use http::{Method, Request};
use http_body::Frame;
use http_body_util::StreamBody;
use longshore_core::Digest;
use longshore_registry::{MemoryStorage, Registry, RegistryBuilder, RegistryLimits};

use crate::durability::blob_file;
use crate::harness::{Client, Manifest, descriptor, on_each_storage_with};

fn limited(bytes: u64) -> impl Fn(RegistryBuilder) -> RegistryBuilder {
    move |builder| {
        let mut limits = RegistryLimits::default();
        limits.total_size = Some(bytes);
        builder.limits(limits)
    }
}

fn stored(client: &Client) -> u64 {
    client.registry.repositories().usage().stored.unwrap()
}

/// Returns the total size of all files below a folder, each counted once, without the records of
/// uploads.
#[cfg(unix)]
fn on_disk(folder: &std::path::Path) -> u64 {
    use std::collections::HashMap;
    use std::path::Path;
    fn is_record(path: &Path) -> bool {
        path.to_str().unwrap().ends_with(".session")
    }
    fn add(folder: &Path, sizes: &mut HashMap<u64, u64>) {
        use std::os::unix::fs::MetadataExt as _;
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                add(&entry.path(), sizes);
            } else if !(folder.ends_with("uploads") && is_record(&entry.path())) {
                sizes.insert(metadata.ino(), metadata.len());
            }
        }
    }
    let mut sizes = HashMap::new();
    add(folder, &mut sizes);
    sizes.values().sum()
}

/// Adds and removes content in different ways. After each step, the count must match the files.
#[cfg(unix)]
#[tokio::test]
async fn the_count_matches_the_files_on_disk_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Client::new(limited(u64::MAX)(Registry::builder()).disk(folder.path()));
    let mut client = open();
    let check = |client: &Client, what: &str| {
        assert_eq!(stored(client), on_disk(folder.path()), "{what}");
    };
    // The name of this tag ends like that of an upload's record.
    let image = client.push_image("a", "v1.session", b"layer one").await;
    check(&client, "an image");
    client.push_image("a", "v1", b"layer one").await;
    client.push_image("b", "v1", b"layer one").await;
    check(&client, "the same image again, also in another repository");
    let layer = Digest::sha256(b"layer one");
    client.post(&format!("/v2/c/blobs/uploads/?mount={layer}&from=a")).await.expect(201);
    check(&client, "a mount");
    client.push_image("a", "v1", b"another layer").await;
    check(&client, "a moved tag");
    let subject = format!(r#","subject":{}"#, image.descriptor());
    let signature = Manifest::image_with(&[b"layer one"], &subject);
    client.put_manifest("a", "signature", &signature).await.expect(201);
    check(&client, "a referrer");

    let upload = client.begin("a").await;
    client.request(Method::PATCH, &upload, &[], "to be continued").await.expect(202);
    let canceled = client.begin("a").await;
    client.request(Method::PATCH, &canceled, &[], "to be canceled").await.expect(202);
    check(&client, "uploads");
    drop(client);
    client = open();
    check(&client, "a restart");
    client.delete(&canceled).await.expect(204);
    check(&client, "a canceled upload");
    let whole = Digest::sha256(b"to be continued, and here is the rest");
    client.put(&upload, &whole, ", and here is the rest").await.expect(201);
    check(&client, "a continued upload");
    let wrong = client.begin("a").await;
    client.put(&wrong, &layer, "other content").await.expect(400);
    check(&client, "content that does not match its digest");

    for (name, is_removed) in [("a", false), ("b", false), ("c", true)] {
        let before = stored(&client);
        client.delete(&format!("/v2/{name}/blobs/{layer}")).await.expect(202);
        check(&client, "a deleted blob, which other repositories may have");
        assert_eq!(before - stored(&client), if is_removed { 9 } else { 0 }, "{name}");
    }
    for selector in ["signature".to_owned(), signature.digest().to_string()] {
        client.delete(&format!("/v2/a/manifests/{selector}")).await.expect(202);
        check(&client, "a deleted tag, and then its deleted manifest");
    }
    // Pushing a blob replaces its damaged file.
    let path = blob_file(folder.path(), &whole);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "damaged").unwrap();
    drop(client);
    client = open();
    client.push_blob("a", b"to be continued, and here is the rest").await;
    check(&client, "a repaired blob");
    drop(client);
    check(&open(), "the last restart");
}

#[tokio::test]
async fn a_blob_in_memory_counts_once_for_all_repositories() {
    let client = Client::new(Registry::builder().memory());
    let image = client.push_image("a", "v1", b"layer").await;
    // The count includes the config `{}`, the layer, the manifest with its media type, and a digest
    // for the tag.
    let (manifest, tag) = (image.json.len() as u64 + 43, 72);
    assert_eq!(stored(&client), 2 + 5 + manifest + tag);
    client.put_manifest("a", "v1", &image).await.expect(201);
    assert_eq!(stored(&client), 7 + manifest + tag, "the same tag");
    client.put_manifest("a", "v2", &image).await.expect(201);
    assert_eq!(stored(&client), 7 + manifest + 2 * tag, "another tag");
    client.delete("/v2/a/manifests/v1").await.expect(202);
    client.delete("/v2/a/manifests/v2").await.expect(202);
    let layer = Digest::sha256(b"layer");
    client.post(&format!("/v2/b/blobs/uploads/?mount={layer}&from=a")).await.expect(201);
    assert_eq!(stored(&client), 7 + manifest, "mounted");
    client.delete(&format!("/v2/a/blobs/{layer}")).await.expect(202);
    assert_eq!(stored(&client), 7 + manifest, "another repository still has the blob");
    client.push_blob("b", b"layer").await;
    assert_eq!(stored(&client), 7 + manifest, "replaced by the same content");
    client.delete(&format!("/v2/b/blobs/{layer}")).await.expect(202);
    assert_eq!(stored(&client), 2 + manifest);
    client.delete(&format!("/v2/a/manifests/{}", image.digest())).await.expect(202);
    assert_eq!(stored(&client), 2);
    let upload = client.begin("a").await;
    client.request(Method::PATCH, &upload, &[], "bytes").await.expect(202);
    assert_eq!(stored(&client), 7);
    client.delete(&upload).await.expect(204);
    assert_eq!(stored(&client), 2);
}

#[tokio::test]
async fn content_beyond_the_limit_is_refused_and_takes_no_space() {
    on_each_storage_with(limited(1_000), async |client| {
        client.push_blob("a", &[0; 700]).await;
        let (before, content) = (stored(client), vec![1; 400]);
        let digest = Digest::sha256(&content);
        let full = "the registry is full; its limit is 1000 bytes";

        let path = format!("/v2/a/blobs/uploads/?digest={digest}");
        let whole = client.request(Method::POST, &path, &[], content.clone()).await;
        let whole = whole.expect_error(413, "DENIED");
        assert_eq!(whole.json()["errors"][0]["message"], full);
        let upload = client.begin("a").await;
        client.put(&upload, &digest, content.clone()).await.expect_error(413, "DENIED");
        client.get(&upload).await.expect(404);
        let upload = client.begin("a").await;
        client.request(Method::PATCH, &upload, &[], vec![1; 200]).await.expect(202);
        assert_eq!(stored(client), before + 200);
        let more = client.request(Method::PATCH, &upload, &[], vec![1; 200]).await;
        more.expect_error(413, "DENIED");
        client.get(&upload).await.expect(404);
        // Send the same body without a declared length.
        let chunks =
            (0..4).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![1; 100]))));
        let body = StreamBody::new(stream::iter(chunks.collect::<Vec<_>>()));
        let request = Request::builder().method(Method::POST).uri(&path).body(body).unwrap();
        client.send(request).await.expect_error(413, "DENIED");
        assert_eq!(stored(client), before);
        client.head(&format!("/v2/a/blobs/{digest}")).await.expect(404);

        client.push_blob("a", b"{}").await;
        let before = stored(client);
        let large = Manifest::image_with(&[], &format!(r#","k":"{}""#, "v".repeat(400)));
        client.put_manifest("a", "large", &large).await.expect_error(413, "DENIED");
        let subject = format!(r#","subject":{}"#, descriptor(large.media_type, b"absent"));
        let referrer =
            Manifest::image_with(&[], &format!(r#"{subject},"k":"{}""#, "v".repeat(200)));
        client.put_manifest("a", "referrer", &referrer).await.expect_error(413, "DENIED");
        assert_eq!(stored(client), before, "a refused referrer takes no space");
        let tags = client.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(tags.json()["tags"], serde_json::json!([]));

        // Deleting content frees space.
        client.delete(&format!("/v2/a/blobs/{}", Digest::sha256(&[0; 700]))).await.expect(202);
        client.push_blob("a", &content).await;
    })
    .await;
}

#[tokio::test]
async fn a_limit_includes_existing_content() {
    let storage = Arc::new(MemoryStorage::new());
    let builder = || Registry::builder().storage(Arc::clone(&storage) as _);
    let client = Client::new(builder());
    assert_eq!(client.registry.repositories().usage().stored, None, "not counted");
    client.push_blob("a", &[0; 700]).await;
    let client = Client::new(limited(1_000)(builder()));
    assert_eq!(stored(&client), 700);
    let upload = client.begin("a").await;
    let content = vec![1; 400];
    let digest = Digest::sha256(&content);
    client.put(&upload, &digest, content).await.expect_error(413, "DENIED");
}

#[tokio::test]
async fn only_the_received_bytes_of_an_interrupted_upload_count() {
    on_each_storage_with(limited(1_000), async |client| {
        let upload = client.begin("a").await;
        let chunks = [Ok(Frame::data(Bytes::from_static(b"123"))), Err("gone")];
        let body = StreamBody::new(stream::iter(chunks));
        let request = Request::builder().method(Method::PATCH).uri(&upload);
        let request = request.header("content-range", "0-899").header("content-length", 900);
        client.send(request.body(body).unwrap()).await.expect_error(400, "BLOB_UPLOAD_INVALID");
        assert_eq!(stored(client), 3);
        let rest = client.request(Method::PATCH, &upload, &[], vec![0; 997]).await;
        rest.expect(202);
        assert_eq!(stored(client), 1_000);
        client.delete(&upload).await.expect(204);
        assert_eq!(stored(client), 0);
    })
    .await;
}

#[tokio::test]
async fn concurrent_uploads_never_exceed_the_limit() {
    on_each_storage_with(limited(55_000), async |client| {
        let push = async |content: Vec<u8>| {
            let path = format!("/v2/a/blobs/uploads/?digest={}", Digest::sha256(&content));
            client.request(Method::POST, &path, &[], content).await.status.as_u16()
        };
        let pushes = (0..10).map(|n| push(vec![n; 10_000]));
        let statuses = join_all(pushes).await;
        assert!(stored(client) <= 55_000);
        let count = |status| statuses.iter().filter(|s| **s == status).count();
        assert_eq!((count(201), count(413)), (5, 5), "{statuses:?}");
        assert_eq!(stored(client), 50_000);
    })
    .await;
}
