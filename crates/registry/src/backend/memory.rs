//! Repositories in memory: for tests, demonstrations and short-lived caches.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_core::{
    Algorithm, BlobBody, BlobReader, BlobStream, Delete, Descriptor, Digest, Holding, MediaType,
    Memory, Node, Pages, Pushed, RawManifest, RepositoryName, Result, Source, Tag, TagOrDigest,
    Target,
};

use super::session::{Progress, Sessions, keeps_bytes, mismatch};
use super::space::{Held, Space};
use super::{Backend, Chunk, RepositoryStore, UploadId, Usage};

/// Repositories in memory, gone with the process. Clones share their content.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Shared>);

struct Shared {
    repositories: Mutex<BTreeMap<RepositoryName, Memory>>,
    sessions: Sessions<Vec<u8>>,
    space: Space,
    /// Held while content comes or goes: whether it was the last of its kind shows then.
    changing: tokio::sync::Mutex<()>,
}

impl MemoryBackend {
    /// No repositories.
    #[must_use]
    pub fn new() -> Self {
        Self::limited(u64::MAX)
    }

    /// No repositories, which may come to hold so many bytes: blobs (each once, where one was
    /// mounted), manifests and uploads.
    #[must_use]
    pub fn limited(bytes: u64) -> Self {
        let space = Space::new(Some(bytes));
        Self(Arc::new(Shared {
            repositories: Mutex::default(),
            sessions: Sessions::new(space.clone()),
            space,
            changing: tokio::sync::Mutex::default(),
        }))
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBackend({} repositories)", self.0.all().len())
    }
}

impl Shared {
    fn all(&self) -> MutexGuard<'_, BTreeMap<RepositoryName, Memory>> {
        let all = self.repositories.lock();
        all.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a repository has a blob no more. It is gone if no other one shares it.
    fn dropped(&self, digest: &Digest, blob: &Bytes) {
        let all = self.all();
        let mut held = all.values().filter_map(|content| content.blob_bytes(digest));
        if !held.any(|held| held.as_ptr() == blob.as_ptr()) {
            self.space.freed(blob.len() as u64);
        }
    }
}

#[async_trait]
impl Backend for MemoryBackend {
    fn repository(&self, name: &RepositoryName) -> Arc<dyn RepositoryStore> {
        Arc::new(MemoryRepository { name: name.clone(), shared: Arc::clone(&self.0) })
    }

    fn repositories(&self, after: Option<&RepositoryName>) -> Pages<RepositoryName> {
        let all = self.0.all();
        let names =
            all.keys().filter(|name| after.is_none_or(|after| *name > after)).cloned().collect();
        Pages::of(names)
    }

    async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        Ok(self.0.sessions.expire(idle).len())
    }

    fn usage(&self) -> Usage {
        Usage { uploads: Some(self.0.sessions.count()), stored: self.0.space.used() }
    }
}

struct MemoryRepository {
    name: RepositoryName,
    shared: Arc<Shared>,
}

impl MemoryRepository {
    /// What is in the repository; nothing, if it does not exist.
    fn content(&self) -> Memory {
        let content = self.shared.all().get(&self.name).cloned();
        content.unwrap_or_default()
    }

    /// What is in the repository, which comes to be by this.
    fn made(&self) -> Memory {
        let mut all = self.shared.all();
        all.entry(self.name.clone()).or_default().clone()
    }

    async fn write(
        &self,
        progress: &mut Progress<Vec<u8>>,
        mut chunk: Chunk,
        done: impl Fn(u64) + Send,
    ) -> Result<()> {
        let mut aside = progress.held.aside(chunk.size.unwrap_or(0))?;
        let before = (progress.digester.clone(), progress.size);
        let failed = loop {
            match chunk.bytes.try_next().await {
                Ok(Some(piece)) => {
                    if let Err(e) = progress.held.draw(piece.len() as u64, &mut aside) {
                        break e;
                    }
                    progress.digester.update(&piece);
                    progress.store.extend_from_slice(&piece);
                    progress.size = progress.store.len() as u64;
                    done(progress.size);
                }
                Ok(None) => return Ok(()),
                Err(e) => break e,
            }
        };
        if !keeps_bytes(&failed) {
            progress.go_back(before.0, before.1);
            progress.store.truncate(usize::try_from(before.1).unwrap_or(0));
            done(progress.size);
        }
        Err(failed)
    }

    /// Puts a blob into the repository, in the place of what it had under that digest.
    async fn insert(&self, descriptor: &Descriptor, body: BlobBody, mut held: Held) -> Result<()> {
        let _changing = self.shared.changing.lock().await;
        let content = self.made();
        let before = content.blob_bytes(&descriptor.digest);
        content.push_blob(descriptor, body).await?;
        held.keep();
        if let Some(before) = before {
            self.shared.dropped(&descriptor.digest, &before);
        }
        Ok(())
    }
}

