use std::io::Write as _;
use std::path::Path;

use longshore_core::{Descriptor, ErrorKind, Memory, Source as _, Target as _};
use longshore_image::{OciArchive, OciArchiveWriter};
use longshore_testkit::fixture::{Content, Image};
use longshore_testkit::suite::Fresh;
use longshore_testkit::target_suite;

use crate::{Entry, by_tag, copy, files, memory_with, tag, write_tar};

target_suite!(store, async || {
    let folder = tempfile::tempdir().unwrap();
    let writer = OciArchiveWriter::create(folder.path().join("x.tar")).await.unwrap();
    Fresh::without_delete(writer, folder)
});

#[tokio::test]
async fn an_index_is_copied_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small_index(1);
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    copy(&memory_with(&content).await, &writer, "v1").await.unwrap();
    content.assert_in(&writer, &by_tag("v1")).await;
    assert!(!path.exists(), "the archive must not exist before it is complete");
    writer.finish().await.unwrap();
    drop(writer);
    assert_eq!(files(folder.path()), ["x.tar"]);

    let archive = OciArchive::open(&path).await.unwrap();
    assert_eq!(archive.entries().len(), 1, "children have no entries");
    assert_eq!(archive.only_manifest().unwrap(), by_tag("v1"));
    let memory = Memory::new();
    copy(&archive, &memory, "v1").await.unwrap();
    content.assert_in(&memory, &by_tag("v1")).await;
}

#[tokio::test]
async fn the_order_of_blob_pushes_does_not_change_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (Image::small(1).build(), Image::small(2).build());
    let mut written = Vec::new();
    for (name, reversed) in [("a.tar", false), ("b.tar", true)] {
        let writer = OciArchiveWriter::create(folder.path().join(name)).await.unwrap();
        let mut blobs = [&one.blobs[..], &two.blobs[..]].concat();
        if reversed {
            blobs.reverse();
        }
        for (descriptor, bytes) in blobs {
            writer.push_blob(&descriptor, bytes.into()).await.unwrap();
        }
        writer.push_manifest(&one.root, Some(&tag("one"))).await.unwrap();
        writer.push_manifest(&two.root, Some(&tag("two"))).await.unwrap();
        writer.finish().await.unwrap();
        written.push(std::fs::read(folder.path().join(name)).unwrap());
    }
    assert!(written[0] == written[1]);
}

#[tokio::test]
async fn an_archive_is_extended_and_its_tags_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let contents = [Image::small(1).build(), Image::small_index(2), Image::small(3).build()];
    for (content, name) in contents.iter().zip(["one", "two", "one"]) {
        let writer = OciArchiveWriter::create(&path).await.unwrap();
        content.push(&writer, Some(&tag(name))).await;
        writer.finish().await.unwrap();
    }
    let archive = OciArchive::open(&path).await.unwrap();
    assert_eq!(archive.tags(None).all().await.unwrap(), [tag("one"), tag("two")]);
    contents[1].assert_in(&archive, &by_tag("two")).await;
    contents[2].assert_in(&archive, &by_tag("one")).await;
    let e = archive.only_manifest().unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Conflict);
    for (name, content) in [("one", &contents[2]), ("two", &contents[1])] {
        let shown = format!("{name} ({})", content.root.digest());
        assert!(e.to_string().contains(&shown), "{e}");
    }
}

#[tokio::test]
async fn a_dropped_writer_leaves_the_existing_archive_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small(1).build();
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    content.push(&writer, Some(&tag("v1"))).await;
    writer.finish().await.unwrap();
    drop(writer);
    let before = std::fs::read(&path).unwrap();

    let writer = OciArchiveWriter::create(&path).await.unwrap();
    Image::small(2).build().push(&writer, Some(&tag("v1"))).await;
    drop(writer);
    assert_eq!(files(folder.path()), ["x.tar"]);
    assert!(std::fs::read(&path).unwrap() == before);
}

