//! A repository in a folder: the OCI image layout.
//!
//! Owns the format of the folder. `blob_file` writes the blobs. Tags are entries of `index.json`. A
//! lock allows one writer of this file at a time, so that concurrent writers do not lose changes.
//! Manifests and whole blobs are verified when they are read, as in every store.

mod index_file;
mod leftovers;
pub mod listing;
mod lock;
mod reading;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use self::reading::{CachedIndex, Reading};
use crate::blob::{BlobBody, BlobReader, BlobStream};
use crate::blob_file;
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{Index, MANIFEST_LIMIT, RawManifest};
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Tag, TagOrDigest};
use crate::run_blocking::run_blocking;
use crate::store::{Delete, Node, Presence, Pushed, Source, SourceExt as _, Target};
use crate::tag_guard::{GuardMethod, TagGuard};

/// An OCI image layout in a folder. Clones share the folder.
///
/// The names in a layout are the annotations `org.opencontainers.image.ref.name` in `index.json`. A
/// name stands for a tag if it is a tag or a reference. If two entries have the same name, the last
/// entry wins. A tag selects the entry with exactly this name, or otherwise the only entry whose
/// name stands for the tag. If there are several such names, a read of the tag fails. A manifest
/// that is pushed to a tag replaces the entry with exactly this name. A manifest that is pushed
/// without a tag is listed without a name, until an index that lists the manifest is pushed.
///
/// An interrupted push of a blob of at least 1 MiB leaves the first bytes in a file `.partial-…` in
/// the folder. The next push of the blob continues there.
///
/// Source: image-spec v1.1.1, "Image Layout".
#[derive(Clone)]
pub struct Layout {
    root: Arc<Path>,
    /// Serializes changes of `index.json` among the clones of this layout, so that the clones do
    /// not have to poll the lock of the file.
    update_lock: Arc<Mutex<()>>,
    reading: Arc<Reading>,
    /// The name that every tag selects, if the layout is restricted to one name.
    name: Option<Arc<str>>,
}

