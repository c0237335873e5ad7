//! One repository, as an implementation of the store traits.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use longshore_core::{
    BlobBody, BlobReader, BlobStream, Delete, Descriptor, Digest, ErrorKind, GuardMethod,
    MediaType, Node, Page, Pages, Presence, Pushed, RawManifest, RepositoryName, Result, Source,
    Tag, TagGuard, TagOrDigest, Target,
};

use super::blobs::CHECK_LIMIT;
use super::{Chunk, Shared, run_to_completion};
use crate::storage::Key;

/// A repository of a registry: a store that also accepts blobs in chunks. Clones refer to the same
/// repository.
///
/// An upload belongs to the repository in which it was begun, and is unknown in all others. No part
/// of an upload is visible before [`commit`](Self::commit), which exposes only verified content.
/// When `commit` returns, a storage that outlives the process has made the content durable.
#[derive(Clone)]
pub struct Repository {
    pub(super) name: RepositoryName,
    pub(super) shared: Arc<Shared>,
}

impl Repository {
    pub(super) fn new(name: RepositoryName, shared: Arc<Shared>) -> Self {
        Self { name, shared }
    }

    /// Returns true if the repository has any content. May also return true if all its content was
    /// removed.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails.
    pub async fn exists(&self) -> Result<bool> {
        self.is_there().await
    }

    /// Links a blob from another repository, or from any repository if `from` is `None`. Returns
    /// false if no such repository has the blob.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails.
    pub async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<bool> {
        run_to_completion(self.clone().mount_now(digest.clone(), from.cloned())).await
    }

    /// Returns a URL for fetching a blob without credentials, if the storage offers such URLs.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the storage fails.
    pub async fn blob_url(&self, digest: &Digest) -> Result<Option<String>> {
        self.shared.objects.storage.url(&Key::blob(digest)).await
    }

    /// Points tags at an existing manifest.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the manifest does not exist.
    pub async fn tag(&self, digest: &Digest, tags: &[Tag]) -> Result<()> {
        run_to_completion(self.clone().write_tags(digest.clone(), tags.to_vec())).await
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.name)
    }
}

#[async_trait]
impl Source for Repository {
    fn name(&self) -> String {
        self.name.to_string()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        self.read_manifest(selector).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        // If the stored size differs from that of the descriptor, the reader fails because the
        // content does not match.
        let size = self.look(&descriptor.digest, 0).await?.unwrap_or(0);
        let stream = self.read(&descriptor.digest, 0..size).await?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.read(&descriptor.digest, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.look(digest, CHECK_LIMIT).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let (this, after) = (self.clone(), after.cloned());
        Pages::new(move |token| {
            let (this, after) = (this.clone(), after.clone());
            async move {
                let listing = match this.shared.listed_tags(&this.name) {
                    Some(listing) => listing,
                    None if this.scan_tags().await?.is_empty() => {
                        return Ok(Page { items: Vec::new(), next: None });
                    }
                    None => this.shared.tags(&this.name),
                };
                listing.page(token.as_ref(), after.as_ref(), this.scan_tags()).await
            }
        })
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let (this, subject) = (self.clone(), subject.clone());
        let artifact_type = artifact_type.cloned();
        Pages::new(move |_| {
            let (this, subject) = (this.clone(), subject.clone());
            let artifact_type = artifact_type.clone();
            async move {
                let items = this.read_referrers(&subject, artifact_type.as_ref()).await?;
                Ok(Page { items, next: None })
            }
        })
    }
}

#[async_trait]
impl Target for Repository {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        let held = match node {
            Node::Blob(descriptor) => {
                self.look(&descriptor.digest, u64::MAX).await? == Some(descriptor.size)
            }
            Node::Manifest(descriptor) => {
                match self.resolve(&descriptor.digest.clone().into()).await {
                    Ok(_) => true,
                    Err(e)
                        if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DigestMismatch) =>
                    {
                        false
                    }
                    Err(e) => return Err(e),
                }
            }
        };
        Ok(if held { Presence::Partial } else { Presence::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let reader = body.open(descriptor).await?;
        let algorithm = descriptor.digest.algorithm().unwrap_or_default();
        let id = self.begin_upload(algorithm)?;
        let bytes = BlobStream::new(reader);
        let chunk = Chunk { offset: None, size: Some(descriptor.size), bytes };
        let pushed = self.commit(&id, &descriptor.digest, chunk).await;
        if pushed.is_err() {
            // Canceling fails if the content was wrong, because the upload was then already
            // removed.
            let _ = self.cancel(&id).await;
        }
        pushed.map(|()| Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let tags = tag.cloned().into_iter().collect();
        run_to_completion(self.clone().write_manifest(manifest.clone(), tags)).await
    }

    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        let (manifest, tag, guard) = (manifest.clone(), tag.clone(), guard.clone());
        let written = run_to_completion(self.clone().write_guarded(manifest, tag, guard)).await;
        written.map(|()| GuardMethod::Atomic)
    }
}

#[async_trait]
impl Delete for Repository {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        run_to_completion(self.clone().delete_blob_now(digest.clone())).await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        run_to_completion(self.clone().remove_manifest(digest.clone())).await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        run_to_completion(self.clone().remove_tag(tag.clone())).await
    }
}
