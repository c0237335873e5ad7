use bytes::Bytes;

use super::*;
use crate::pack::Pack;
use crate::store::TargetExt as _;

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

async fn layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("layout")).await.unwrap();
    (folder, layout)
}

async fn push(layout: &Layout, name: &str, content: &str) -> Descriptor {
    Pack::artifact("text/plain".parse().unwrap())
        .file("a.txt", content.to_owned())
        .push(layout, Some(&tag(name)))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_concurrent_writers_lose_no_tags() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("new");
    let writers: Vec<_> = (0..64)
        .map(|n| {
            let root = root.clone();
            tokio::spawn(async move {
                let layout = Layout::create(root).await.unwrap();
                push(&layout, &format!("t{n:02}"), &format!("content {}", n % 7)).await;
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let layout = Layout::open(root).await.unwrap();
    let tags = layout.tags(None).all().await.unwrap();
    assert_eq!(tags.len(), 64);
    for tag in tags {
        layout.manifest(&tag.into()).await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_repairs_a_tag_whose_manifest_is_damaged() {
    let source = Arc::new(crate::Memory::new());
    let tag = Tag::parse("v1").unwrap();
    let pack = Pack::artifact("application/vnd.example".parse().unwrap()).file("a", "a");
    let root = pack.push(&*source, Some(&tag)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let copy = async || {
        let layout = Layout::create(folder.path()).await.unwrap();
        let copier =
            crate::Copier::new(Arc::<crate::Memory>::clone(&source), Arc::new(layout.clone()));
        copier.copy(&tag.clone().into(), Some(&tag)).await.unwrap();
        layout.manifest(&tag.clone().into()).await.unwrap()
    };
    copy().await;
    let path = folder.path().join("blobs/sha256").join(root.digest.encoded());
    std::fs::write(path, "damaged").unwrap();
    assert_eq!(*copy().await.digest(), root.digest);
}

#[tokio::test]
async fn moving_or_removing_a_tag_keeps_the_manifest() {
    let (_folder, layout) = layout().await;
    let old = push(&layout, "v1", "old").await;
    let new = push(&layout, "v1", "new").await;
    assert_eq!(layout.resolve(&tag("v1").into()).await.unwrap().digest, new.digest);
    push(&layout, "v2", "new").await;
    layout.delete_tag(&tag("v1")).await.unwrap();
    assert_eq!(layout.tags(None).all().await.unwrap(), [tag("v2")]);
    assert_eq!(layout.delete_tag(&tag("v1")).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Both manifests can still be read by digest.
    layout.manifest(&old.digest.into()).await.unwrap();
    layout.delete_tag(&tag("v2")).await.unwrap();
    layout.manifest(&new.digest.into()).await.unwrap();
}

#[tokio::test]
async fn children_of_an_index_lose_their_entries_when_the_index_is_pushed() {
    let (_folder, layout) = layout().await;
    let pack = |content: &'static str| {
        Pack::artifact("text/plain".parse().unwrap()).file("a", content).push(&layout, None)
    };
    let (a, b) = (pack("a").await.unwrap(), pack("b").await.unwrap());
    assert_eq!(layout.entries().await.unwrap().len(), 2);
    let index = Pack::index(vec![a, b]).push(&layout, Some(&tag("all"))).await.unwrap();
    let entries = layout.entries().await.unwrap();
    assert_eq!(entries.iter().map(|d| &d.digest).collect::<Vec<_>>(), [&index.digest]);
    assert_eq!(layout.only_manifest().await.unwrap(), tag("all").into());
}

#[tokio::test]
async fn unknown_fields_of_the_index_are_kept() {
    let (_folder, layout) = layout().await;
    let path = layout.path().join("index.json");
    std::fs::write(&path, r#"{"schemaVersion":2,"manifests":null,"x-mine":{"a":1}}"#).unwrap();
    push(&layout, "v1", "a").await;
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("x-mine") && text.contains("\"v1\""), "{text}");
}

#[tokio::test]
async fn errors_name_the_damaged_file() {
    let (_folder, layout) = layout().await;
    push(&layout, "v1", "a").await;
    let root = layout.path().to_owned();
    for (file, content, kind) in [
        ("index.json", "", ErrorKind::Invalid),
        ("index.json", "{\"schemaVersion\":2,\"mani", ErrorKind::Invalid),
        ("oci-layout", "{}", ErrorKind::Invalid),
        ("oci-layout", r#"{"imageLayoutVersion":"9.9"}"#, ErrorKind::Unsupported),
    ] {
        let whole = std::fs::read(root.join(file)).unwrap();
        std::fs::write(root.join(file), content).unwrap();
        let e = match Layout::open(&root).await {
            Ok(layout) => layout.tags(None).all().await.unwrap_err(),
            Err(e) => e,
        };
        assert_eq!(e.kind(), kind, "{file} {content:?}: {e}");
        assert!(e.to_string().contains(file), "{e}");
        std::fs::write(root.join(file), whole).unwrap();
    }
    let missing = Layout::open(root.join("no")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let foreign = tempfile::tempdir().unwrap();
    std::fs::write(foreign.path().join("letter.txt"), "mine").unwrap();
    assert_eq!(Layout::create(foreign.path()).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(Layout::open(foreign.path()).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_damaged_blob_is_reported_as_absent_and_a_push_replaces_it() {
    let (_folder, layout) = layout().await;
    let content = Bytes::from_static(b"right");
    let descriptor = layout.push_bytes(MediaType::OCTET_STREAM, content.clone()).await.unwrap();
    let path = blob_path(layout.path(), &descriptor.digest);
    for damaged in ["", "righ", "wrong"] {
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(layout.holds(Node::Blob(&descriptor)).await.unwrap(), Presence::Absent);
        let read = layout.blob(&descriptor).await.unwrap().bytes(99).await;
        assert!(read.is_err(), "{damaged:?}");
        layout.push_blob(&descriptor, content.clone().into()).await.unwrap();
        assert_eq!(layout.holds(Node::Blob(&descriptor)).await.unwrap(), Presence::Partial);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_next_writer_removes_files_of_a_dead_writer_and_keeps_incomplete_blobs() {
    let (_folder, layout) = layout().await;
    let held = layout.push_bytes(MediaType::OCTET_STREAM, "held").await.unwrap();
    let root = layout.path();
    let partial = |digest: &Digest| root.join(format!(".partial-{}", digest.file_name()));
    let (random, in_root) = (root.join("blobs/sha256/.partial-random"), root.join(".partial-root"));
    let (missing, held) = (partial(&Digest::sha256(b"missing")), partial(&held.digest));
    for path in [&random, &in_root, &missing, &held] {
        std::fs::write(path, "some").unwrap();
    }
    Layout::create(root).await.unwrap();
    let left = [&random, &in_root, &missing, &held].map(|path| path.exists());
    assert_eq!(left, [false, false, true, false]);
}

#[tokio::test]
async fn changes_by_other_programs_are_visible_immediately() {
    let (_folder, layout) = layout().await;
    push(&layout, "v1", "one").await;
    let other = Layout::open(layout.path()).await.unwrap();
    let tags = async || other.tags(None).all().await.unwrap();
    assert_eq!(tags().await, [tag("v1")]);
    for n in 2..9 {
        push(&layout, &format!("v{n}"), "one").await;
        assert_eq!(tags().await.len(), n);
    }
    // Some programs change the file in place. This change keeps the length of the file.
    let path = layout.path().join("index.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"v1\"", "\"x1\"")).unwrap();
    assert!(tags().await.contains(&tag("x1")));
    layout.delete_tag(&tag("x1")).await.unwrap();
    assert_eq!(tags().await.len(), 7);
}

#[tokio::test]
async fn documents_of_other_kinds_do_not_affect_the_list_of_referrers() {
    let (_folder, layout) = layout().await;
    let image = push(&layout, "v1", "one").await;
    let sign = async |name: &str| {
        let pack = Pack::artifact("a/signature".parse().unwrap()).subject(image.clone());
        pack.annotation("name", name).push(&layout, None).await.unwrap();
    };
    let xml = layout.push_bytes("application/xml".parse().unwrap(), "<xml/>").await.unwrap();
    let missing = Descriptor::from_bytes("text/plain".parse().unwrap(), b"missing");
    layout
        .update(move |index| {
            index.manifests.extend([xml, missing]);
            Ok(())
        })
        .await
        .unwrap();
    for n in 1..3 {
        sign(&n.to_string()).await;
        for (artifact_type, count) in [(None, n), (Some("a/signature"), n), (Some("a/other"), 0)] {
            let artifact_type = artifact_type.map(|t| t.parse().unwrap());
            let listed = layout.referrers(&image.digest, artifact_type.as_ref()).all().await;
            assert_eq!(listed.unwrap().len(), count);
        }
    }
}
