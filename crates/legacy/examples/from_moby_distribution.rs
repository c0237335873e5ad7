//! Translates the README of moby-distribution to longshore, call by call.
//!
//! ```sh
//! cargo run -p longshore-legacy --example from_moby_distribution -- localhost:5000
//! ```

use std::io::Write;
use std::sync::Arc;

use longshore::{Append, DockerArchive, DockerArchiveWriter};
use longshore::{
    BlobBody, Client, Copier, Manifest, MediaType, Pack, Pushed, Reference, Tag, TagOrDigest,
    blocking,
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let registry = std::env::args().nth(1).ok_or("expected a registry, such as localhost:5000")?;
    run(&registry, &mut std::io::stdout())
}

/// Runs the README's calls on `library/python:latest` in the registry, and creates `demo/…` there.
pub(crate) fn run(registry: &str, out: &mut impl Write) -> Result {
    // client = DockerRegistryV2Client.from_api_endpoint(APIEndpoint(url=registry))
    let client = Client::builder().build_blocking();
    let at = |name: &str| -> Result<blocking::RemoteRepository> {
        Ok(client.repository(&format!("{registry}/{name}").parse()?))
    };
    let python = at("library/python")?;
    let latest: TagOrDigest = Tag::latest().into();

    // Tags(repo="library/python").list()
    writeln!(out, "tags: {}", python.tags(None).all()?.len())?;
    // Tags(repo="library/python").get("latest")
    let descriptor = python.resolve(&latest)?;
    // ManifestRef(repo="library/python", reference="latest").get(ManifestSchema2.content_type())
    let manifest = python.manifest(&latest)?;
    writeln!(out, "latest: {}", *manifest.descriptor() == descriptor)?;

    // Blob(fileobj=fh, repo="library/python", digest=manifest.config.digest).download()
    let Manifest::Image(image) = manifest.parse()? else {
        return Err("expected the manifest of one image".into());
    };
    let config = python.blob(&image.config)?.bytes(1 << 20)?;
    writeln!(out, "config: {} bytes", config.len())?;

    // Blob(repo="your-username/demo", fileobj=fh).upload()
    let demo = at("demo/blobs")?;
    let blob = demo.push_bytes(MediaType::OCTET_STREAM, "just a demo")?;
    // Blob(repo, digest).stat()
    writeln!(out, "uploaded: {:?} bytes", demo.blob_size(&blob.digest)?)?;
    // Blob(repo="your-username/demo", digest=…).mount_from("library/python")
    let from: longshore::Repository = format!("{registry}/library/python").parse()?;
    let mounted = demo.push_blob(&image.layers[0], BlobBody::mount(from))?;
    writeln!(out, "mounted: {}", mounted == Pushed::Mounted)?;
    // Blob(repo, digest).delete()
    demo.delete_blob(&blob.digest)?;

    // ManifestRef(repo="your-username/demo", reference="latest").put(ManifestSchema2(…))
    let pack = Pack::artifact("application/vnd.example.demo".parse()?).file("demo.txt", "a demo");
    let packed = demo.push_pack(pack, Some(&Tag::latest()))?;
    writeln!(out, "packed: {}", packed.media_type)?;
    // ManifestRef(repo, "latest").delete()                   ours: removes only this tag
    demo.untag(&Tag::latest())?;

    // ImageRef.from_image("library/python", "latest", to_repo="demo/python").push()
    let copy = at("demo/python")?;
    let copier = blocking::Copier::from(Copier::new(python.shared(), copy.shared()));
    copier.copy(&latest, Some(&Tag::latest()))?;
    writeln!(out, "copied: {}", copy.resolve(&latest)?.digest == descriptor.digest)?;

    // image_ref.add_layer(LayerRef(local_path="layer.tar")); image_ref.push()
    let folder = tempfile::tempdir()?;
    let layer = folder.path().join("layer.tar");
    std::fs::write(&layer, [0; 1024])?;
    let append = blocking::wait(Append::new().file(&layer))?.comment("an empty tar");
    let more: Tag = "more".parse()?;
    blocking::wait(append.push(copy.shared(), &latest, copy.shared(), Some(&more)))?;
    let appended = copy.image(copy.manifest(&more.into())?)?;
    writeln!(out, "layers: {} + 1 = {}", image.layers.len(), appended.layers().count())?;

    // ImageRef.from_image(…).save("python.tar"); ImageRef.from_tarball(folder, "python.tar").push()
    let path = folder.path().join("python.tar");
    let repository = format!("{registry}/demo/python").parse()?;
    let archive = blocking::wait(DockerArchiveWriter::create(&path, Some(repository)))?;
    let archive = blocking::Store::new(archive);
    blocking::Copier::from(Copier::new(copy.shared(), archive.shared()))
        .copy(&latest, Some(&Tag::latest()))?;
    archive.finish()?;
    let archive = Arc::new(blocking::wait(DockerArchive::open(&path))?);
    let saved: Vec<Reference> = archive.references().cloned().collect();
    writeln!(out, "saved: {}", saved[0].name())?;
    let loaded = at("demo/loaded")?;
    blocking::Copier::from(Copier::new(Arc::clone(&archive) as _, loaded.shared()))
        .copy(&archive.only_image()?, Some(&Tag::latest()))?;
    writeln!(out, "loaded: {}", loaded.tags(None).all()?.len())?;
    Ok(())
}