#[tokio::test]
async fn compressed_archives_can_be_read_but_not_extended() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("x.tar");
    let content = Image::small(1).build();
    let writer = OciArchiveWriter::create(&plain).await.unwrap();
    content.push(&writer, Some(&tag("v1"))).await;
    writer.finish().await.unwrap();

    let tar = std::fs::read(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let zstd = zstd::encode_all(&tar[..], 1).unwrap();
    for (name, bytes) in [("x.tar.gz", gzip.finish().unwrap()), ("x.tar.zst", zstd)] {
        let path = folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        let archive = OciArchive::open(&path).await.unwrap();
        content.assert_in(&archive, &by_tag("v1")).await;
        let e = OciArchiveWriter::create(&path).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
        assert!(std::fs::read(&path).unwrap() == bytes);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let e = OciArchive::open(&path).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Invalid, "{name} is truncated");
    }
}

/// Writes an archive with the content's image index as its `index.json`. Its entries have no names.
fn write_unnamed(path: &Path, content: &Content) {
    let blobs: Vec<(String, &[u8])> = content
        .blobs
        .iter()
        .map(|(d, bytes)| (d, &bytes[..]))
        .chain(content.manifests.iter().map(|m| (m.descriptor(), &m.bytes()[..])))
        .map(|(d, bytes)| (format!("blobs/sha256/{}", d.digest.encoded()), bytes))
        .collect();
    let mut entries = vec![
        Entry::File("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        Entry::File("index.json", content.root.bytes()),
    ];
    entries.extend(blobs.iter().map(|(name, bytes)| Entry::File(name, bytes)));
    write_tar(path, &entries);
}

#[tokio::test]
async fn unnamed_images_for_several_platforms_count_as_one_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small_index(1);
    write_unnamed(&path, &content);
    let archive = OciArchive::open(&path).await.unwrap();
    let selector = archive.only_manifest().unwrap();
    content.assert_in(&archive, &selector).await;
}

#[tokio::test]
async fn the_index_of_an_archive_becomes_a_blob_when_it_gets_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small_index(1);
    write_unnamed(&path, &content);
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    copy(&memory_with(&content).await, &writer, "v1").await.unwrap();
    writer.finish().await.unwrap();
    let archive = OciArchive::open(&path).await.unwrap();
    content.assert_in(&archive, &by_tag("v1")).await;
}

#[tokio::test]
async fn damaged_existing_content_is_replaced_and_errors_name_missing_content() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small(1).build();
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    content.push(&writer, Some(&tag("v1"))).await;
    writer.finish().await.unwrap();

    let (layer, bytes) = &content.blobs[1];
    let mut tar = std::fs::read(&path).unwrap();
    let at = tar.windows(bytes.len()).position(|w| w == &bytes[..]).unwrap();
    tar[at + 20] ^= 1;
    std::fs::write(&path, &tar).unwrap();
    let archive = OciArchive::open(&path).await.unwrap();
    let e = archive.blob(layer).await.unwrap().bytes(1 << 20).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);

    let writer = OciArchiveWriter::create(&path).await.unwrap();
    copy(&memory_with(&content).await, &writer, "v1").await.unwrap();
    writer.finish().await.unwrap();
    let archive = OciArchive::open(&path).await.unwrap();
    content.assert_in(&archive, &by_tag("v1")).await;

    let missing = Descriptor::from_bytes(layer.media_type.clone(), b"missing");
    let e = archive.blob(&missing).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains(missing.digest.as_str()), "{e}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_archive_can_be_read_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let (path, pipe) = (folder.path().join("x.tar"), folder.path().join("pipe"));
    let content = Image::small(1).build();
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    content.push(&writer, Some(&tag("v1"))).await;
    writer.finish().await.unwrap();

    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let (from, to) = (path.clone(), pipe.clone());
    let sender = std::thread::spawn(move || std::fs::write(to, std::fs::read(from).unwrap()));
    let archive = OciArchive::open(&pipe).await.unwrap();
    sender.join().unwrap().unwrap();
    content.assert_in(&archive, &by_tag("v1")).await;
}