impl Layout {
    /// Opens an existing layout.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the folder does not exist;
    /// [`Invalid`](ErrorKind::Invalid) if it is not a layout;
    /// [`Unsupported`](ErrorKind::Unsupported) if the version of the layout is not 1.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        run_blocking(move || {
            index_file::check_marker(&root)?;
            Ok(Self::at(root))
        })
        .await
    }

    /// Opens a layout. Creates the folder and the files of the layout if they are missing. Removes
    /// abandoned temporary files.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the folder holds other files but no layout;
    /// [`Unsupported`](ErrorKind::Unsupported) if the version of an existing layout is not 1;
    /// [`Io`](ErrorKind::Io).
    pub async fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        run_blocking(move || {
            index_file::create(&root)?;
            Ok(Self::at(root))
        })
        .await
    }

    /// Checks that the folder is a layout, is empty or does not exist, so that
    /// [`create`](Self::create) can succeed. Creates nothing.
    ///
    /// # Errors
    /// Same as [`create`](Self::create).
    pub async fn can_create(root: impl Into<PathBuf>) -> Result<()> {
        let root = root.into();
        run_blocking(move || index_file::can_create(&root)).await
    }

    /// Returns the same layout, restricted to one name. For every tag, reads, pushes and deletions
    /// use the entry with this name. The name is not necessarily a tag:
    /// `docker.io/library/nginx:1.27` is also allowed. Digest tags (`sha256-<hex>.sig`) keep their
    /// own entries, because they do not name the image but what is attached to it.
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        Self { name: Some(name.into()), ..self.clone() }
    }

    /// Returns the path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Returns the entries of `index.json`: every listed manifest, with or without a name.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the file is damaged.
    pub async fn entries(&self) -> Result<Vec<Descriptor>> {
        self.reading().await.map(|cached| cached.index.manifests.clone())
    }

    /// Returns the default manifest. If exactly one name exists, the default is the named manifest,
    /// selected by its tag if the name has a tag. If no name exists, the default is the only
    /// manifest.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there are no manifests;
    /// [`Conflict`](ErrorKind::Conflict), with the entries to choose from, if there are several
    /// names, or several manifests without names.
    pub async fn only_manifest(&self) -> Result<TagOrDigest> {
        let entries = self.entries().await?;
        let at = |e: Error| e.at(self.name());
        match listing::only(&entries).map_err(at)? {
            Some(only) => Ok(only),
            None => Err(at(listing::several(&entries))),
        }
    }

    fn at(root: PathBuf) -> Self {
        let (update_lock, reading) = Default::default();
        Self { root: root.into(), update_lock, reading, name: None }
    }

    async fn reading(&self) -> Result<Arc<CachedIndex>> {
        let (root, reading) = (Arc::clone(&self.root), Arc::clone(&self.reading));
        run_blocking(move || reading.now(&root)).await
    }

    /// Changes `index.json` under the lock. `change` receives the current index.
    async fn update<F>(&self, change: F) -> Result<()>
    where
        F: FnOnce(&mut Index) -> Result<()> + Send + 'static,
    {
        let (root, update_lock) = (Arc::clone(&self.root), Arc::clone(&self.update_lock));
        run_blocking(move || {
            let _update_lock = update_lock.lock().unwrap_or_else(PoisonError::into_inner);
            index_file::update(&root, change)
        })
        .await
    }

    /// Returns the path of a blob to be written, and creates its folder.
    async fn new_blob_path(&self, digest: &Digest) -> Result<PathBuf> {
        let path = blob_path(&self.root, digest);
        if let Some(folder) = path.parent().map(Path::to_owned) {
            run_blocking(move || blob_file::create_folder(&folder)).await?;
        }
        Ok(path)
    }

    /// Makes the names of all blobs durable.
    async fn sync_blobs(&self) -> Result<()> {
        let blobs = self.root.join("blobs");
        run_blocking(move || {
            let known = Algorithm::ALL.iter().map(|algorithm| blobs.join(algorithm.name()));
            known.filter(|folder| folder.is_dir()).try_for_each(|f| blob_file::sync_folder(&f))
        })
        .await
    }

    /// Returns the entry of a manifest in `index.json`, if the manifest is listed.
    async fn listed(&self, selector: &TagOrDigest) -> Result<Option<Descriptor>> {
        let cached = self.reading().await?;
        let found = listing::listed(&cached.index.manifests, selector, self.name.as_deref());
        found.map(Option::<&Descriptor>::cloned).map_err(|e| e.at(self.name()))
    }

    fn missing(&self, selector: &TagOrDigest) -> Error {
        listing::missing(&self.name(), selector, self.name.as_deref())
    }

    /// Returns the name of the entry for a tag.
    fn entry_name(&self, tag: &Tag) -> Arc<str> {
        listing::entry_name(tag, self.name.as_deref()).into()
    }

    /// Writes a manifest.
    async fn write_manifest(&self, manifest: &RawManifest) -> Result<()> {
        let path = self.new_blob_path(manifest.digest()).await?;
        // The names of the blobs must be durable before a manifest refers to them. `replace` syncs
        // the folder of the manifest.
        self.sync_blobs().await?;
        if self.holds(Node::Manifest(manifest.descriptor())).await? == Presence::Absent {
            blob_file::replace(&path, manifest.bytes().clone()).await?;
        }
        Ok(())
    }

    async fn read_manifest(
        &self,
        digest: Digest,
        media_type: Option<MediaType>,
    ) -> Result<RawManifest> {
        let path = blob_path(&self.root, &digest);
        let bytes = run_blocking(move || blob_file::read(&path, MANIFEST_LIMIT)).await?;
        RawManifest::new(bytes, media_type, digest)
    }

    fn read_listed(&self, entry: &Descriptor) -> Result<RawManifest> {
        let bytes = blob_file::read(&blob_path(&self.root, &entry.digest), MANIFEST_LIMIT)?;
        RawManifest::new(bytes, Some(entry.media_type.clone()), entry.digest.clone())
    }

    async fn delete_file(&self, digest: &Digest) -> Result<()> {
        let path = blob_path(&self.root, digest);
        run_blocking(move || match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::new(ErrorKind::NotFound).at(path.display()))
            }
            Err(e) => Err(Error::io(&path, e)),
        })
        .await
    }
}

#[async_trait]
impl Source for Layout {
    fn name(&self) -> String {
        format!("oci:{}", self.root.display())
    }

