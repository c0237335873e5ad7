//! Feeds several copies with one read of their source.
//!
//! Each copy has its own [`Copier`](super::Copier), which decides for its own target what to skip,
//! to mount and to send. Here, their reads are combined: the first copy that opens a blob waits
//! until every other copy has opened it too, or will not need it. Then the blob is read once, and
//! each chunk is passed to all of them. The slowest copy sets the pace, because each has a buffer of
//! a few chunks. A copy that fails drops its stream, and the others continue. A copy that repeats or
//! resumes an interrupted upload reads the blob by itself.
//!
//! The number of reads is limited here, and not the number of blobs that a copy opens. A copy could
//! otherwise use all its permits for blobs that another copy cannot open yet for the same reason.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::{OnceCell, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::blob::SMALL_BLOB;
use super::run::PARALLEL_LIMIT;
use super::{CopyEvent, CopyObserver, SMALL_PARALLEL};
use crate::blob::{BlobReader, BlobStream};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::media_type::MediaType;
use crate::page::Pages;
use crate::reference::{Repository, Tag, TagOrDigest};
use crate::store::Source;

/// One of several copies that share the reads of a source. The copy ends when the last reference is
/// dropped.
///
/// ```
/// # use std::sync::Arc;
/// # use longshore_core::{Copier, Memory, SharedReads};
/// # use longshore_core::CopyOptions;
/// # let (source, targets) = (Arc::new(Memory::new()), [Memory::new(), Memory::new()]);
/// let reads = SharedReads::new(targets.len(), CopyOptions::default().parallel);
/// for (reads, target) in reads.into_iter().zip(targets) {
///     let copier = Copier::builder(source.clone(), Arc::new(target)).shared_reads(reads).build();
///     // Run all copies at the same time.
/// }
/// ```
pub struct SharedReads {
    shared: Arc<Shared>,
    member: usize,
}

struct Shared {
    state: Mutex<State>,
    /// Changes whenever a read may begin because of a change of the state.
    changed: watch::Sender<()>,
    /// Permits for reads of blobs above 64 KiB.
    large_reads: Semaphore,
    /// Permits for reads of smaller blobs.
    small_reads: Semaphore,
}

/// The progress of all copies.
#[derive(Default)]
struct State {
    members: Vec<Member>,
    /// The manifests that list each blob or manifest, as far as they were read.
    parents: HashMap<Digest, Vec<Digest>>,
    /// The blobs that wait for other copies before they are read.
    waiting: HashMap<Digest, Vec<Receiver>>,
    manifests: HashMap<TagOrDigest, SharedManifest>,
}

/// The progress of one copy.
#[derive(Default)]
struct Member {
    is_done: bool,
    /// The blobs that the copy opened, alone or with other copies.
    opened: HashSet<Digest>,
    /// The blobs and manifests that the copy has finished.
    finished: HashSet<Digest>,
}

/// A manifest that is read once, and the number of copies that still need it.
struct SharedManifest {
    cell: Arc<OnceCell<RawManifest>>,
    left: usize,
}

/// The way in which a copy reads a blob that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reads {
    /// As the first: it starts the read for all copies.
    ForAll,
    /// From the read that the first copy started.
    WithFirst,
    /// By itself, because it opens the blob again after a failure. The other copies have it, or get
    /// it from another read.
    Alone,
}

/// A copy that receives the chunks of a blob.
type Receiver = mpsc::Sender<Result<Bytes>>;

impl SharedReads {
    /// Creates the values for this number of copies, which must have the same source. Each copy
    /// needs one, until it ends.
    ///
    /// - `parallel`: the maximum number of blobs above 64 KiB that are read at the same time.
    #[must_use]
    pub fn new(copies: usize, parallel: NonZeroUsize) -> Vec<Arc<Self>> {
        let members = (0..copies).map(|_| Member::default()).collect();
        let state = Mutex::new(State { members, ..State::default() });
        let shared = Arc::new(Shared {
            state,
            changed: watch::Sender::new(()),
            large_reads: Semaphore::new(parallel.get().min(PARALLEL_LIMIT)),
            small_reads: Semaphore::new(SMALL_PARALLEL),
        });
        let copy = |member| Arc::new(Self { shared: Arc::clone(&shared), member });
        (0..copies).map(copy).collect()
    }

    /// Returns the source for this copy.
    pub(super) fn source(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(SharedSource { source, shared: Arc::clone(&self.shared), member: self.member })
    }

    /// Returns the observer for this copy. It follows the copy, so that no other copy waits for a
    /// blob that this copy does not need, and passes the events to `observer`. The progress of a
    /// blob that several copies read is passed on only once.
    pub(super) fn observer(self: Arc<Self>, observer: CopyObserver) -> CopyObserver {
        Arc::new(move |event| {
            self.follow(event);
            match event {
                CopyEvent::Progress { digest, .. } if !self.is_first(digest) => {}
                event => observer(event),
            }
        })
    }

