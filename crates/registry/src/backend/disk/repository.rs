//! One repository on the disk, as the traits want it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use longshore_core::{
    Algorithm, BlobBody, BlobReader, BlobStream, Delete, Descriptor, Digest, Error, ErrorKind,
    Holding, MediaType, Node, Page, PageToken, Pages, Pushed, RawManifest, RepositoryName, Result,
    Source, Tag, TagOrDigest, Target, blob_file, offload,
};

use super::blobs::{CHECK_LIMIT, Found, sync_parent};
use super::place::Folder;
use super::uploads::{UploadFile, Writing};
use super::{Shared, manifests, uploads};
use crate::backend::session::mismatch;
use crate::backend::{Chunk, RepositoryStore, UploadId};

/// A repository of a [`Disk`](super::Disk).
#[derive(Clone)]
pub(super) struct DiskRepository {
    name: RepositoryName,
    folder: Folder,
    shared: Arc<Shared>,
}

impl DiskRepository {
    pub(super) fn new(name: RepositoryName, shared: Arc<Shared>) -> Self {
        let folder = shared.place.repository(&name);
        Self { name, folder, shared }
    }

    /// Runs blocking work on this repository off the async threads.
    async fn run<T, F>(&self, work: F) -> Result<T>
    where
        F: FnOnce(&Self) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let this = self.clone();
        offload(move || work(&this)).await
    }

    /// A listing whose pages are made off the async threads.
    fn pages<T, F>(&self, list: F) -> Pages<T>
    where
        F: Fn(&Self, Option<PageToken>) -> Result<Page<T>> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let this = self.clone();
        Pages::new(move |token| {
            let (this, list) = (this.clone(), list.clone());
            offload(move || list(&this, token))
        })
    }

    fn is_there(&self) -> bool {
        self.folder.manifests().is_dir() || self.folder.blobs().is_dir()
    }

    /// Makes a change that may bring the repository into being, which the catalog is to show.
    fn beginning<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        let was_there = self.is_there();
        let changed = change();
        if !was_there {
            self.shared.names.changed();
        }
        changed
    }

    fn look(&self, digest: &Digest, limit: u64) -> Result<Option<u64>> {
        let path = self.folder.blob(digest);
        Ok(match self.shared.blobs.look(&path, digest, limit)? {
            Found::Nothing => None,
            Found::Right(size) | Found::Unchecked(size) => Some(size),
        })
    }

    /// Opens a blob's file.
    fn open(&self, digest: &Digest) -> Result<Opened> {
        let path = self.folder.blob(digest);
        let file = blob_file::open(&path).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::Invalid => no_blob(digest),
            _ => e,
        })?;
        let metadata = file.metadata().map_err(|e| Error::io(&path, e))?;
        let is_right = self.shared.blobs.knows(digest, &metadata);
        Ok(Opened { file, path, metadata, is_right })
    }

    /// Holds an upload against its digest and makes it a blob.
    fn finish(&self, id: &UploadId, digest: &Digest, writing: &mut Writing) -> Result<()> {
        // Opening sums what came before a restart.
        writing.file()?;
        let matches = match (writing.matches(digest), digest.algorithm()) {
            (Some(matches), _) => matches,
            (None, Some(algorithm)) => writing.sum_by(algorithm)? == *digest,
            (None, None) => false,
        };
        if !matches {
            self.shared.sessions.forget(id);
            writing.store.remove()?;
            return Err(mismatch(digest));
        }
        let upload = writing.store.path().to_owned();
        let file = writing.file()?;
        let blobs = &self.shared.blobs;
        if self.beginning(|| blobs.publish(&self.folder, digest, &upload, file))? {
            writing.held.keep();
        }
        sync_parent(&self.folder.blob(digest))?;
        self.shared.sessions.forget(id);
        writing.store.published()
    }
}

struct Opened {
    file: std::fs::File,
    path: PathBuf,
    metadata: std::fs::Metadata,
    is_right: bool,
}

impl fmt::Debug for DiskRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskRepository({})", self.name)
    }
}

#[async_trait]
impl Source for DiskRepository {
    fn name(&self) -> String {
        self.name.to_string()
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let selector = selector.clone();
        self.run(move |this| manifests::read(&this.folder, &selector)).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let digest = descriptor.digest.clone();
        let opened = self.run(move |this| this.open(&digest)).await?;
        let stream = BlobStream::of_open_file(opened.file, opened.path, 0)?;
        BlobReader::new(descriptor.clone(), stream)
    }

    /// Reads the file as it is where it is known to be right, or only a part is wanted. A whole
    /// blob that was not checked yet is checked as it streams, its last piece withheld.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let digest = descriptor.digest.clone();
        let opened = self.run(move |this| this.open(&digest)).await?;
        let digest = descriptor.digest.clone();
        let size = opened.metadata.len();
        if range.start > range.end || range.end > size {
            return Err(Error::new(ErrorKind::Invalid).at(digest).detail(format!(
                "bytes {}..{} of a blob of {size} bytes",
                range.start, range.end
            )));
        }
        let stream = BlobStream::of_open_file(opened.file, opened.path, range.start)?;
        if opened.is_right || range != (0..size) {
            return Ok(stream.at_most(range.end - range.start));
        }
        let whole = Descriptor::new(MediaType::OCTET_STREAM, digest.clone(), size);
        let reader = BlobReader::new(whole, stream)?;
        let (shared, metadata) = (Arc::clone(&self.shared), opened.metadata);
        let pieces = stream::unfold((reader, true), move |(mut reader, good)| {
            let (shared, digest, metadata) =
                (Arc::clone(&shared), digest.clone(), metadata.clone());
            async move {
                let piece = reader.next().await;
                if piece.is_none() && good {
                    shared.blobs.remember(&digest, &metadata);
                }
                let good = good && matches!(piece, Some(Ok(_)));
                piece.map(|piece| (piece, (reader, good)))
            }
        });
        Ok(BlobStream::new(pieces))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let digest = digest.clone();
        self.run(move |this| this.look(&digest, CHECK_LIMIT)).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let after = after.cloned();
        self.pages(move |this, token| {
            if !this.folder.tags().is_dir() {
                return Ok(Page { items: Vec::new(), next: None });
            }
            let tags = this.shared.tags(&this.name);
            tags.page(token.as_ref(), after.as_ref(), || manifests::tags(&this.folder))
        })
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let (subject, artifact_type) = (subject.clone(), artifact_type.cloned());
        self.pages(move |this, _| {
            let items = manifests::referrers(&this.folder, &subject, artifact_type.as_ref())?;
            Ok(Page { items, next: None })
        })
    }
}

