use longshore_core::{
    Copier, CopyOptions, ErrorKind, MediaType, Memory, Platform, Reference, Repository,
    Source as _, Target as _,
};
use longshore_image::{DockerArchive, DockerArchiveWriter, UnpackLimits};
use longshore_testkit::fixture::{Content, Image, Layer, layer_tar};
use std::path::Path;
use std::sync::Arc;

use crate::{Entry, by_tag, copy, files, identity, memory_with, tag, write_tar};

fn repository(text: &str) -> Repository {
    Repository::familiar(text).unwrap()
}

fn reference(text: &str) -> Reference {
    Reference::familiar(text).unwrap()
}

/// Writes one image into an archive under `name`.
async fn save(path: &Path, content: &Content, name: &str) {
    let name = reference(name);
    let writer = DockerArchiveWriter::create(path, Some(name.repository().clone())).await.unwrap();
    content.push(&writer, name.tag()).await;
    writer.finish().await.unwrap();
}

#[tokio::test]
async fn an_image_keeps_its_config_and_its_diff_ids() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let layer = Layer::plain(&layer_tar(&[("plain", b"x")]));
    let content = Image::small(1).layer(layer.clone()).layer(layer).build();
    let memory = memory_with(&content).await;
    let writer = DockerArchiveWriter::create(&path, Some(repository("a/b"))).await.unwrap();
    copy(&memory, &writer, "v1").await.unwrap();
    assert!(!path.exists(), "the archive must not exist before it is complete");
    writer.finish().await.unwrap();
    drop(writer);
    assert_eq!(files(folder.path()), ["x.tar"]);

    let archive = DockerArchive::open(&path).await.unwrap();
    let names: Vec<String> = archive.references().map(ToString::to_string).collect();
    assert_eq!(names, ["docker.io/a/b:v1"]);
    let back = Memory::new();
    copy(&archive, &back, "v1").await.unwrap();
    let (_, config, diff_ids) = identity(&memory, &by_tag("v1")).await;
    let (manifest, config_back, diff_ids_back) = identity(&back, &by_tag("v1")).await;
    assert_eq!((&config, &diff_ids), (&config_back, &diff_ids_back));
    assert_eq!(manifest.media_type, Some(MediaType::DOCKER_MANIFEST));
    for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
        assert_eq!((&layer.media_type, &layer.digest), (&MediaType::DOCKER_LAYER, diff_id));
    }

    // An archive that is written from the first archive has the same bytes.
    let again = folder.path().join("again.tar");
    let writer = DockerArchiveWriter::create(&again, Some(repository("a/b"))).await.unwrap();
    copy(&archive, &writer, "v1").await.unwrap();
    writer.finish().await.unwrap();
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&again).unwrap());
}

#[tokio::test]
async fn several_images_are_distinguished_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let (one, two) = (Image::small(1).build(), Image::small(2).build());
    save(&path, &one, "r.example/a:v1").await;
    save(&path, &two, "r.example/b:v1").await;
    save(&path, &two, "r.example/b:v2").await;

    let archive = DockerArchive::open(&path).await.unwrap();
    let selector = archive.selector(&reference("r.example/a:v1")).unwrap();
    assert_eq!(identity(&archive, &selector).await.1, one.blobs[0].0.digest);
    assert_eq!(identity(&archive, &by_tag("v2")).await.1, two.blobs[0].0.digest);
    assert_eq!(archive.resolve(&by_tag("v1")).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(archive.only_image().unwrap_err().kind(), ErrorKind::Conflict);
    let e = archive.selector(&reference("r.example/a")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
    assert!(e.to_string().contains("r.example/b:v2"), "{e}");

    let b = archive.within(repository("r.example/b"));
    assert_eq!(b.tags(None).all().await.unwrap(), [tag("v1"), tag("v2")]);
    assert_eq!(identity(&b, &by_tag("v1")).await.1, two.blobs[0].0.digest);
}

#[tokio::test]
async fn a_name_moves_to_the_image_that_was_saved_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let (one, two) = (Image::small(1).build(), Image::small(2).build());
    save(&path, &one, "r.example/a:v1").await;
    save(&path, &two, "r.example/a:v1").await;
    let archive = DockerArchive::open(&path).await.unwrap();
    let selector = archive.only_image().unwrap();
    assert_eq!(identity(&archive, &selector).await.1, two.blobs[0].0.digest);
}

#[tokio::test]
async fn an_index_is_refused_before_any_blob_is_sent_and_a_single_platform_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small_index(1);
    let memory = Arc::new(memory_with(&content).await);
    let writer = DockerArchiveWriter::create(&path, Some(repository("a/b"))).await.unwrap();
    let target = Arc::new(writer.clone());
    let copier =
        Copier::new(Arc::<Memory>::clone(&memory), Arc::<DockerArchiveWriter>::clone(&target));
    let e = copier.copy(&by_tag("v1"), Some(&tag("v1"))).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.hint().unwrap().contains("platform"));
    for (descriptor, _) in &content.blobs {
        assert_eq!(writer.blob_size(&descriptor.digest).await.unwrap(), None);
    }

    let mut options = CopyOptions::default();
    options.platforms = vec![Platform::new("linux", "arm64", None)];
    let copier = Copier::builder(memory, target).options(options).build();
    copier.copy(&by_tag("v1"), Some(&tag("v1"))).await.unwrap();
    writer.finish().await.unwrap();
    let archive = DockerArchive::open(&path).await.unwrap();
    let (_, config, _) = identity(&archive, &by_tag("v1")).await;
    let arm: longshore_core::ImageManifest =
        serde_json::from_slice(content.manifests[1].bytes()).unwrap();
    assert_eq!(config, arm.config.digest);
}

