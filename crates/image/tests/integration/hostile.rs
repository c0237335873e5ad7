use std::path::PathBuf;
use std::time::Duration;

use longshore_core::{Digest, ErrorKind, Source as _, Target as _};
use longshore_image::{DockerArchive, OciArchive, OciArchiveWriter};
use longshore_testkit::fixture::Image;
use tempfile::TempDir;

use crate::{Entry, by_tag, copy, tag, write_tar};

const LAYOUT: Entry<'static> = Entry::File("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
const EMPTY_INDEX: Entry<'static> =
    Entry::File("index.json", br#"{"schemaVersion":2,"manifests":[]}"#);

fn archive(entries: &[Entry<'_>]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    write_tar(&path, entries);
    (folder, path)
}

#[tokio::test]
async fn an_invalid_layout_is_refused_with_a_reason() {
    for (entries, kind, text) in [
        (vec![EMPTY_INDEX], ErrorKind::Invalid, "oci-layout is missing"),
        (vec![LAYOUT], ErrorKind::Invalid, "index.json is missing"),
        (vec![LAYOUT, Entry::File("index.json", b"")], ErrorKind::Invalid, "index.json"),
        (vec![LAYOUT, Entry::File("index.json", b"{\"sch")], ErrorKind::Invalid, "index.json"),
        (
            vec![Entry::File("oci-layout", br#"{"imageLayoutVersion":"9.9"}"#), EMPTY_INDEX],
            ErrorKind::Unsupported,
            "version 9.9",
        ),
        (vec![LAYOUT, EMPTY_INDEX, Entry::File("../x", b"")], ErrorKind::Invalid, "../x"),
        (vec![LAYOUT, EMPTY_INDEX, Entry::File("/x", b"")], ErrorKind::Invalid, "/x"),
        (
            vec![LAYOUT, Entry::SymbolicLink("index.json", "/etc/passwd")],
            ErrorKind::Invalid,
            "/etc/passwd",
        ),
        (
            vec![LAYOUT, EMPTY_INDEX, Entry::HardLink("blobs/sha256/x", "../../x")],
            ErrorKind::Invalid,
            "../../x",
        ),
    ] {
        let (_folder, path) = archive(&entries);
        let e = OciArchive::open(&path).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{text}: {e}");
        assert!(e.to_string().contains(text), "expected {text:?} in: {e}");
    }
}

#[tokio::test]
async fn an_index_of_100_mb_is_refused() {
    let big = vec![b' '; 100_000_000];
    let (_folder, path) = archive(&[LAYOUT, Entry::File("index.json", &big)]);
    assert_eq!(OciArchive::open(&path).await.unwrap_err().kind(), ErrorKind::TooLarge);
    let (_folder, path) = archive(&[Entry::File("manifest.json", &big)]);
    assert_eq!(DockerArchive::open(&path).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_large_config_that_many_images_share_is_read_once() {
    let padding = "x".repeat(6 << 20);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[]}},"x":"{padding}"}}"#
    );
    let items = vec![r#"{"Config":"c"}"#; 100_000].join(",");
    let items = format!("[{items}]");
    let (_folder, path) = archive(&[
        Entry::File("c", config.as_bytes()),
        Entry::File("manifest.json", items.as_bytes()),
    ]);
    // Reading the config again for each image would take 600 GB.
    let opened = tokio::time::timeout(Duration::from_secs(120), DockerArchive::open(&path)).await;
    assert_eq!(opened.unwrap().unwrap().images().count(), 100_000);
}

#[tokio::test]
async fn too_many_layers_are_refused() {
    let layers = vec![r#""a""#; 200_001].join(",");
    let items = format!(r#"[{{"Config":"c","Layers":[{layers}]}}]"#);
    let (_folder, path) = archive(&[Entry::File("manifest.json", items.as_bytes())]);
    assert_eq!(DockerArchive::open(&path).await.unwrap_err().kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_file_that_is_not_an_archive_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    for bytes in [&b"#!/bin/sh\n"[..], &[0x5a; 4096], b"", &[0; 10_240]] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(OciArchive::open(&path).await.unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(DockerArchive::open(&path).await.unwrap_err().kind(), ErrorKind::Invalid);
        // A file that is not an archive is not replaced. An empty file is treated like a missing
        // file.
        let writer = OciArchiveWriter::create(&path).await;
        assert_eq!(writer.is_ok(), bytes.is_empty());
        drop(writer);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(OciArchive::open(folder.path()).await.unwrap_err().kind(), ErrorKind::Invalid);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(OciArchive::open(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
    let missing = OciArchiveWriter::create(folder.path().join("no/x.tar")).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test]
async fn a_truncated_archive_never_yields_incomplete_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small(1).build();
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    content.push(&writer, Some(&tag("v1"))).await;
    writer.finish().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let Ok(archive) = OciArchive::open(&path).await else { continue };
        let memory = longshore_core::Memory::new();
        if copy(&archive, &memory, "v1").await.is_ok() {
            content.assert_in(&memory, &by_tag("v1")).await;
        }
    }
}

#[tokio::test]
async fn the_error_for_a_missing_blob_names_its_digest() {
    let digest = Digest::sha256(b"missing");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json",
            "digest":"{digest}","size":7,"annotations":{{"org.opencontainers.image.ref.name":"v1"}}}}]}}"#
    );
    let (_folder, path) = archive(&[LAYOUT, Entry::File("index.json", index.as_bytes())]);
    let archive = OciArchive::open(&path).await.unwrap();
    let e = archive.manifest(&by_tag("v1")).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains(digest.as_str()), "{e}");
}

