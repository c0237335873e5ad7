//! Manifests, tags and referrers of a repository, and the names of all repositories.

use bytes::Bytes;
use longshore_core::{
    Descriptor, Digest, Error, ErrorKind, MediaType, RawManifest, RepositoryName, Result,
    Source as _, Tag, TagGuard, TagOrDigest, graph,
};

use super::{Repository, Shared, query_all};
use crate::storage::{Key, LINKS, MANIFESTS};

impl Repository {
    /// Reads a manifest, checked against its digest.
    pub(super) async fn read_manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let absent = || Error::new(ErrorKind::NotFound).at(format!("manifest {selector}"));
        let digest = match selector {
            TagOrDigest::Digest(digest) => digest.clone(),
            TagOrDigest::Tag(tag) => self.tagged(tag).await?.ok_or_else(absent)?,
        };
        let key = Key::manifest(&self.name, &digest);
        let object = self.shared.objects.storage.get(&key).await?.ok_or_else(absent)?;
        let (media_type, bytes) = split(&object.content).ok_or_else(|| damaged(&key))?;
        RawManifest::new(bytes, Some(media_type), digest)
    }

    /// Writes a manifest, then its tags.
    pub(super) async fn write_manifest(self, manifest: RawManifest, tags: Vec<Tag>) -> Result<()> {
        let _turn = self.shared.turns.of(&self.name).read().await;
        self.put_manifest(&manifest, &tags).await
    }

    /// Writes a manifest, then its tag, if the tag meets the guard. The exclusive lock keeps the tag
    /// unchanged in between.
    pub(super) async fn write_guarded(
        self,
        manifest: RawManifest,
        tag: Tag,
        guard: TagGuard,
    ) -> Result<()> {
        let _turn = self.shared.turns.of(&self.name).write().await;
        let found = self.tagged(&tag).await?;
        guard.check(found.as_ref()).map_err(|e| e.at(self.tag_name(&tag)))?;
        self.put_manifest(&manifest, &[tag]).await
    }

    /// Adds the manifest to the referrers of its subject, then writes the manifest, then its tags.
    /// A visible manifest with a subject is therefore always listed as a referrer.
    async fn put_manifest(&self, manifest: &RawManifest, tags: &[Tag]) -> Result<()> {
        let mut objects = Vec::new();
        if let Some((subject, descriptor)) = graph::referrer(manifest)? {
            let entry = serde_json::to_vec(&descriptor)
                .map_err(|e| Error::new(ErrorKind::Invalid).with_source(e))?;
            let key = Key::referrer(&self.name, &subject, manifest.digest());
            objects.push((key, entry.into()));
        }
        let mut content = format!("{}\n", manifest.media_type()).into_bytes();
        content.extend_from_slice(manifest.bytes());
        objects.push((Key::manifest(&self.name, manifest.digest()), content.into()));
        objects.extend(self.tag_objects(manifest.digest(), tags));
        let written = self.shared.objects.put(objects).await;
        // Even after a failure, some of the objects may be stored.
        self.shared.names.added(&self.name);
        self.tags_added(tags);
        written
    }

    /// Points tags at an existing manifest.
    pub(super) async fn write_tags(self, digest: Digest, tags: Vec<Tag>) -> Result<()> {
        let _turn = self.shared.turns.of(&self.name).read().await;
        self.read_manifest(&digest.clone().into()).await?;
        let written = self.shared.objects.put(self.tag_objects(&digest, &tags)).await;
        self.tags_added(&tags);
        written
    }

    fn tag_objects(&self, digest: &Digest, tags: &[Tag]) -> Vec<(Key, Bytes)> {
        let content = Bytes::from(format!("{digest}\n"));
        tags.iter().map(|tag| (Key::tag(&self.name, tag), content.clone())).collect()
    }

    fn tags_added(&self, tags: &[Tag]) {
        if let Some(listing) = self.shared.listed_tags(&self.name) {
            tags.iter().for_each(|tag| listing.added(tag));
        }
    }

    fn tags_removed(&self) {
        if let Some(listing) = self.shared.listed_tags(&self.name) {
            listing.changed();
        }
    }

    /// Removes the tags of a manifest, then the manifest, then its entry in the subject's
    /// referrers.
    pub(super) async fn remove_manifest(self, digest: Digest) -> Result<()> {
        let _turn = self.shared.turns.of(&self.name).write().await;
        let objects = &self.shared.objects;
        // A damaged manifest can be removed too, but its subject is unknown.
        let subject = match self.read_manifest(&digest.clone().into()).await {
            Ok(manifest) => graph::referrer(&manifest)?.map(|(subject, _)| subject),
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(e),
            Err(_) => None,
        };
        let tags = query_all(self.scan_tags().await?, async |tag| {
            // A damaged tag points at no manifest.
            let to = self.tagged(&tag).await.ok().flatten();
            Ok((to.as_ref() == Some(&digest)).then_some(tag))
        });
        for tag in tags.await?.iter().flatten() {
            objects.remove(&Key::tag(&self.name, tag)).await?;
            self.tags_removed();
        }
        objects.remove(&Key::manifest(&self.name, &digest)).await?;
        if let Some(subject) = subject {
            objects.remove(&Key::referrer(&self.name, &subject, &digest)).await?;
        }
        Ok(())
    }

    /// Removes one tag.
    pub(super) async fn remove_tag(self, tag: Tag) -> Result<()> {
        let _turn = self.shared.turns.of(&self.name).write().await;
        let (objects, key) = (&self.shared.objects, Key::tag(&self.name, &tag));
        if !objects.has(&key).await? {
            return Err(Error::new(ErrorKind::NotFound).at(format!("tag {tag}")));
        }
        let removed = objects.remove(&key).await;
        self.tags_removed();
        removed
    }

    /// Returns the digest that a tag points at.
    async fn tagged(&self, tag: &Tag) -> Result<Option<Digest>> {
        let key = Key::tag(&self.name, tag);
        let Some(object) = self.shared.objects.storage.get(&key).await? else { return Ok(None) };
        let digest = std::str::from_utf8(&object.content).ok();
        let digest = digest.and_then(|text| Digest::parse(text.trim_end()).ok());
        digest.map(Some).ok_or_else(|| damaged(&key))
    }

    /// Returns the tags, in no particular order.
    pub(super) async fn scan_tags(&self) -> Result<Vec<Tag>> {
        let names = self.shared.objects.storage.list(&Key::tags(&self.name)).await?;
        Ok(names.iter().filter_map(|name| Tag::parse(name).ok()).collect())
    }

    /// Returns the existing manifests that refer to a subject, ordered by digest.
    pub(super) async fn read_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
    ) -> Result<Vec<Descriptor>> {
        let (objects, entries) = (&self.shared.objects, Key::referrers(&self.name, subject));
        let found = query_all(objects.storage.list(&entries).await?, async |name| {
            let key = entries.join(&name);
            let Some(entry) = objects.storage.get(&key).await? else { return Ok(None) };
            let descriptor: Descriptor =
                serde_json::from_slice(&entry.content).map_err(|e| damaged(&key).with_source(e))?;
            let manifest = Key::manifest(&self.name, &descriptor.digest);
            let is_one = descriptor.is_of_type(artifact_type) && objects.has(&manifest).await?;
            Ok(is_one.then_some(descriptor))
        });
        let mut found: Vec<Descriptor> = found.await?.into_iter().flatten().collect();
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    /// Returns true if the repository has any content. May also return true if all its content was
    /// removed.
    pub(super) async fn is_there(&self) -> Result<bool> {
        let storage = &self.shared.objects.storage;
        let has_manifests = !storage.list(&Key::manifests(&self.name)).await?.is_empty();
        Ok(has_manifests || !storage.list(&Key::links(&self.name)).await?.is_empty())
    }
}

