//! The content of a folder after a restart of the registry, or after another program has changed
//! its files.

use std::path::{Path, PathBuf};

use longshore_core::{Digest, ErrorKind};
use longshore_registry::{DiskStorage, Registry};

use crate::conformance::chunk_to;
use crate::harness::{Client, Manifest};

fn open(root: &Path) -> Client {
    Client::new(Registry::builder().disk(root))
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Returns the path of a blob's file.
pub(crate) fn blob_file(root: &Path, digest: &Digest) -> PathBuf {
    root.join("blobs/sha256").join(digest.encoded())
}

#[tokio::test]
async fn all_content_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let image = client.push_image("a/b", "v1", b"layer").await;
    let more = format!(r#","subject":{}"#, image.descriptor());
    let referrer = Manifest::image_with(&[], &more);
    client.put_manifest("a/b", "signature", &referrer).await.expect(201);
    drop(client);

    let client = open(folder.path());
    let got = client.get("/v2/a/b/manifests/v1").await.expect(200);
    assert_eq!(got.body, image.json);
    let blob = format!("/v2/a/b/blobs/{}", Digest::sha256(b"layer"));
    assert_eq!(client.get(&blob).await.expect(200).body, "layer");
    let listed = client.get(&format!("/v2/a/b/referrers/{}", image.digest())).await;
    assert_eq!(listed.json()["manifests"].as_array().unwrap().len(), 1);
    let tags = client.get("/v2/a/b/tags/list").await;
    assert_eq!(tags.json()["tags"], serde_json::json!(["signature", "v1"]));
    let names = client.get("/v2/_catalog").await;
    assert_eq!(names.json()["repositories"], serde_json::json!(["a/b"]));
}

#[tokio::test]
async fn an_upload_continues_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let location = client.begin("a").await;
    let unused = client.begin("a").await;
    chunk_to(&client, &location, "0-4", b"01234".to_vec()).await.expect(202);
    drop(client);

    let uploads = folder.path().join("uploads");
    assert_eq!(files(&uploads).len(), 2);
    // Files that a killed process may leave behind. An upload can continue only if both its file
    // and its session exist.
    std::fs::write(uploads.join("0123456789abcdef0123456789abcdef"), "stray").unwrap();
    std::fs::write(uploads.join(".tmpAbCdEf"), "stray").unwrap();
    std::fs::write(uploads.join("00000000000000000000000000000000.session"), "sha256 a\n").unwrap();

    let client = open(folder.path());
    assert_eq!(files(&uploads).len(), 2);
    assert_eq!(client.get(&location).await.expect(204).header("range"), "0-4");
    client.get(&unused).await.expect_error(404, "BLOB_UPLOAD_UNKNOWN");
    chunk_to(&client, &location, "5-6", b"56".to_vec()).await.expect(202);
    drop(client);

    let client = open(folder.path());
    let digest = Digest::sha256(b"0123456789");
    client.put(&location, &digest, "789").await.expect(201);
    assert!(files(&uploads).is_empty());
    let got = client.get(&format!("/v2/a/blobs/{digest}")).await;
    assert_eq!(got.expect(200).body, "0123456789");
}

/// Earlier versions stored blobs in subfolders, and the link in a repository was a hard link to the
/// blob.
#[tokio::test]
async fn a_folder_of_an_earlier_version_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let image = client.push_image("a/b", "v1", b"layer").await;
    drop(client);
    let digest = Digest::sha256(b"layer");
    let (blob, blobs) = (blob_file(folder.path(), &digest), folder.path().join("blobs/sha256"));
    let link = folder.path().join("repositories/a/b/_blobs/sha256").join(digest.encoded());
    let earlier = blobs.join(&digest.encoded()[..2]);
    std::fs::create_dir(&earlier).unwrap();
    std::fs::remove_file(&link).unwrap();
    std::fs::hard_link(&blob, &link).unwrap();
    std::fs::rename(&blob, earlier.join(digest.encoded())).unwrap();

    for _ in 0..2 {
        let client = open(folder.path());
        let got = client.get(&format!("/v2/a/b/blobs/{digest}")).await.expect(200);
        assert_eq!(got.body, "layer");
        assert_eq!(client.get("/v2/a/b/manifests/v1").await.expect(200).body, image.json);
        assert!(!earlier.exists());
    }
    let client = open(folder.path());
    client.delete(&format!("/v2/a/b/blobs/{digest}")).await.expect(202);
    assert!(!blob.exists() && !link.exists());
}

#[tokio::test]
async fn an_upload_keeps_its_size_if_the_record_of_its_session_cannot_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let location = client.begin("a").await;
    chunk_to(&client, &location, "0-4", b"01234".to_vec()).await.expect(202);
    let id = location.rsplit('/').next().unwrap();
    let record = folder.path().join(format!("uploads/{id}.session"));
    let aside = folder.path().join("aside");
    std::fs::rename(&record, &aside).unwrap();
    let refused = chunk_to(&client, &location, "5-9", b"56789".to_vec()).await;
    refused.expect_error(416, "BLOB_UPLOAD_INVALID");
    assert_eq!(client.get(&location).await.expect(204).header("range"), "0-4");
    std::fs::rename(&aside, &record).unwrap();
    chunk_to(&client, &location, "5-9", b"56789".to_vec()).await.expect(202);
    assert_eq!(client.get(&location).await.expect(204).header("range"), "0-9");
}