    fn follow(&self, event: &CopyEvent) {
        let finished = match event {
            CopyEvent::Skipped { digest, .. }
            | CopyEvent::LeftOut { digest, .. }
            | CopyEvent::Mounted { digest, .. }
            | CopyEvent::Sent { digest, .. } => digest,
            CopyEvent::Manifest { manifest, .. } => &manifest.digest,
            _ => return,
        };
        self.shared.change(|state| state.members[self.member].finished.insert(finished.clone()));
    }

    /// Returns true if this copy opened a blob, and no copy before it in the list did.
    fn is_first(&self, blob: &Digest) -> bool {
        let state = self.shared.state();
        let first = state.members.iter().position(|member| member.opened.contains(blob));
        first == Some(self.member)
    }
}

impl Drop for SharedReads {
    fn drop(&mut self) {
        self.shared.change(|state| state.members[self.member].is_done = true);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }

    /// Waits until no copy is expected to open a blob, or until the time limit.
    async fn gather(&self, blob: &Digest) -> Vec<Receiver> {
        let (mut changed, limit) = (self.changed.subscribe(), Instant::now() + GATHER_LIMIT);
        while self.state().is_expected(blob) {
            if timeout_at(limit, changed.changed()).await.is_err() {
                break;
            }
        }
        self.state().waiting.remove(blob).unwrap_or_default()
    }
}

impl State {
    /// Returns true if a copy may still open a blob.
    fn is_expected(&self, blob: &Digest) -> bool {
        self.members.iter().any(|member| {
            !member.is_done && !member.opened.contains(blob) && !self.has_finished(member, blob)
        })
    }

    /// Returns true if a copy has finished a blob or manifest, or a manifest above it.
    fn has_finished(&self, member: &Member, digest: &Digest) -> bool {
        let (mut above, mut seen) = (vec![digest], HashSet::new());
        while let Some(digest) = above.pop() {
            if member.finished.contains(digest) {
                return true;
            }
            let parents = self.parents.get(digest).into_iter().flatten();
            above.extend(parents.filter(|parent| seen.insert(*parent)));
        }
        false
    }

    /// Records the children of a manifest.
    fn add_manifest(&mut self, manifest: &RawManifest) {
        let Ok(children) = Successors::of(manifest) else { return };
        let listed = children.blobs.into_iter().chain(children.manifests);
        for child in listed.map(|child| child.digest).chain(children.unsized_blobs) {
            self.parents.entry(child).or_default().push(manifest.digest().clone());
        }
    }

    /// Adds a copy that opens a blob.
    fn join(&mut self, member: usize, blob: &Digest, receiver: Receiver) -> Reads {
        if !self.members[member].opened.insert(blob.clone()) {
            return Reads::Alone;
        }
        let waiting = self.waiting.entry(blob.clone()).or_default();
        waiting.push(receiver);
        if waiting.len() == 1 { Reads::ForAll } else { Reads::WithFirst }
    }

    /// Returns the cell in which all copies read a manifest. After the last copy, the manifest is
    /// dropped.
    fn cell(&mut self, selector: &TagOrDigest) -> Arc<OnceCell<RawManifest>> {
        let new = || SharedManifest { cell: Arc::default(), left: self.members.len() };
        let shared = self.manifests.entry(selector.clone()).or_insert_with(new);
        shared.left -= 1;
        let (cell, is_last) = (Arc::clone(&shared.cell), shared.left == 0);
        if is_last {
            self.manifests.remove(selector);
        }
        cell
    }
}

/// The source of one copy.
struct SharedSource {
    source: Arc<dyn Source>,
    shared: Arc<Shared>,
    member: usize,
}

#[async_trait]
impl Source for SharedSource {
    fn name(&self) -> String {
        self.source.name()
    }

    fn tag_name(&self, tag: &Tag) -> String {
        self.source.tag_name(tag)
    }

    fn origin(&self) -> Option<&Repository> {
        self.source.origin()
    }

    async fn resolve(&self, selector: &TagOrDigest) -> Result<Descriptor> {
        self.source.resolve(selector).await
    }

    async fn manifest(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let cell = self.shared.state().cell(selector);
        let read = || async {
            let manifest = self.source.manifest(selector).await?;
            self.shared.state().add_manifest(&manifest);
            Ok(manifest)
        };
        cell.get_or_try_init(read).await.cloned()
    }