impl Shared {
    /// Returns the names of all repositories, in no particular order.
    pub(super) async fn scan_names(&self) -> Result<Vec<RepositoryName>> {
        let (mut found, mut left) = (Vec::new(), vec![String::new()]);
        while let Some(name) = left.pop() {
            let folder = match &*name {
                "" => Key::repositories(),
                name => Key::repositories().join(name),
            };
            let children = self.objects.storage.list(&folder).await?;
            if children.iter().any(|child| child == MANIFESTS || child == LINKS) {
                found.extend(RepositoryName::parse(&name));
            }
            left.extend(children.into_iter().filter(|child| !child.starts_with('_')).map(
                |child| match &*name {
                    "" => child,
                    name => format!("{name}/{child}"),
                },
            ));
        }
        Ok(found)
    }
}

/// Splits a manifest's object into its media type and its bytes.
fn split(content: &Bytes) -> Option<(MediaType, Bytes)> {
    let end = content.iter().position(|b| *b == b'\n')?;
    let media_type = std::str::from_utf8(&content[..end]).ok()?;
    Some((MediaType::parse(media_type).ok()?, content.slice(end + 1..)))
}

fn damaged(key: &Key) -> Error {
    Error::new(ErrorKind::Io).at(key).detail("the object is damaged; push the manifest again")
}
