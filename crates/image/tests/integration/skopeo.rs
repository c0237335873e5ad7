use longshore_core::{Copier, Memory, Node, Presence, Repository, Target as _};
use longshore_image::{DockerArchive, DockerArchiveWriter, OciArchive, OciArchiveWriter};
use longshore_testkit::fixture::{Image, real_image};
use longshore_testkit::peer::skopeo;
use std::path::Path;
use std::sync::Arc;

use crate::{by_tag, copy, identity, memory_with, tag};

fn at(transport: &str, path: &Path, name: &str) -> String {
    format!("{transport}:{}:{name}", path.display())
}

#[tokio::test]
async fn skopeo_reads_an_oci_archive_of_longshore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small_index(1);
    let writer = OciArchiveWriter::create(&path).await.unwrap();
    copy(&memory_with(&content).await, &writer, "v1").await.unwrap();
    writer.finish().await.unwrap();
    let raw = skopeo(["inspect", "--raw", &at("oci-archive", &path, "v1")]);
    assert_eq!(raw.stdout.as_bytes(), &content.root.bytes()[..]);

    let back = folder.path().join("back.tar");
    let target = at("oci-archive", &back, "v1");
    let _ =
        skopeo(["copy", "--all", "--preserve-digests", &at("oci-archive", &path, "v1"), &target])
            .succeeded();
    let archive = OciArchive::open(&back).await.unwrap();
    content.assert_in(&archive, &by_tag("v1")).await;
}

#[tokio::test]
async fn skopeo_and_longshore_read_each_others_docker_archives() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours.tar"), folder.path().join("theirs.tar"));
    let content = real_image();
    let memory = memory_with(&content).await;
    let amd64 = content.manifests[0].digest().clone().into();
    let repository: Repository = "r.example/a".parse().unwrap();
    let writer = DockerArchiveWriter::create(&ours, Some(repository)).await.unwrap();
    let copier = Copier::new(Arc::new(memory.clone()), Arc::new(writer.clone()));
    copier.copy(&amd64, Some(&tag("v1"))).await.unwrap();
    writer.finish().await.unwrap();

    let ours = at("docker-archive", &ours, "r.example/a:v1");
    let layout = folder.path().join("layout");
    let _ = skopeo(["copy", &ours, &at("oci", &layout, "v1")]).succeeded();
    let layout = longshore_core::Layout::open(layout).await.unwrap();
    // For OCI, skopeo rewrites the config. The content of the layers stays the same.
    let diff_ids_in_layout = identity(&layout, &by_tag("v1")).await.2;
    let _ = skopeo(["copy", &ours, &at("docker-archive", &theirs, "r.example/b:v2")]).succeeded();

    let archive = DockerArchive::open(&theirs).await.unwrap();
    let name = "r.example/b:v2".parse().unwrap();
    let selector = archive.selector(&name).unwrap();
    let (image, config, diff_ids) = identity(&archive, &selector).await;
    let (_, config_before, diff_ids_before) = identity(&memory, &amd64).await;
    assert_eq!(diff_ids_in_layout, diff_ids_before);
    assert_eq!((config, diff_ids), (config_before, diff_ids_before));

    let back = Memory::new();
    let copier = Copier::new(Arc::new(archive), Arc::new(back.clone()));
    copier.copy(&selector, Some(&tag("v2"))).await.unwrap();
    for layer in &image.layers {
        assert_ne!(back.holds(Node::Blob(layer)).await.unwrap(), Presence::Absent);
    }
}

#[tokio::test]
async fn skopeo_finds_every_image_of_an_extended_docker_archive() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    for (seed, name) in [(1, "r.example/a"), (2, "r.example/b")] {
        let writer = DockerArchiveWriter::create(&path, Some(name.parse().unwrap())).await.unwrap();
        copy(&memory_with(&Image::small(seed).build()).await, &writer, "v1").await.unwrap();
        writer.finish().await.unwrap();
    }
    for (seed, name) in [(1, "r.example/a:v1"), (2, "r.example/b:v1")] {
        let inspected =
            skopeo(["inspect", "--config", "--raw", &at("docker-archive", &path, name)]);
        assert_eq!(inspected.succeeded().as_bytes(), &Image::small(seed).build().blobs[0].1[..]);
    }
}