#[tokio::test]
async fn an_inconsistent_docker_archive_is_refused() {
    let digest = Digest::sha256(b"layer");
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
    let named = |config: &str, layers: &str| {
        format!(r#"[{{"Config":"{config}","RepoTags":null,"Layers":[{layers}]}}]"#)
    };
    let hex = "0".repeat(64);
    for (manifest, kind) in [
        (named("c.json", r#""../../etc/passwd""#), ErrorKind::Invalid),
        (named("c.json", r#""/etc/passwd""#), ErrorKind::Invalid),
        (named("../c.json", r#""l.tar""#), ErrorKind::Invalid),
        (named("missing.json", r#""l.tar""#), ErrorKind::Invalid),
        (named("c.json", r#""missing.tar""#), ErrorKind::Invalid),
        (named("c.json", r#""l.tar","l.tar""#), ErrorKind::Invalid),
        (named("c.json", ""), ErrorKind::Invalid),
        (named("l.tar", r#""l.tar""#), ErrorKind::Invalid),
        (named(&format!("{hex}.json"), r#""l.tar""#), ErrorKind::DigestMismatch),
        ("[{]".to_owned(), ErrorKind::Invalid),
        ("{}".to_owned(), ErrorKind::Invalid),
    ] {
        let (_folder, path) = archive(&[
            Entry::File("c.json", config.as_bytes()),
            Entry::File(&format!("{hex}.json"), config.as_bytes()),
            Entry::File("l.tar", b"layer"),
            Entry::File("manifest.json", manifest.as_bytes()),
        ]);
        let e = DockerArchive::open(&path).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{manifest}: {e}");
    }
}

#[tokio::test]
async fn an_image_with_a_layer_that_does_not_match_its_diff_id_is_not_copied() {
    let digest = Digest::sha256(b"layer");
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{digest}"]}}}}"#);
    let manifest = br#"[{"Config":"c.json","RepoTags":["a:v1"],"Layers":["l.tar"]}]"#;
    let (_folder, path) = archive(&[
        Entry::File("c.json", config.as_bytes()),
        Entry::File("l.tar", b"other"),
        Entry::File("manifest.json", manifest),
    ]);
    let archive = DockerArchive::open(&path).await.unwrap();
    let memory = longshore_core::Memory::new();
    let e = copy(&archive, &memory, "v1").await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
    assert_eq!(memory.manifest_count(), 0);
}

#[tokio::test]
async fn the_error_for_the_wrong_kind_of_archive_suggests_the_other_kind() {
    let (_folder, path) = archive(&[LAYOUT, EMPTY_INDEX]);
    let e = DockerArchive::open(&path).await.unwrap_err();
    assert!(e.hint().unwrap().contains("oci-archive:"));
    let (_folder, path) = archive(&[Entry::File("manifest.json", b"[]")]);
    let e = OciArchive::open(&path).await.unwrap_err();
    assert!(e.hint().unwrap().contains("docker-archive:"));
}