#[tokio::test]
async fn only_one_registry_at_a_time_opens_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = DiskStorage::open(folder.path()).unwrap();
    let e = DiskStorage::open(folder.path()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    drop(first);
    DiskStorage::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_blob_is_stored_once_and_removed_with_its_last_link() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let digest = Digest::sha256(b"layer");
    for name in ["a", "b", "b", "c"] {
        client.push_blob(name, b"layer").await;
    }
    let post = format!("/v2/d/blobs/uploads/?mount={digest}&from=a");
    client.post(&post).await.expect(201);
    let file = blob_file(folder.path(), &digest);
    for name in ["a", "b", "c", "d"] {
        let link = folder.path().join("repositories").join(name).join("_blobs/sha256");
        assert_eq!(std::fs::read(link.join(digest.encoded())).unwrap(), b"");
        assert_eq!(std::fs::read(&file).unwrap(), b"layer");
        let blob = format!("/v2/{name}/blobs/{digest}");
        assert_eq!(client.get(&blob).await.expect(200).body, "layer");
        client.delete(&blob).await.expect(202);
        client.get(&blob).await.expect(404);
    }
    assert!(!file.exists());
}

/// Truncates, changes, empties and removes a stored blob. The registry never serves the damaged
/// blob, and pushing the blob again repairs it.
#[tokio::test]
async fn a_damaged_blob_is_not_served_and_a_push_repairs_it() {
    let damages: [fn(&Path); 4] = [
        |file| std::fs::write(file, "lay").unwrap(),
        |file| std::fs::write(file, "lAyer").unwrap(),
        |file| std::fs::write(file, "").unwrap(),
        |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
            std::fs::remove_dir(file).unwrap();
        },
    ];
    for restart in [false, true] {
        for damage in damages {
            let folder = tempfile::tempdir().unwrap();
            let mut client = open(folder.path());
            client.push_image("a", "v1", b"layer").await;
            let digest = Digest::sha256(b"layer");
            damage(&blob_file(folder.path(), &digest));
            if restart {
                drop(client);
                client = open(folder.path());
            }
            let blob = format!("/v2/a/blobs/{digest}");
            client.head(&blob).await.expect(404);
            client.get(&blob).await.expect(404);
            let image = Manifest::image(&[b"layer"]);
            let put = client.put_manifest("a", "v2", &image).await;
            put.expect_error(404, "MANIFEST_BLOB_UNKNOWN");
            client.push_blob("a", b"layer").await;
            assert_eq!(client.get(&blob).await.expect(200).body, "layer");
            client.put_manifest("a", "v2", &image).await.expect(201);
        }
    }
}

#[tokio::test]
async fn a_damaged_manifest_counts_as_missing_and_a_push_repairs_it() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let image = client.push_image("a", "v1", b"layer").await;
    let stored = folder.path().join("repositories/a/_manifests/sha256");
    let stored = stored.join(image.digest().encoded());
    let damaged = std::fs::read_to_string(&stored).unwrap().replace("\"size\":5", "\"size\":6");
    std::fs::write(&stored, damaged).unwrap();
    client.get("/v2/a/manifests/v1").await.expect_error(404, "MANIFEST_UNKNOWN");
    client.put_manifest("a", "v1", &image).await.expect(201);
    assert_eq!(client.get("/v2/a/manifests/v1").await.expect(200).body, image.json);
}

/// A damaged blob counts as missing for other repositories, too.
#[tokio::test]
async fn a_damaged_blob_is_not_mounted_and_a_push_repairs_it_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let digest = client.push_blob("a", b"layer").await;
    let mount = |from: &str| format!("/v2/b/blobs/uploads/?mount={digest}{from}");
    std::fs::write(blob_file(folder.path(), &digest), "lAyer").unwrap();
    for from in ["&from=a", ""] {
        client.post(&mount(from)).await.expect(202);
    }
    client.push_blob("c", b"layer").await;
    assert_eq!(client.get(&format!("/v2/a/blobs/{digest}")).await.expect(200).body, "layer");
    client.post(&mount("&from=a")).await.expect(201);
}

#[cfg(unix)]
#[tokio::test]
async fn a_damaged_tag_can_be_overwritten_and_does_not_prevent_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(folder.path());
    let image = client.push_image("a", "v1", b"layer").await;
    client.put_manifest("a", "v2", &image).await.expect(201);
    let tags = folder.path().join("repositories/a/_tags");
    std::fs::write(tags.join("v2"), "").unwrap();
    let by_digest = format!("/v2/a/manifests/{}", image.digest());
    client.delete(&by_digest).await.expect(202);
    client.get("/v2/a/manifests/v1").await.expect(404);
    client.put_manifest("a", "v2", &image).await.expect(201);
    client.get("/v2/a/manifests/v2").await.expect(200);
}
