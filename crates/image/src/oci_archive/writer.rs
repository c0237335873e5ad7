use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::run_blocking;
use longshore_core::{
    BlobBody, BlobReader, BlobStream, Descriptor, Digest, Error, ErrorKind, Index, MediaType, Node,
    Page, Pages, Presence, Pushed, RawManifest, Result, Source, Tag, TagOrDigest, Target, listing,
};

use super::lookup::Lookup;
use super::{INDEX, MARKER, OciArchive, blob_name};
use crate::file_range::Section;
use crate::spool;
use crate::staging::{Staged, Staging, work_over};
use crate::tar_file::{self, Output, Part};

/// An OCI archive that is being written. Clones share its state.
///
/// Blobs are staged in a folder beside the archive, and [`finish`](Target::finish) writes the file
/// atomically. An existing archive is extended: its blobs and tags stay, except that a pushed tag
/// moves to the pushed manifest. The same blobs, in any order, and the same manifests in the same
/// order always give the same bytes.
///
/// # Cancellation
/// Dropping the writer and its clones without `finish` removes all staged blobs, and leaves an
/// existing archive unchanged.
#[derive(Clone)]
pub struct OciArchiveWriter {
    work: Arc<Work>,
    /// If set, every tag selects the entry with this name.
    name: Option<Arc<str>>,
}

struct Work {
    output: Output,
    existing: Option<OciArchive>,
    staging: Staging,
    state: Mutex<State>,
}

struct State {
    index: Index,
    blobs: BTreeMap<Digest, Arc<Staged>>,
    /// The digests of verified content in the existing archive.
    intact: HashSet<Digest>,
}

impl OciArchiveWriter {
    /// Starts an archive at `path`, or extends an existing archive.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder cannot be written; the errors of [`OciArchive::open`]
    /// for an existing archive; [`Unsupported`](ErrorKind::Unsupported) if the existing archive is
    /// compressed.
    pub async fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        run_blocking(move || Self::begin(Output::file(&path)?)).await
    }

    /// Starts an archive that [`finish`](Target::finish) writes to a stream in a single pass.
    /// Blobs are staged in the system's folder for temporary files.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if the folder for temporary files cannot be written.
    pub async fn stream(stream: impl io::Write + Send + 'static) -> Result<Self> {
        run_blocking(move || Self::begin(Output::stream(stream))).await
    }

    fn begin(output: Output) -> Result<Self> {
        let staging = output.staging()?;
        let existing = match output.extends() {
            Some(path) => Some(OciArchive::of(spool::open(path)?)?),
            None => None,
        };
        if existing.as_ref().is_some_and(|archive| !archive.content.in_place) {
            return Err(tar_file::not_extensible(output.path()));
        }
        let state = State {
            index: existing
                .as_ref()
                .map_or_else(|| Index::new(Vec::new()), |a| a.content.index.clone()),
            blobs: BTreeMap::new(),
            intact: HashSet::new(),
        };
        let work = Work { output, existing, staging, state: Mutex::new(state) };
        Ok(Self { work: Arc::new(work), name: None })
    }

    /// Returns the same archive, in which every tag selects the entry with this name, for reads and
    /// pushes. The name need not be a tag.
    #[must_use]
    pub fn under(&self, name: &str) -> Self {
        Self { work: Arc::clone(&self.work), name: Some(name.into()) }
    }
}

impl Work {
    fn state(&self) -> MutexGuard<'_, State> {
        // No change of the state can stop half way, so the state is consistent even if a writer
        // panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns all members of the archive: the two documents, then all other members in the order
    /// of their names.
    fn members(&self) -> Result<Vec<(String, Part)>> {
        let mut rest = BTreeMap::new();
        if let Some(existing) = &self.existing {
            let kept = existing.content.members.files();
            rest.extend(kept.map(|(name, section)| (name.to_owned(), Part::Section(section))));
        }
        let state = self.state();
        let staged = state.blobs.iter();
        rest.extend(staged.map(|(d, staged)| (blob_name(d), Part::Staged(Arc::clone(staged)))));
        let index = serde_json::to_vec(&state.index)
            .map_err(|e| Error::new(ErrorKind::Invalid).at(INDEX).with_source(e))?;
        let documents = [(MARKER, Bytes::from_static(MARKER_CONTENT)), (INDEX, Bytes::from(index))];
        for (name, _) in &documents {
            rest.remove(*name);
        }
        let documents = documents.map(|(name, bytes)| (name.to_owned(), Part::Bytes(bytes)));
        Ok(documents.into_iter().chain(rest).collect())
    }

