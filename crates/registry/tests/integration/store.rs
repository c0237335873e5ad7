//! The registry's repositories as stores, used through the traits of longshore-core without HTTP.

use std::sync::Arc;

use bytes::Bytes;
use longshore_core::{
    BlobBody, Delete, Descriptor, ErrorKind, MediaType, Node, Presence, RawManifest,
    RepositoryName, Source as _, Tag, Target as _,
};
use longshore_registry::{
    DiskStorage, MemoryStorage, ObjectStorage, Repositories, Repository, Storage,
};
use longshore_testkit::delete_suite;
use longshore_testkit::suite::Fresh;
use object_store::memory::InMemory;

use crate::harness::{Client, Manifest, local_objects, on_each_storage};

fn fresh(storage: impl Storage + 'static, keep: impl std::any::Any) -> Fresh<dyn Delete> {
    let name = RepositoryName::parse("a/b").unwrap();
    Fresh::keeping(Repositories::new(Arc::new(storage)).repository(&name), keep)
}

delete_suite!(memory, async || fresh(MemoryStorage::new(), ()));

delete_suite!(disk, async || {
    let folder = tempfile::tempdir().unwrap();
    fresh(DiskStorage::open(folder.path()).unwrap(), folder)
});

delete_suite!(objects_in_memory, async || fresh(ObjectStorage::new(InMemory::new()), ()));

delete_suite!(objects_in_files, async || {
    let folder = tempfile::tempdir().unwrap();
    fresh(local_objects(folder.path()), folder)
});

fn repository(client: &Client, name: &str) -> Repository {
    let name = RepositoryName::parse(name).unwrap();
    client.registry.repositories().repository(&name)
}

#[tokio::test]
async fn content_pushed_through_the_traits_is_served_over_http() {
    on_each_storage(async |client| {
        let store = repository(client, "a/b");
        assert!(!store.exists().await.unwrap());
        for content in [&b"{}"[..], b"layer"] {
            let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, content);
            let node = Node::Blob(&descriptor);
            assert_eq!(store.holds(node).await.unwrap(), Presence::Absent);
            let body = BlobBody::from(Bytes::from_static(content));
            store.push_blob(&descriptor, body).await.unwrap();
            assert_eq!(store.holds(node).await.unwrap(), Presence::Partial);
            let reader = store.blob(&descriptor).await.unwrap();
            assert_eq!(reader.bytes(100).await.unwrap(), content);
        }
        let image = Manifest::image(&[b"layer"]);
        let manifest = RawManifest::from_bytes(Bytes::from(image.json.clone()), None).unwrap();
        let v1 = Tag::parse("v1").unwrap();
        store.push_manifest(&manifest, Some(&v1)).await.unwrap();
        let got = client.get("/v2/a/b/manifests/v1").await.expect(200);
        assert_eq!(got.body, image.json);
        assert_eq!(store.tags(None).all().await.unwrap(), std::slice::from_ref(&v1));
        assert_eq!(store.resolve(&v1.clone().into()).await.unwrap(), *manifest.descriptor());
        store.delete_tag(&v1).await.unwrap();
        let gone = store.resolve(&v1.into()).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
    })
    .await;
}

#[tokio::test]
async fn a_blob_with_wrong_content_is_refused_and_its_upload_is_removed() {
    on_each_storage(async |client| {
        let store = repository(client, "a");
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"right");
        let body = BlobBody::from(Bytes::from_static(b"wrong"));
        let e = store.push_blob(&descriptor, body).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
        assert_eq!(store.blob_size(&descriptor.digest).await.unwrap(), None);
        let e = store.blob(&descriptor).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NotFound);
        assert_eq!(client.registry.expire_uploads().await.unwrap(), 0);
    })
    .await;
}