#[tokio::test]
async fn manifests_that_are_not_images_or_do_not_match_their_layers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let tar = layer_tar(&[("a", b"a")]);
    let mut lying = Layer::gzip(&tar);
    lying.diff_id = longshore_core::Digest::sha256(b"something else");
    let lying = Image::new(Platform::new("linux", "amd64", None)).layer(lying).build();
    let mut few = Image::small(1).build();
    few.blobs.truncate(2);

    let writer = DockerArchiveWriter::create(&path, None).await.unwrap();
    for (content, kind) in [(lying, ErrorKind::DigestMismatch), (few, ErrorKind::NotFound)] {
        for (descriptor, bytes) in &content.blobs {
            writer.push_blob(descriptor, bytes.clone().into()).await.unwrap();
        }
        let e = writer.push_manifest(&content.root, None).await.unwrap_err();
        assert_eq!(e.kind(), kind, "{e}");
    }
    let artifact = Memory::new();
    let pack = longshore_core::Pack::artifact("text/plain".parse().unwrap()).file("x", "x");
    pack.push(&artifact, Some(&tag("v1"))).await.unwrap();
    assert_eq!(copy(&artifact, &writer, "v1").await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_layer_that_exceeds_the_unpack_limits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let mut limits = UnpackLimits::default();
    limits.output = 1 << 20;
    let writer = DockerArchiveWriter::create(&path, None).await.unwrap().limits(limits);
    for layer in [Layer::gzip(&vec![0; 2 << 20]), Layer::zstd(&vec![0; 2 << 20])] {
        let e = writer.push_blob(&layer.descriptor, layer.content.into()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TooLarge);
        assert!(e.to_string().contains(layer.descriptor.digest.as_str()), "{e}");
    }
    writer.finish().await.unwrap();
    drop(writer);
    assert_eq!(files(folder.path()), ["x.tar"]);
}

/// An archive in the format of Docker 1.10 to 24: a folder for each layer, and links for repeated
/// layers.
#[tokio::test]
async fn archives_of_docker_save_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let tar = layer_tar(&[("a", b"a")]);
    let layer = Layer::plain(&tar);
    let content = Image::new(Platform::new("linux", "amd64", None))
        .layer(layer.clone())
        .layer(layer.clone())
        .layer(layer)
        .build();
    let (config, config_bytes) = &content.blobs[0];
    let config_name = format!("{}.json", config.digest.encoded());
    let manifest = format!(
        r#"[{{"Config":"{config_name}","RepoTags":["busybox:latest"],
             "Layers":["a1/layer.tar","b2/layer.tar","c3/layer.tar"]}}]"#
    );
    write_tar(
        &path,
        &[
            Entry::File("a1/", b""),
            Entry::File("a1/VERSION", b"1.0"),
            Entry::File("a1/json", b"{}"),
            Entry::File("a1/layer.tar", &tar),
            Entry::SymbolicLink("b2/layer.tar", "../a1/layer.tar"),
            Entry::HardLink("c3/layer.tar", "a1/layer.tar"),
            Entry::File(&config_name, config_bytes),
            Entry::File("manifest.json", manifest.as_bytes()),
            Entry::File("repositories", br#"{"busybox":{"latest":"c3"}}"#),
        ],
    );
    let archive = DockerArchive::open(&path).await.unwrap();
    let selector = archive.selector(&reference("busybox")).unwrap();
    let (image, found, diff_ids) = identity(&archive, &selector).await;
    assert_eq!((found, diff_ids.len()), (config.digest.clone(), 3));
    for layer in &image.layers {
        assert_eq!(archive.blob(layer).await.unwrap().bytes(1 << 20).await.unwrap(), tar);
    }
    assert_eq!(archive.blob_size(&image.layers[0].digest).await.unwrap(), Some(tar.len() as u64));
}

/// An archive in the format of crane, and of Docker with containerd's image store: compressed
/// layers, named by digest.
#[tokio::test]
async fn compressed_layers_are_presented_as_stored_and_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let content = Image::small(1).build();
    let (config, config_bytes) = &content.blobs[0];
    let layers: Vec<String> = content.blobs[1..]
        .iter()
        .map(|(d, _)| format!("blobs/sha256/{}", d.digest.encoded()))
        .collect();
    let config_name = format!("blobs/sha256/{}", config.digest.encoded());
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": null, "Layers": layers}]);
    let manifest = manifest.to_string();
    let write = |first_layer: &[u8]| {
        write_tar(
            &path,
            &[
                Entry::File(&config_name, config_bytes),
                Entry::File(&layers[0], first_layer),
                Entry::File(&layers[1], &content.blobs[2].1),
                Entry::File("manifest.json", manifest.as_bytes()),
            ],
        );
    };
    write(&content.blobs[1].1);
    let archive = DockerArchive::open(&path).await.unwrap();
    let selector = archive.only_image().unwrap();
    let (image, ..) = identity(&archive, &selector).await;
    let described = [&image.layers[0], &image.layers[1]].map(|d| d.digest.clone());
    assert_eq!(described, [&content.blobs[1], &content.blobs[2]].map(|b| b.0.digest.clone()));
    assert_eq!(image.layers[0].media_type, MediaType::DOCKER_LAYER_GZIP);

    // When the archive is extended, the image and its layers do not change.
    save(&path, &Image::small(2).build(), "r.example/a:v1").await;
    let extended = DockerArchive::open(&path).await.unwrap();
    assert_eq!(identity(&extended, &selector).await.0, image);

    write(&Layer::gzip(b"another tar").content);
    let e = DockerArchive::open(&path).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DigestMismatch);
}