    /// Waits for the other copies, and then reads the blob with them.
    async fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        let (sender, mut receiver) = mpsc::channel(BUFFERED_CHUNKS);
        match self.shared.change(|s| s.join(self.member, &descriptor.digest, sender)) {
            Reads::Alone => return self.source.blob(descriptor).await,
            Reads::WithFirst => {}
            Reads::ForAll => {
                let (shared, source) = (Arc::clone(&self.shared), Arc::clone(&self.source));
                tokio::spawn(read_for_all(shared, source, descriptor.clone()));
            }
        }
        // The first item only shows that the blob was opened.
        match receiver.recv().await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error),
            None => return Err(too_slow().at(&descriptor.digest)),
        }
        let chunks =
            stream::unfold((receiver, descriptor.size), |(mut receiver, left)| async move {
                match receiver.recv().await {
                    Some(chunk) => {
                        let size = chunk.as_ref().map_or(left, |chunk| chunk.len() as u64);
                        Some((chunk, (receiver, left.saturating_sub(size))))
                    }
                    None if left > 0 => Some((Err(too_slow()), (receiver, 0))),
                    None => None,
                }
            });
        BlobReader::new(descriptor.clone(), BlobStream::new(chunks))
    }

    /// Reads the range without the other copies, because a copy that continues an interrupted
    /// transfer needs another part of the blob. The other copies need not wait for it.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        let digest = &descriptor.digest;
        self.shared.change(|state| state.members[self.member].opened.insert(digest.clone()));
        self.source.blob_range(descriptor, range).await
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        self.source.blob_size(digest).await
    }

    fn tags(&self, after: Option<&Tag>) -> Pages<Tag> {
        self.source.tags(after)
    }

    fn next_tags(&self, after: &Tag) -> Pages<Tag> {
        self.source.next_tags(after)
    }

    async fn listed_referrers(&self, subject: &Digest) -> Result<Option<Pages<Descriptor>>> {
        self.source.listed_referrers(subject).await
    }

    fn referrers(&self, subject: &Digest, artifact_type: Option<&MediaType>) -> Pages<Descriptor> {
        self.source.referrers(subject, artifact_type)
    }
}

impl fmt::Debug for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedSource({:?})", self.source)
    }
}

impl fmt::Debug for SharedReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedReads({})", self.member)
    }
}

/// Reads a blob and passes its chunks to all copies that wait for it. Ends early if all of them
/// dropped their streams.
async fn read_for_all(shared: Arc<Shared>, source: Arc<dyn Source>, blob: Descriptor) {
    let mut receivers = shared.gather(&blob.digest).await;
    let permits = if blob.size <= SMALL_BLOB { &shared.small_reads } else { &shared.large_reads };
    // The semaphore is never closed.
    let _permit = permits.acquire().await;
    receivers.retain(|receiver| !receiver.is_closed());
    if receivers.is_empty() {
        return;
    }
    let mut chunks = match source.blob(&blob).await {
        Ok(reader) => stream::once(async { Ok(Bytes::new()) }).chain(reader).boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    };
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(Arc::new);
        let (mut open, is_alone) = (Vec::with_capacity(receivers.len()), receivers.len() == 1);
        for receiver in receivers {
            let chunk = chunk.clone().map_err(|error| shared_error(&error));
            let sent = match is_alone {
                true => Ok(receiver.send(chunk).await),
                false => tokio::time::timeout(STALL_LIMIT, receiver.send(chunk)).await,
            };
            // A copy that failed dropped its stream.
            if matches!(sent, Ok(Ok(()))) {
                open.push(receiver);
            }
        }
        receivers = open;
        if receivers.is_empty() {
            return;
        }
    }
}

/// Returns the error for a copy that took no content for too long.
fn too_slow() -> Error {
    Error::new(ErrorKind::Timeout)
        .detail(format!(
            "the target took no content for {} seconds while other targets waited",
            STALL_LIMIT.as_secs()
        ))
        .with_hint("Copy to this target alone, or reduce --parallel.")
}

/// Returns an error for one of several copies that a failed read affects.
fn shared_error(error: &Arc<Error>) -> Error {
    let copy = Error::new(error.kind()).detail("the read that several copies share failed");
    copy.with_source(Arc::clone(error))
}

/// 5 s: how long a copy waits for another copy that neither opens the blob nor skips it. Then the
/// blob is read, and read again for the other copy.
const GATHER_LIMIT: Duration = Duration::from_secs(5);
/// 15 s: how long a copy may take no content while others wait for the next chunk. Without a limit,
/// copies that wait for each other's requests at the same host would never end.
const STALL_LIMIT: Duration = Duration::from_secs(15);
/// 8 chunks of at most 256 KiB: 2 MiB for each blob. The copies share the memory of the chunks. A
/// faster copy is ahead of the slowest by at most this much.
const BUFFERED_CHUNKS: usize = 8;

#[cfg(test)]
mod tests;
