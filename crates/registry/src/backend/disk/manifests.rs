//! Manifest, tag and referrer files of one repository. Everything here blocks.

use std::path::Path;

use bytes::Bytes;
use longshore_core::blob_file::Aside;
use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, MANIFEST_LIMIT, MediaType, RawManifest, RepositoryName,
    Result, Tag, TagOrDigest, blob_file, graph,
};

use super::blobs::{create_parent, is_absent, sync_parent};
use super::place::{Folder, MANIFESTS, Place};

/// The digest that a tag points at, or the digest itself.
pub(super) fn digest_of(folder: &Folder, selector: &TagOrDigest) -> Result<Digest> {
    match selector {
        TagOrDigest::Digest(digest) => Ok(digest.clone()),
        TagOrDigest::Tag(tag) => tagged(&folder.tag(tag))?.ok_or_else(|| absent(selector)),
    }
}

/// Reads a manifest, checked against its digest.
pub(super) fn read(folder: &Folder, selector: &TagOrDigest) -> Result<RawManifest> {
    let digest = digest_of(folder, selector)?;
    let path = folder.manifest(&digest);
    let content = read_if_there(&path, FILE_LIMIT)?.ok_or_else(|| absent(selector))?;
    let (media_type, bytes) = split(&content).ok_or_else(|| damaged(&path))?;
    RawManifest::new(bytes, Some(media_type), digest)
}

/// Writes a manifest, after its entry among its subject's referrers: whoever sees the manifest
/// finds it listed. Says whether the repository had no manifest before.
pub(super) fn write(place: &Place, folder: &Folder, manifest: &RawManifest) -> Result<bool> {
    let is_first = !folder.manifests().is_dir();
    if let Some((subject, descriptor)) = graph::referrer(manifest)? {
        let path = folder.referrer(&subject, manifest.digest());
        let entry = serde_json::to_vec(&descriptor)
            .map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
        replace(place, &path, &entry)?;
    }
    let mut content = format!("{}\n", manifest.media_type()).into_bytes();
    content.extend_from_slice(manifest.bytes());
    replace(place, &folder.manifest(manifest.digest()), &content)?;
    Ok(is_first)
}

/// Points a tag at a digest.
pub(super) fn tag(place: &Place, folder: &Folder, tag: &Tag, digest: &Digest) -> Result<()> {
    replace(place, &folder.tag(tag), format!("{digest}\n").as_bytes())
}

/// Removes a manifest, its tags before it, its entry among referrers after it.
pub(super) fn remove(folder: &Folder, digest: &Digest) -> Result<()> {
    let selector = TagOrDigest::from(digest.clone());
    let path = folder.manifest(digest);
    // A damaged one can be removed, too; what it referred to is not known then.
    let subject = match read(folder, &selector) {
        Ok(manifest) => graph::referrer(&manifest)?.map(|(subject, _)| subject),
        Err(e) if e.kind() == ErrorKind::NotFound => return Err(e),
        Err(_) => None,
    };
    for name in tags(folder)? {
        let tag = folder.tag(&name);
        // A damaged tag points at nothing, this manifest included.
        if tagged(&tag).is_ok_and(|tagged| tagged.as_ref() == Some(digest)) {
            unlink(&tag)?;
        }
    }
    unlink(&path)?;
    if let Some(subject) = subject {
        unlink(&folder.referrer(&subject, digest))?;
    }
    Ok(())
}

/// Removes one tag.
pub(super) fn untag(folder: &Folder, tag: &Tag) -> Result<()> {
    if unlink(&folder.tag(tag))? {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound).at(format!("tag {tag}")))
}

/// The tags, in no order.
pub(super) fn tags(folder: &Folder) -> Result<Vec<Tag>> {
    let names = file_names(&folder.tags())?;
    Ok(names.iter().filter_map(|n| Tag::parse(n).ok()).collect())
}

/// The manifests that refer to a subject and are there, ordered by digest.
pub(super) fn referrers(
    folder: &Folder,
    subject: &Digest,
    artifact_type: Option<&MediaType>,
) -> Result<Vec<Descriptor>> {
    let entries = folder.referrers(subject);
    let mut found = Vec::new();
    for name in file_names(&entries)? {
        let path = entries.join(&name);
        let Some(entry) = read_if_there(&path, FILE_LIMIT)? else {
            continue;
        };
        let descriptor: Descriptor =
            serde_json::from_slice(&entry).map_err(|e| damaged(&path).with_source(e))?;
        if descriptor.is_of_type(artifact_type) && folder.manifest(&descriptor.digest).is_file() {
            found.push(descriptor);
        }
    }
    found.sort_by(|a, b| a.digest.cmp(&b.digest));
    Ok(found)
}

/// The names of all repositories with manifests, in no order.
pub(super) fn repositories(place: &Place) -> Result<Vec<RepositoryName>> {
    let mut found = Vec::new();
    let mut left = vec![String::new()];
    while let Some(name) = left.pop() {
        for child in file_names(&place.repositories().join(&name))? {
            if child == MANIFESTS {
                found.extend(RepositoryName::parse(&name));
            } else if !child.starts_with('_') {
                left.push(match &*name {
                    "" => child,
                    name => format!("{name}/{child}"),
                });
            }
        }
    }
    Ok(found)
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let names = entries.map(|entry| {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        Ok(entry.file_name().into_string().ok())
    });
    names.filter_map(Result::transpose).collect()
}

fn tagged(path: &Path) -> Result<Option<Digest>> {
    let Some(line) = read_if_there(path, TAG_LIMIT)? else {
        return Ok(None);
    };
    let digest = std::str::from_utf8(&line).ok();
    let digest = digest.and_then(|text| Digest::parse(text.trim_end()).ok());
    digest.map(Some).ok_or_else(|| damaged(path))
}

fn split(content: &Bytes) -> Option<(MediaType, Bytes)> {
    let end = content.iter().position(|b| *b == b'\n')?;
    let media_type = std::str::from_utf8(&content[..end]).ok()?;
    Some((MediaType::parse(media_type).ok()?, content.slice(end + 1..)))
}

fn read_if_there(path: &Path, limit: usize) -> Result<Option<Bytes>> {
    match blob_file::read(path, limit) {
        Ok(content) => Ok(Some(content)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes a small file whole, unless it is there just so.
fn replace(place: &Place, path: &Path, content: &[u8]) -> Result<()> {
    let same = blob_file::read(path, content.len()).is_ok_and(|there| there == content);
    if same {
        // Its name may be new: the process that gave it may have died before it was synced.
        return sync_parent(path);
    }
    create_parent(path)?;
    let mut aside = Aside::create(&place.uploads())?;
    std::io::Write::write_all(&mut aside, content).map_err(|e| Error::io(path, e))?;
    aside.publish(path)
}

/// Removes a file, for good; says whether it was there.
fn unlink(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(e) if is_absent(&e) => Ok(false),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn absent(selector: &TagOrDigest) -> Error {
    Error::new(ErrorKind::NotFound).at(format!("manifest {selector}"))
}

fn damaged(path: &Path) -> Error {
    Error::new(ErrorKind::Io)
        .at(path.display())
        .detail("the file is damaged; push the manifest again")
}

/// A manifest with its media type's line.
const FILE_LIMIT: usize = MANIFEST_LIMIT + 256;
/// 1 KiB: no digest is longer.
const TAG_LIMIT: usize = 1 << 10;
