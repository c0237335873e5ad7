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
    Memory, Mount, Node, Pages, RawManifest, RepositoryName, Result, Source, Tag, TagOrDigest,
    Target,
};

use super::session::{Progress, Sessions, keeps_bytes, mismatch};
use super::{Backend, RepositoryStore, UploadId};

/// Repositories in memory, gone with the process. Clones share their content.
#[derive(Clone)]
pub struct MemoryBackend(Arc<Shared>);

struct Shared {
    repositories: Mutex<BTreeMap<RepositoryName, Memory>>,
    sessions: Sessions<Vec<u8>>,
}

impl MemoryBackend {
    /// No repositories.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared { repositories: Mutex::default(), sessions: Sessions::new() }))
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
}

#[async_trait]
impl Backend for MemoryBackend {
    fn repository(&self, name: &RepositoryName) -> Arc<dyn RepositoryStore> {
        Arc::new(MemoryRepository { name: name.clone(), shared: Arc::clone(&self.0) })
    }

    fn repositories(&self, after: Option<&RepositoryName>) -> Pages<RepositoryName> {
        let all = self.0.all();
        let names = all
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| *name > after))
            .filter(|(_, content)| content.manifest_count() > 0)
            .map(|(name, _)| name.clone())
            .collect();
        Pages::of(names)
    }

    async fn expire_uploads(&self, idle: Duration) -> Result<usize> {
        Ok(self.0.sessions.expire(idle).len())
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
        mut bytes: BlobStream,
        done: impl Fn(u64) + Send,
    ) -> Result<()> {
        let before = (progress.digester.clone(), progress.store.len());
        let failed = loop {
            match bytes.try_next().await {
                Ok(Some(piece)) => {
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
            progress.digester = before.0;
            progress.store.truncate(before.1);
            progress.size = before.1 as u64;
            done(progress.size);
        }
        Err(failed)
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

    async fn push_blob(&self, descriptor: &Descriptor, body: BlobBody) -> Result<()> {
        self.made().push_blob(descriptor, body).await
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.made().push_manifest(manifest, tag).await
    }
}

#[async_trait]
impl Delete for MemoryRepository {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.content().delete_blob(digest).await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        self.content().delete_manifest(digest).await
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

    async fn append(&self, id: &UploadId, offset: Option<u64>, bytes: BlobStream) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let mut progress = session.lock(offset)?;
        let done = |size| session.advanced(size);
        self.write(&mut progress, bytes, done).await?;
        Ok(progress.size)
    }

    async fn upload_size(&self, id: &UploadId) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        Ok(session.size())
    }

    async fn commit(
        &self,
        id: &UploadId,
        digest: &Digest,
        offset: Option<u64>,
        last: BlobStream,
    ) -> Result<()> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let mut progress = session.lock(offset)?;
        progress.expect(digest);
        let done = |size| session.advanced(size);
        self.write(&mut progress, last, done).await?;
        self.shared.sessions.forget(id);
        let content = Bytes::from(std::mem::take(&mut progress.store));
        // Without a second look at what is known to be wrong.
        if progress.matches(digest) == Some(false) {
            return Err(mismatch(digest));
        }
        let size = content.len() as u64;
        let descriptor = Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), size);
        let stored = self.made().push_blob(&descriptor, content.into()).await;
        stored.map_err(|_| mismatch(digest))
    }

    async fn cancel(&self, id: &UploadId) -> Result<()> {
        self.shared.sessions.close(&self.name, id).map(drop)
    }

    async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<Mount> {
        let sources: Vec<Memory> = {
            let all = self.shared.all();
            match from {
                Some(from) => all.get(from).cloned().into_iter().collect(),
                None => all.values().cloned().collect(),
            }
        };
        let held = |source: &&Memory| source.blob_bytes(digest).is_some();
        Ok(match sources.iter().find(held) {
            Some(source) if self.made().adopt_blob(digest, source) => Mount::Mounted,
            _ => Mount::Declined,
        })
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