    fn tag_name(&self, tag: &Tag) -> String {
        format!("{}:{}", self.name(), self.entry_name(tag))
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let missing = || self.missing(selector);
        match (self.listed(selector).await?, selector) {
            (Some(entry), _) => self.read_manifest(entry.digest, Some(entry.media_type)).await,
            // A child of an index needs no entry.
            (None, TagOrDigest::Digest(digest)) => {
                self.read_manifest(digest.clone(), None).await.map_err(|e| match e.kind() {
                    ErrorKind::NotFound => missing(),
                    _ => e,
                })
            }
            (None, TagOrDigest::Tag(_)) => Err(missing()),
        }
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let stream = blob_file::stream(&blob_path(&self.root, &descriptor.digest), 0).await?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let path = blob_path(&self.root, &descriptor.digest);
        let size = self.blob_size(&descriptor.digest).await?;
        if range.start > range.end || size.is_some_and(|size| range.end > size) {
            let error = Error::outside(&range, size.unwrap_or_default());
            return Err(error.at(&descriptor.digest));
        }
        let stream = blob_file::stream(&path, range.start).await?;
        Ok(stream.at_most(range.end - range.start))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let path = blob_path(&self.root, digest);
        run_blocking(move || match blob_file::open(&path) {
            Ok(file) => file.metadata().map(|m| Some(m.len())).map_err(|e| Error::io(&path, e)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        })
        .await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        let (layout, after) = (self.clone(), after.cloned());
        Pages::new(move |_| {
            let (layout, after) = (layout.clone(), after.clone());
            async move {
                let cached = layout.reading().await?;
                let items = listing::tags(&cached.index.manifests, after.as_ref());
                Ok(crate::page::Page { items, next: None })
            }
        })
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let (layout, subject, artifact_type) =
            (self.clone(), subject.clone(), artifact_type.cloned());
        Pages::new(move |_| {
            let (layout, subject, artifact_type) =
                (layout.clone(), subject.clone(), artifact_type.clone());
            async move {
                let find = move || {
                    let cached = layout.reading.now(&layout.root)?;
                    let referrers = cached.referrers(|entry| layout.read_listed(entry))?;
                    Ok(referrers.of(&subject, artifact_type.as_ref()))
                };
                let items = run_blocking(find).await?;
                Ok(crate::page::Page { items, next: None })
            }
        })
    }
}

#[async_trait]
impl Target for Layout {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        let (Node::Blob(descriptor) | Node::Manifest(descriptor)) = node;
        // Files can be damaged, so the content is verified.
        let path = blob_path(&self.root, &descriptor.digest);
        let held = blob_file::verify(&path, descriptor).await?;
        Ok(if held { Presence::Partial } else { Presence::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let path = self.new_blob_path(&descriptor.digest).await?;
        blob_file::write_resumably(&path, &self.root, descriptor, &mut body).await?;
        Ok(Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let manifest = &manifest.by_bytes();
        self.write_manifest(manifest).await?;
        let (entry, name) = (listing::Entry::of(manifest)?, tag.map(|tag| self.entry_name(tag)));
        self.update(move |index| listing::list(&mut index.manifests, entry, name.as_deref())).await
    }

    async fn push_guarded(
        &self,
        manifest: &RawManifest,
        tag: &Tag,
        guard: &TagGuard,
    ) -> Result<GuardMethod> {
        let manifest = &manifest.by_bytes();
        self.check_tag(tag, guard).await?;
        self.write_manifest(manifest).await?;
        let (entry, name) = (listing::Entry::of(manifest)?, self.entry_name(tag));
        let (under, selector) = (self.name.clone(), TagOrDigest::from(tag.clone()));
        let (guard, tagged) = (guard.clone(), self.tag_name(tag));
        // The lock of the index makes the check and the change one step.
        let change = move |index: &mut Index| {
            let found = listing::listed(&index.manifests, &selector, under.as_deref())?;
            guard.check(found.map(|found| &found.digest)).map_err(|e| e.at(tagged))?;
            listing::list(&mut index.manifests, entry, Some(&name))
        };
        self.update(change).await.map(|()| GuardMethod::Atomic)
    }
}

#[async_trait]
impl Delete for Layout {
    async fn delete_blob(&self, digest: &Digest) -> Result<()> {
        self.delete_file(digest).await
    }

    async fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        // Remove the entry first, so that a tag never points at a missing manifest.
        let deleted = digest.clone();
        self.update(move |index| {
            index.manifests.retain(|d| d.digest != deleted);
            Ok(())
        })
        .await?;
        self.delete_file(digest).await
    }

    async fn delete_tag(&self, tag: &Tag) -> Result<()> {
        let name = self.entry_name(tag);
        let missing = self.missing(&tag.clone().into());
        self.update(move |index| match listing::unname(&mut index.manifests, &name)? {
            true => Ok(()),
            false => Err(missing),
        })
        .await
    }
}

fn blob_path(root: &Path, digest: &Digest) -> PathBuf {
    // Both parts match the digest grammar, so they contain no path separator and no `..`.
    root.join("blobs").join(digest.algorithm_name()).join(digest.encoded())
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Layout({})", self.root.display())
    }
}

#[cfg(test)]
mod tests;
