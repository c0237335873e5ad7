//! Tests of archives, layers and appending, with stores in memory, malicious files, skopeo and
//! umoci.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod append;
mod docker_archive;
mod hostile;
mod layer;
mod oci_archive;
mod skopeo;

use std::path::Path;
use std::sync::Arc;

use longshore_core::{
    Copier, Digest, ImageConfig, ImageManifest, Manifest, Memory, Result, Source, Tag, TagOrDigest,
    Target,
};

/// One entry of a tar file for a test.
enum Entry<'a> {
    File(&'a str, &'a [u8]),
    SymbolicLink(&'a str, &'a str),
    HardLink(&'a str, &'a str),
}

/// Writes a tar file with these entries. The names are written unchanged.
fn write_tar(path: &Path, entries: &[Entry<'_>]) {
    let mut builder = tar::Builder::new(std::fs::File::create(path).unwrap());
    for entry in entries {
        let (Entry::File(name, _) | Entry::SymbolicLink(name, _) | Entry::HardLink(name, _)) =
            entry;
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        let content = match entry {
            Entry::File(_, content) => *content,
            Entry::SymbolicLink(_, to) | Entry::HardLink(_, to) => {
                header.set_entry_type(match entry {
                    Entry::SymbolicLink(..) => tar::EntryType::Symlink,
                    _ => tar::EntryType::Link,
                });
                header.set_link_name_literal(to).unwrap();
                &[]
            }
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.finish().unwrap();
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).unwrap()
}

fn by_tag(text: &str) -> TagOrDigest {
    tag(text).into()
}

/// Copies the content of a tag to the same tag of another store.
async fn copy(
    source: &(impl Source + Clone + 'static),
    target: &(impl Target + Clone + 'static),
    name: &str,
) -> Result<()> {
    let copier = Copier::new(Arc::new(source.clone()), Arc::new(target.clone()));
    copier.copy(&by_tag(name), Some(&tag(name))).await.map(drop)
}

/// Returns an image's manifest, and the digest and the diff IDs of its config. The digest and the
/// diff IDs stay the same in a docker-archive.
async fn identity(
    source: &dyn Source,
    selector: &TagOrDigest,
) -> (ImageManifest, Digest, Vec<Digest>) {
    let manifest = source.manifest(selector).await.unwrap();
    let Manifest::Image(image) = manifest.parse().unwrap() else { panic!("no image") };
    let config = source.blob(&image.config).await.unwrap().bytes(1 << 20).await.unwrap();
    let config: ImageConfig = serde_json::from_slice(&config).unwrap();
    let digest = image.config.digest.clone();
    (image.clone(), digest, config.rootfs.diff_ids)
}

/// Returns a memory store that has an image with the tag `v1`.
async fn memory_with(content: &longshore_testkit::fixture::Content) -> Memory {
    let memory = Memory::new();
    content.push(&memory, Some(&tag("v1"))).await;
    memory
}

/// Lists the files in a folder, to check that writers have cleaned up.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
