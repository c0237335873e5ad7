//! Features that only object stores have: multipart uploads, and URLs for clients.

use std::sync::Arc;

use longshore_core::{Digest, ErrorKind};
use longshore_registry::{ObjectStorage, Registry, RegistryLimits};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;

use crate::conformance::chunk_to;
use crate::harness::{Client, local_objects};

fn client(storage: &ObjectStorage) -> Client {
    Client::new(Registry::builder().storage(Arc::new(storage.clone())))
}

/// Sends chunks whose sizes differ from those of the parts, and restarts the registry between
/// chunks. Some chunks are refused.
#[tokio::test]
async fn an_upload_in_parts_continues_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let memory = Arc::new(InMemory::new());
    let in_memory = ObjectStorage::with_parts(Arc::clone(&memory) as _, Arc::clone(&memory) as _);
    for storage in [in_memory, local_objects(folder.path())] {
        let content: Vec<u8> = (0..20_u32 << 20).map(|i| (i % 251) as u8).collect();
        let digest = Digest::sha256(&content);
        let first = client(&storage);
        let location = first.begin("a").await;
        let chunk = async |client: &Client, start: usize, end: usize| {
            let range = format!("{start}-{}", end - 1);
            chunk_to(client, &location, &range, content[start..end].to_vec()).await
        };
        chunk(&first, 0, 5 << 20).await.expect(202);
        chunk(&client(&storage), 5 << 20, 17 << 20).await.expect(202);
        let second = client(&storage);
        chunk(&second, 0, 9).await.expect(416);
        let path = format!("{location}?digest={digest}");
        let short = [("content-range", "17825792-17825999")];
        let refused = second.request(http::Method::PUT, &path, &short, "short").await;
        refused.expect_error(400, "SIZE_INVALID");
        chunk(&second, 17 << 20, 18 << 20).await.expect(202);
        let rest = content[18 << 20..].to_vec();
        client(&storage).put(&location, &digest, rest).await.expect(201);
        let got = client(&storage).get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
        assert!(got.body == content);
    }
    let left = memory.list_with_delimiter(Some(&Path::from("uploads"))).await.unwrap();
    assert_eq!(left.objects.len(), 0, "{left:?}");
}

/// Completes an upload with another digest algorithm than at its start, so that the registry must
/// read the parts again.
#[tokio::test]
async fn parts_are_verified_with_an_algorithm_given_at_the_end() {
    let storage = ObjectStorage::new(InMemory::new());
    let client = client(&storage);
    let content = vec![7; 9 << 20];
    let digest = longshore_core::Algorithm::Sha512.digest(&content);
    for (last, status) in [("", 201), ("x", 400)] {
        let location = client.begin("a").await;
        chunk_to(&client, &location, "0-9437183", content.clone()).await.expect(202);
        client.put(&location, &digest, last).await.expect(status);
    }
    let got = client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200);
    assert!(got.body == content);
}

#[tokio::test]
async fn downloads_of_blobs_are_redirected_if_the_store_has_urls() {
    let sign = async |path: Path| Ok(format!("https://store.test/{path}?signature=x"));
    let storage = ObjectStorage::new(InMemory::new()).with_urls(sign);
    let client = client(&storage);
    let image = client.push_image("a", "v1", b"layer").await;
    let digest = Digest::sha256(b"layer");
    let blob = format!("/v2/a/blobs/{digest}");
    let host = [("host", "registry.test:5000")];
    let got = client.request(http::Method::GET, &blob, &host, "").await.expect(307);
    let hex = digest.encoded();
    let url = format!("https://store.test/blobs/sha256/{hex}?signature=x");
    assert_eq!(got.location(), url);
    assert_eq!(got.header("docker-content-digest"), digest.as_str());
    // The registry itself answers all other requests.
    assert_eq!(client.head(&blob).await.expect(200).header("content-length"), "5");
    assert_eq!(client.get("/v2/a/manifests/v1").await.expect(200).body, image.json);
    client.get(&format!("/v2/b/blobs/{digest}")).await.expect(404);
}

#[test]
fn a_storage_that_does_not_report_its_size_cannot_be_limited() {
    let mut limits = RegistryLimits::default();
    limits.total_size = Some(1_000);
    let storage = Arc::new(ObjectStorage::new(InMemory::new()));
    let e = Registry::builder().storage(storage).limits(limits).build().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
}