#[async_trait]
impl Target for DiskRepository {
    async fn holds(&self, node: Node<'_>) -> Result<Holding> {
        let held = match node {
            Node::Blob(descriptor) => {
                let digest = descriptor.digest.clone();
                let size = self.run(move |this| this.look(&digest, u64::MAX)).await?;
                size == Some(descriptor.size)
            }
            Node::Manifest(descriptor) => {
                match self.resolve(&descriptor.digest.clone().into()).await {
                    Ok(_) => true,
                    Err(e) if is_missing_or_damaged(&e) => false,
                    Err(e) => return Err(e),
                }
            }
        };
        Ok(if held { Holding::Alone } else { Holding::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let reader = body.open(descriptor).await?;
        let algorithm = descriptor.digest.algorithm().unwrap_or_default();
        let id = self.begin_upload(algorithm).await?;
        let bytes = BlobStream::new(reader);
        let chunk = Chunk { offset: None, size: Some(descriptor.size), bytes };
        let pushed = self.commit(&id, &descriptor.digest, chunk).await;
        if pushed.is_err() {
            // Gone already if the content was wrong.
            let _ = self.cancel(&id).await;
        }
        pushed.map(|()| Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let (manifest, tag) = (manifest.clone(), tag.cloned());
        self.run(move |this| {
            let _turn = this.shared.turns.shared(&this.name);
            let files = &this.shared.files;
            let written =
                this.beginning(|| manifests::write(files, &this.folder, &manifest, tag.as_slice()));
            // Also where it failed: some of it may be there.
            this.shared.tags_changed(&this.name);
            written
        })
        .await
    }
}

#[async_trait]
impl Delete for DiskRepository {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        let digest = digest.clone();
        self.run(move |this| {
            if this.shared.blobs.remove(&this.folder, &digest)? {
                return Ok(());
            }
            Err(no_blob(&digest))
        })
        .await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let digest = digest.clone();
        self.run(move |this| {
            let _turn = this.shared.turns.alone(&this.name);
            let removed = manifests::remove(&this.shared.files, &this.folder, &digest);
            this.shared.tags_changed(&this.name);
            removed
        })
        .await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let tag = tag.clone();
        self.run(move |this| {
            let removed = manifests::untag(&this.shared.files, &this.folder, &tag);
            this.shared.tags_changed(&this.name);
            removed
        })
        .await
    }
}

#[async_trait]
impl RepositoryStore for DiskRepository {
    async fn exists(&self) -> Result<bool> {
        self.run(|this| Ok(this.is_there())).await
    }

    async fn begin_upload(&self, algorithm: Algorithm) -> Result<UploadId> {
        let Shared { place, sessions, .. } = &*self.shared;
        let at = |id: &UploadId| UploadFile::new(place.upload(id));
        sessions.begin(&self.name, algorithm, at)
    }

    async fn append(&self, id: &UploadId, chunk: Chunk) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let writing = session.lock(chunk.offset)?;
        uploads::append(&session, writing, self.name.clone(), chunk).await
    }

    async fn upload_size(&self, id: &UploadId) -> Result<u64> {
        let session = self.shared.sessions.get(&self.name, id)?;
        Ok(session.size())
    }

    async fn commit(&self, id: &UploadId, digest: &Digest, last: Chunk) -> Result<()> {
        let session = self.shared.sessions.get(&self.name, id)?;
        let mut writing = session.lock(last.offset)?;
        writing.expect(digest);
        let mut writing = uploads::write(&session, writing, last).await?;
        let (id, digest) = (id.clone(), digest.clone());
        self.run(move |this| this.finish(&id, &digest, &mut writing)).await
    }

    async fn cancel(&self, id: &UploadId) -> Result<()> {
        let mut writing = self.shared.sessions.close(&self.name, id)?;
        self.run(move |_| writing.store.remove()).await
    }

    async fn mount(&self, digest: &Digest, from: Option<&RepositoryName>) -> Result<bool> {
        let from = from.map(|name| self.shared.place.repository(name));
        let digest = digest.clone();
        self.run(move |this| {
            let blobs = &this.shared.blobs;
            this.beginning(|| blobs.mount(&this.folder, &digest, from.as_ref()))
        })
        .await
    }

    async fn tag(&self, digest: &Digest, tags: &[Tag]) -> Result<()> {
        let (digest, tags) = (digest.clone(), tags.to_vec());
        self.run(move |this| {
            let _turn = this.shared.turns.shared(&this.name);
            manifests::read(&this.folder, &digest.clone().into())?;
            let tagged = manifests::tag(&this.shared.files, &this.folder, &digest, &tags);
            this.shared.tags_changed(&this.name);
            tagged
        })
        .await
    }
}

fn is_missing_or_damaged(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::NotFound | ErrorKind::DigestMismatch)
}

fn no_blob(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound).at(format!("blob {digest}"))
}