impl fmt::Debug for MemoryRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryRepository({})", self.name)
    }
}

#[async_trait]
impl Source for MemoryRepository {
    fn name(&self) -> String {
        self.name.to_string()
    }

    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.content().resolve(selector).await
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.content().manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        self.content().blob(descriptor).await
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.content().blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.content().blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.content().tags(after)
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.content().referrers(subject, artifact_type)
    }
}

#[async_trait]
impl Target for MemoryRepository {
    async fn holds(&self, node: Node<'_>) -> Result<Holding> {
        self.content().holds(node).await
    }

    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<Pushed> {
        let mut body = body;
        let held = self.shared.space.take(descriptor.size)?;
        let size = usize::try_from(descriptor.size).unwrap_or(usize::MAX);
        let content = body.open(descriptor).await?.bytes(size).await?;
        self.insert(descriptor, content.into(), held).await?;
        Ok(Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let _changing = self.shared.changing.lock().await;
        let selector = manifest.digest().clone().into();
        let is_there = self.content().resolve(&selector).await.is_ok();
        let size = if is_there { 0 } else { manifest.bytes().len() as u64 };
        let mut held = self.shared.space.take(size)?;
        self.made().push_manifest(manifest, tag).await?;
        held.keep();
        Ok(())
    }
}

#[async_trait]
impl Delete for MemoryRepository {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let _changing = self.shared.changing.lock().await;
        let content = self.content();
        let blob = content.blob_bytes(digest);
        content.delete_blob(digest).await?;
        if let Some(blob) = blob {
            self.shared.dropped(digest, &blob);
        }
        Ok(())
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let _changing = self.shared.changing.lock().await;
        let content = self.content();
        let size = content.resolve(&digest.clone().into()).await?.size;
        content.delete_manifest(digest).await?;
        self.shared.space.freed(size);
        Ok(())
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        self.content().delete_tag(tag).await
    }
}

#[async_trait]
impl RepositoryStore for MemoryRepository {
    async fn exists(&self) -> Result<bool> {
        Ok(self.shared.all().contains_key(&self.name))
    }

    async fn begin_upload(&self, algorithm: Algorithm) -> Result<UploadId> {
        let sessions = &self.shared.sessions;
        sessions.begin(&self.name, algorithm, |_| Vec::new())
    }

    async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let mut progress = session.lock(chunk.offset)?;
        let done = |size| session.advanced(size);
        self.write(&mut progress, chunk, done).await?;
        Ok(progress.size)
    }

    async fn upload_size(&self, id: &UploadId) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        Ok(session.size())
    }

    async fn commit(&self, id: &UploadId, digest: &Digest, last: Chunk) -> Result<()> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let mut progress = session.lock(last.offset)?;
        progress.expect(digest);
        let done = |size| session.advanced(size);
        self.write(&mut progress, last, done).await?;
        self.shared.sessions.forget(id);
        let content = Bytes::from(std::mem::take(&mut progress.store));
        let held = std::mem::replace(&mut progress.held, self.shared.space.held(0));
        // Without a second look at what is known to be wrong.
        if progress.matches(digest) == Some(false) {
            return Err(mismatch(digest));
        }
        let size = content.len() as u64;
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), size);
        let stored = self.insert(&descriptor, content.into(), held).await;
        stored.map_err(|_| mismatch(digest))
    }

    async fn cancel(&self, id: &UploadId) -> Result<()> {
        self.shared.sessions.close(&self.name, id).map(drop)
    }

    async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<bool> {
        let _changing = self.shared.changing.lock().await;
        let sources: Vec<Memory> = {
            let all = self.shared.all();
            match from {
                Some(from) => all.get(from).cloned().into_iter().collect(),
                None => all.values().cloned().collect(),
            }
        };
        let held = |source: &&Memory| source.blob_bytes(digest).is_some();
        let Some(source) = sources.iter().find(held) else { return Ok(false) };
        let content = self.made();
        let before = content.blob_bytes(digest);
        if !content.adopt_blob(digest, source) {
            return Ok(false);
        }
        if let Some(before) = before {
            self.shared.dropped(digest, &before);
        }
        Ok(true)
    }

    async fn tag(&self, digest: &Digest, tags: &[Tag]) -> Result<()> {
        let content = self.content();
        let manifest = content.manifest(&digest.clone().into()).await?;
        for tag in tags {
            content.push_manifest(&manifest, Some(tag)).await?;
        }
        Ok(())
    }
}
