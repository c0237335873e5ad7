//! A limit on all that a registry holds.

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

/// The bytes of all files below a folder, each once; the records of uploads are left out.
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

/// Every way in which content comes and goes; after each, what is counted is what is there.
#[cfg(unix)]
#[tokio::test]
async fn on_disk_the_count_is_what_the_files_have_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Client::new(limited(u64::MAX)(Registry::builder()).disk(folder.path()));
    let mut client = open();
    let check = |client: &Client, what: &str| {
        assert_eq!(stored(client), on_disk(folder.path()), "{what}");
    };
    // The tag is called like the record of an upload.
    let image = client.push_image("a", "v1.session", b"layer one").await;
    check(&client, "an image");
    client.push_image("a", "v1", b"layer one").await;
    client.push_image("b", "v1", b"layer one").await;
    check(&client, "the same again, and elsewhere");
    let layer = Digest::sha256(b"layer one");
    client.post(&format!("/v2/c/blobs/uploads/?mount={layer}&from=a")).await.expect(201);
    check(&client, "a mount");
    client.push_image("a", "v1", b"another layer").await;
    check(&client, "a tag that moves");
    let subject = format!(r#","subject":{}"#, image.descriptor());
    let signature = Manifest::image_with(&[b"layer one"], &subject);
    client.put_manifest("a", "signature", &signature).await.expect(201);
    check(&client, "a referrer");

    let upload = client.begin("a").await;
    client.request(Method::PATCH, &upload, &[], "to be gone on with").await.expect(202);
    let given_up = client.begin("a").await;
    client.request(Method::PATCH, &given_up, &[], "to be canceled").await.expect(202);
    check(&client, "uploads");
    drop(client);
    client = open();
    check(&client, "a restart");
    client.delete(&given_up).await.expect(204);
    check(&client, "an upload given up");
    let whole = Digest::sha256(b"to be gone on with, and here is the rest");
    client.put(&upload, &whole, ", and here is the rest").await.expect(201);
    check(&client, "an upload that went on");
    let wrong = client.begin("a").await;
    client.put(&wrong, &layer, "other content").await.expect(400);
    check(&client, "content that is not what its digest says");

    for (name, gone) in [("a", false), ("b", false), ("c", true)] {
        let before = stored(&client);
        client.delete(&format!("/v2/{name}/blobs/{layer}")).await.expect(202);
        check(&client, "a blob that others may have");
        assert_eq!(before - stored(&client), if gone { 9 } else { 0 }, "{name}");
    }
    for selector in ["signature".to_owned(), signature.digest().to_string()] {
        client.delete(&format!("/v2/a/manifests/{selector}")).await.expect(202);
        check(&client, "a tag, then its manifest with what lists it");
    }
    // A damaged file is replaced.
    let path = blob_file(folder.path(), &whole);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "damaged").unwrap();
    drop(client);
    client = open();
    client.push_blob("a", b"to be gone on with, and here is the rest").await;
    check(&client, "a blob that heals");
    drop(client);
    check(&open(), "the last restart");
}

#[tokio::test]
async fn in_memory_a_blob_counts_once_for_all_that_have_it() {
    let client = Client::new(Registry::builder().memory());
    let image = client.push_image("a", "v1", b"layer").await;
    // The config `{}`, the layer, the manifest with its media type, and a digest for the tag.
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
    assert_eq!(stored(&client), 7 + manifest, "the other one has it");
    client.push_blob("b", b"layer").await;
    assert_eq!(stored(&client), 7 + manifest, "in the place of the same");
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
async fn what_does_not_fit_is_refused_in_every_form_and_leaves_nothing() {
    on_each_storage_with(limited(1_000), async |client| {
        client.push_blob("a", &[0; 700]).await;
        let (before, content) = (stored(client), vec![1; 400]);
        let digest = Digest::sha256(&content);
        let full = "the registry is full: it may hold 1000 bytes";

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
        // Of a length that is not told.
        let pieces =
            (0..4).map(|_| Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![1; 100]))));
        let body = StreamBody::new(stream::iter(pieces.collect::<Vec<_>>()));
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
        assert_eq!(stored(client), before, "no entry among referrers either");
        let tags = client.get("/v2/a/tags/list").await.expect(200);
        assert_eq!(tags.json()["tags"], serde_json::json!([]));

        // There is room again.
        client.delete(&format!("/v2/a/blobs/{}", Digest::sha256(&[0; 700]))).await.expect(202);
        client.push_blob("a", &content).await;
    })
    .await;
}

#[tokio::test]
async fn a_limit_counts_what_a_storage_has_already() {
    let storage = Arc::new(MemoryStorage::new());
    let builder = || Registry::builder().storage(Arc::clone(&storage) as _);
    let client = Client::new(builder());
    assert_eq!(client.registry.repositories().usage().stored, None, "nobody asked");
    client.push_blob("a", &[0; 700]).await;
    let client = Client::new(limited(1_000)(builder()));
    assert_eq!(stored(&client), 700);
    let upload = client.begin("a").await;
    let content = vec![1; 400];
    let digest = Digest::sha256(&content);
    client.put(&upload, &digest, content).await.expect_error(413, "DENIED");
}

#[tokio::test]
async fn of_an_upload_that_breaks_off_only_what_came_counts() {
    on_each_storage_with(limited(1_000), async |client| {
        let upload = client.begin("a").await;
        let pieces = [Ok(Frame::data(Bytes::from_static(b"123"))), Err("gone")];
        let body = StreamBody::new(stream::iter(pieces));
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
async fn uploads_at_the_same_time_never_go_beyond_the_limit() {
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
