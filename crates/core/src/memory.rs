//! A repository in memory: for tests, and as the smallest example of a store.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream;

use crate::blob::{BlobBody, BlobReader, BlobStream};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::graph;
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Delete, Node, Presence, Pushed, Source, Target};
use crate::tag_guard::{GuardMethod, TagGuard};

/// A repository in memory. Clones share their content.
#[derive(Clone, Default)]
pub struct Memory {
    content: Arc<RwLock<Content>>,
}

#[derive(Default)]
struct Content {
    blobs: BTreeMap<Digest, Bytes>,
    manifests: BTreeMap<Digest, RawManifest>,
    tags: BTreeMap<Tag, Digest>,
    /// The key is the subject, then the referrer. The map is ordered, so that listings are ordered.
    referrers: BTreeMap<(Digest, Digest), Descriptor>,
}

impl Memory {
    /// Creates an empty repository.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the content of a blob. The bytes are shared with the store, not copied.
    #[must_use]
    pub fn blob_bytes(&self, digest: &Digest) -> Option<Bytes> {
        self.read().blobs.get(digest).cloned()
    }

    /// Returns the number of manifests.
    #[must_use]
    pub fn manifest_count(&self) -> usize {
        self.read().manifests.len()
    }

    fn read(&self) -> RwLockReadGuard<'_, Content> {
        // Writers insert and remove whole entries, so each entry is complete even if a writer
        // panicked.
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a manifest, and points `tag` at it if the tag meets the guard.
    fn put(&self, manifest: &RawManifest, tag: Option<(&Tag, Option<&TagGuard>)>) -> Result<()> {
        let digest = manifest.digest().clone();
        let referrer = graph::referrer(manifest)?;
        let mut content = self.write();
        if let Some((tag, Some(guard))) = tag {
            let found = content.tags.get(tag);
            guard.check(found).map_err(|e| e.at(self.tag_name(tag)))?;
        }
        if let Some((subject, descriptor)) = referrer {
            content.referrers.insert((subject, digest.clone()), descriptor);
        }
        content.manifests.insert(digest.clone(), manifest.clone());
        if let Some((tag, _)) = tag {
            content.tags.insert(tag.clone(), digest);
        }
        Ok(())
    }
}

impl Content {
    fn manifest(&self, selector: &TagOrDigest) -> Result<&RawManifest> {
        let digest = match selector {
            TagOrDigest::Tag(tag) => self.tags.get(tag),
            TagOrDigest::Digest(digest) => Some(digest),
        };
        digest
            .and_then(|digest| self.manifests.get(digest))
            .ok_or_else(|| Error::new(ErrorKind::NotFound).at(format!("manifest {selector}")))
    }
}

#[async_trait]
impl Source for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.read().manifest(selector).map(|manifest| manifest.descriptor().clone())
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.read().manifest(selector).cloned()
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let stream = self.blob_range(descriptor, 0..descriptor.size).await?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let content =
            self.blob_bytes(&descriptor.digest).ok_or_else(|| no_blob(&descriptor.digest))?;
        let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        match bounds {
            Some((start, end)) if start <= end && end <= content.len() => {
                Ok(BlobStream::new(stream::iter([Ok(content.slice(start..end))])))
            }
            _ => Err(Error::outside(&range, content.len() as u64).at(&descriptor.digest)),
        }
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.read().blobs.get(digest).map(|content| content.len() as u64))
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tags =
            self.read().tags.range((from, Bound::Unbounded)).map(|(tag, _)| tag.clone()).collect();
        Pages::from_items(tags)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let content = self.read();
        let found = content
            .referrers
            .iter()
            .filter(|((of, _), _)| of == subject)
            .map(|(_, descriptor)| descriptor)
            .filter(|d| d.is_of_type(artifact_type))
            .cloned()
            .collect();
        Pages::from_items(found)
    }
}

#[async_trait]
impl Target for Memory {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        let content = self.read();
        let held = match node {
            Node::Blob(descriptor) => content.blobs.contains_key(&descriptor.digest),
            Node::Manifest(descriptor) => content.manifests.contains_key(&descriptor.digest),
        };
        Ok(if held { Presence::Partial } else { Presence::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let reader = body.open(descriptor).await?;
        let content = reader.bytes(usize::MAX).await?;
        self.write().blobs.insert(descriptor.digest.clone(), content);
        Ok(Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.put(manifest, tag.map(|tag| (tag, None)))
    }

    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        self.put(manifest, Some((tag, Some(guard)))).map(|()| GuardMethod::Atomic)
    }
}

#[async_trait]
impl Delete for Memory {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.write().blobs.remove(digest).map(drop).ok_or_else(|| no_blob(digest))
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let mut content = self.write();
        if content.manifests.remove(digest).is_none() {
            return Err(Error::new(ErrorKind::NotFound).at(format!("manifest {digest}")));
        }
        content.tags.retain(|_, tagged| tagged != digest);
        content.referrers.retain(|(_, referrer), _| referrer != digest);
        Ok(())
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        match self.write().tags.remove(tag) {
            Some(_) => Ok(()),
            None => Err(Error::new(ErrorKind::NotFound).at(format!("tag {tag}"))),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.read();
        write!(f, "Memory({} manifests, {} blobs)", content.manifests.len(), content.blobs.len())
    }
}

fn no_blob(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound).at(format!("blob {digest}"))
}