    /// Returns a blob that was pushed or that the existing archive has.
    fn section(&self, digest: &Digest) -> Result<Option<Section>> {
        let staged = self.state().blobs.get(digest).cloned();
        match (staged, &self.existing) {
            (Some(staged), _) => staged.section().map(Some),
            // Only blobs are searched, because the new archive no longer contains the old
            // `index.json`.
            (None, Some(existing)) => existing.content.members.find(&blob_name(digest)),
            (None, None) => Ok(None),
        }
    }

    fn name(&self) -> String {
        format!("oci-archive:{}", self.output.path().display())
    }

    fn lookup<T>(
        &self,
        name: Option<&str>,
        look: impl FnOnce(Lookup<'_>) -> Result<T>,
    ) -> Result<T> {
        let entries = self.state().index.manifests.clone();
        let find = |digest: &Digest| self.section(digest);
        look(Lookup { name: self.name(), entries: &entries, under: name, find: &find })
    }

    /// Returns true if the archive has the content and the content is not damaged. Intact content
    /// of the existing archive is verified only once.
    fn is_held(&self, descriptor: &Descriptor) -> Result<bool> {
        let known = |state: &State| {
            state.blobs.contains_key(&descriptor.digest)
                || state.intact.contains(&descriptor.digest)
        };
        if known(&self.state()) {
            return Ok(true);
        }
        let held = match self.section(&descriptor.digest)? {
            Some(section) => section.verify(descriptor)?,
            None => false,
        };
        if held {
            self.state().intact.insert(descriptor.digest.clone());
        }
        Ok(held)
    }

    fn list(&self, manifest: &RawManifest, name: Option<&str>) -> Result<()> {
        let entry = listing::Entry::of(manifest)?;
        listing::list(&mut self.state().index.manifests, entry, name)
    }
}

#[async_trait]
impl Source for OciArchiveWriter {
    fn name(&self) -> String {
        self.work.name()
    }

    fn tag_name(&self, tag: &Tag) -> String {
        format!("{}:{}", self.name(), self.name.as_deref().unwrap_or(tag.as_str()))
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let (work, selector) = (Arc::clone(&self.work), selector.clone());
        let name = self.name.clone();
        run_blocking(move || work.lookup(name.as_deref(), |l| l.manifest(&selector))).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let section = self.work.lookup(None, |l| l.blob(&descriptor.digest))?;
        let stream = section.stream(0..section.size())?;
        BlobReader::new(descriptor.clone(), stream)
    }

    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let section = self.work.lookup(None, |l| l.blob(&descriptor.digest))?;
        section.stream(range).map_err(|e| e.at(&descriptor.digest))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        Ok(self.work.section(digest)?.map(|section| section.size()))
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        Pages::from_items(listing::tags(&self.work.state().index.manifests, after))
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        let query = (Arc::clone(&self.work), subject.clone(), artifact_type.cloned());
        Pages::new(move |_| {
            let (work, subject, artifact_type) = query.clone();
            async move {
                let find = move || work.lookup(None, |l| l.referrers());
                let items = run_blocking(find).await?.of(&subject, artifact_type.as_ref());
                Ok(Page { items, next: None })
            }
        })
    }
}

#[async_trait]
impl Target for OciArchiveWriter {
    async fn holds(&self, node: Node<'_>) -> Result<Presence> {
        let (Node::Blob(descriptor) | Node::Manifest(descriptor)) = node;
        let (work, descriptor) = (Arc::clone(&self.work), descriptor.clone());
        let held = run_blocking(move || work.is_held(&descriptor)).await?;
        Ok(if held { Presence::Partial } else { Presence::Absent })
    }

    async fn push_blob(&self, descriptor: &Descriptor, mut body: BlobBody) -> Result<Pushed> {
        let reader = body.open(descriptor).await?;
        // This clone keeps the folder until the work is done. The work may continue briefly after
        // this future is dropped.
        let work = Arc::clone(&self.work);
        let staged = work_over(reader, move |content| Staged::write(work.staging.path(), content));
        let staged = staged.await?;
        let digest = descriptor.digest.clone();
        self.work.state().blobs.insert(digest, Arc::new(staged));
        Ok(Pushed::Sent)
    }

    async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let manifest = &manifest.by_bytes();
        let descriptor = manifest.descriptor();
        if self.holds(Node::Manifest(descriptor)).await? == Presence::Absent {
            self.push_blob(descriptor, manifest.bytes().clone().into()).await?;
        }
        let name = tag.map(|tag| listing::entry_name(tag, self.name.as_deref()));
        self.work.list(manifest, name)
    }

    async fn finish(&self) -> Result<()> {
        let work = Arc::clone(&self.work);
        run_blocking(move || {
            let members = work.members()?;
            work.output.write(&members)
        })
        .await
    }
}

impl fmt::Debug for OciArchiveWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OciArchiveWriter({})", self.work.output.path().display())
    }
}

/// Source: image-spec v1.1.1, "oci-layout file".
const MARKER_CONTENT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
