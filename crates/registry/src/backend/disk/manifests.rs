//! Manifest, tag and referrer files of one repository. Everything here blocks.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_core::blob_file::Aside;
use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, MANIFEST_LIMIT, MediaType, RawManifest, RepositoryName,
    Result, Tag, TagOrDigest, blob_file, graph,
};

use super::blobs::{create_parent, is_absent, sync_parent};
use super::locks::Locks;
use super::place::{BLOBS, Folder, MANIFESTS, Place};
use crate::backend::space::{Held, Space};

/// How small files come and go.
#[derive(Debug)]
pub(super) struct Files {
    place: Place,
    space: Space,
    /// One path is changed by one thread at a time, where that is needed to count what is there.
    changing: Locks<Mutex<()>>,
}

/// A small file that is to be there.
struct Entry {
    path: PathBuf,
    content: Vec<u8>,
}

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
/// finds it listed; then its tags.
pub(super) fn write(
    files: &Files,
    folder: &Folder,
    manifest: &RawManifest,
    tags: &[Tag],
) -> Result<()> {
    let mut entries = Vec::new();
    if let Some((subject, descriptor)) = graph::referrer(manifest)? {
        let path = folder.referrer(&subject, manifest.digest());
        let content = serde_json::to_vec(&descriptor)
            .map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
        entries.push(Entry { path, content });
    }
    let mut content = format!("{}\n", manifest.media_type()).into_bytes();
    content.extend_from_slice(manifest.bytes());
    entries.push(Entry { path: folder.manifest(manifest.digest()), content });
    entries.extend(tag_entries(folder, manifest.digest(), tags));
    files.write(&entries)
}

/// Points tags at a digest.
pub(super) fn tag(files: &Files, folder: &Folder, digest: &Digest, tags: &[Tag]) -> Result<()> {
    files.write(&tag_entries(folder, digest, tags))
}

fn tag_entries(folder: &Folder, digest: &Digest, tags: &[Tag]) -> Vec<Entry> {
    let entry = |tag| Entry { path: folder.tag(tag), content: format!("{digest}\n").into_bytes() };
    tags.iter().map(entry).collect()
}

/// Removes a manifest, its tags before it, its entry among referrers after it.
pub(super) fn remove(files: &Files, folder: &Folder, digest: &Digest) -> Result<()> {
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
            files.remove(&tag)?;
        }
    }
    files.remove(&path)?;
    if let Some(subject) = subject {
        files.remove(&folder.referrer(&subject, digest))?;
    }
    Ok(())
}

/// Removes one tag.
pub(super) fn untag(files: &Files, folder: &Folder, tag: &Tag) -> Result<()> {
    if files.remove(&folder.tag(tag))? {
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

/// The names of all repositories, in no order.
pub(super) fn repositories(place: &Place) -> Result<Vec<RepositoryName>> {
    let mut found = Vec::new();
    let mut left = vec![String::new()];
    while let Some(name) = left.pop() {
        let children = file_names(&place.repositories().join(&name))?;
        if children.iter().any(|child| child == MANIFESTS || child == BLOBS) {
            found.extend(RepositoryName::parse(&name));
        }
        for child in children {
            if !child.starts_with('_') {
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

impl Files {
    pub(super) fn new(place: Place, space: Space) -> Self {
        Self { place, space, changing: Locks::new() }
    }

    /// Writes small files in this order, if there is room for all of them.
    fn write(&self, entries: &[Entry]) -> Result<()> {
        let room = entries.iter().map(|entry| {
            let there = size_of(&entry.path);
            (entry.content.len() as u64).saturating_sub(there)
        });
        let mut held = self.space.take(room.sum())?;
        entries.iter().try_for_each(|entry| self.replace(entry, &mut held))
    }

    /// Writes a small file whole, unless it is there just so.
    fn replace(&self, Entry { path, content }: &Entry, held: &mut Held) -> Result<()> {
        let same = blob_file::read(path, content.len()).is_ok_and(|there| there == *content);
        if same {
            // Its name may be new: the process that gave it may have died before it was synced.
            return sync_parent(path);
        }
        create_parent(path)?;
        let mut aside = Aside::create(&self.place.uploads())?;
        std::io::Write::write_all(&mut aside, content).map_err(|e| Error::io(path, e))?;
        let _changing = self.changing(path);
        let before = size_of(path);
        aside.publish(path)?;
        held.replace(before, content.len() as u64);
        Ok(())
    }

    fn changing(&self, path: &Path) -> Option<MutexGuard<'_, ()>> {
        let lock = self.space.is_counted().then(|| self.changing.of(&path).lock());
        lock.map(|guard| guard.unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes a file, for good; says whether it was there.
    fn remove(&self, path: &Path) -> Result<bool> {
        let _changing = self.changing(path);
        let size = size_of(path);
        match std::fs::remove_file(path) {
            Ok(()) => {
                self.space.freed(size);
                sync_parent(path).map(|()| true)
            }
            Err(e) if is_absent(&e) => Ok(false),
            Err(e) => Err(Error::io(path, e)),
        }
    }
}

/// The bytes of a file; 0 if there is none.
fn size_of(path: &Path) -> u64 {
    std::fs::symlink_metadata(path).map_or(0, |there| there.len())
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
