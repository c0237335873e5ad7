//! Feeds several copies with one read of their source.
//!
//! Each copy has its own [`Copier`](super::Copier), which decides for its own target what to skip,
//! to mount and to send. Here, their reads are combined: the first copy that opens a blob waits
//! until every other copy has opened it too, or will not need it. Then the blob is read once, and
//! each chunk is passed to all of them. The slowest copy sets the pace, because each has a buffer of
//! a few chunks. A copy that fails drops its stream, and the others continue. A copy that takes no
//! content for a while goes on with reads of its own, so that it does not hold the others. A copy
//! that repeats or resumes an interrupted upload also reads the blob by itself.
//!
//! The number of reads is limited here, and not the number of blobs that a copy opens. A copy could
//! otherwise use all its permits for blobs that another copy cannot open yet for the same reason. A
//! read lasts until every copy has taken its content, so this number also limits the memory.

mod progress;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use self::progress::{Reads, Receiver, State};
use super::permits::Permits;
use super::{CopyEvent, CopyObserver};
use crate::blob::{BlobReader, BlobStream};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, Result};
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
    parallel: NonZeroUsize,
    /// Permits for the reads that copies share.
    permits: Permits,
}

impl SharedReads {
    /// Creates the values for this number of copies, which must have the same source. Each copy
    /// needs one, until it ends.
    ///
    /// - `parallel`: the maximum number of blobs above 64 KiB that are read at the same time; 1 also
    ///   reads smaller blobs one at a time.
    #[must_use]
    pub fn new(copies: usize, parallel: NonZeroUsize) -> Vec<Arc<Self>> {
        let state = Mutex::new(State::new(copies));
        let shared = Arc::new(Shared { state, parallel, permits: Permits::new(parallel) });
        let copy = |member| Arc::new(Self { shared: Arc::clone(&shared), member });
        (0..copies).map(copy).collect()
    }

    /// Returns the source for this copy.
    pub(super) fn source(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        let (shared, own) = (Arc::clone(&self.shared), Permits::new(self.shared.parallel));
        Arc::new(SharedSource { source, shared, member: self.member, own })
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
        self.shared.state().finish(self.member, finished);
    }

    /// Returns true if this copy opened a blob, and no copy before it in the list did.
    fn is_first(&self, blob: &Digest) -> bool {
        self.shared.state().first(blob) == Some(self.member)
    }
}

impl Drop for SharedReads {
    fn drop(&mut self) {
        self.shared.state().end(self.member);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no copy is expected to open a blob, or until the time limit.
    async fn gather(&self, blob: &Digest) -> Vec<Receiver> {
        let (changed, limit) = (self.state().subscribe(blob), Instant::now() + GATHER_LIMIT);
        if let Some(mut changed) = changed {
            while self.state().is_expected(blob) {
                if timeout_at(limit, changed.changed()).await.is_err() {
                    break;
                }
            }
        }
        self.state().take_waiting(blob)
    }

    /// Returns true if a receiver takes content in time. A copy that stalls while others wait shares
    /// no further reads.
    ///
    /// - `is_shared`: true if this read has other receivers.
    async fn takes<T>(
        &self,
        member: usize,
        is_shared: bool,
        taken: impl Future<Output = Result<(), T>>,
    ) -> bool {
        if !is_shared && !self.state().has_others(member) {
            return taken.await.is_ok();
        }
        match timeout(STALL_LIMIT, taken).await {
            Ok(taken) => taken.is_ok(),
            Err(_) => {
                tracing::debug!(member, "a target stalls, and reads by itself from now on");
                self.state().set_apart(member);
                false
            }
        }
    }
}

/// The source of one copy.
struct SharedSource {
    source: Arc<dyn Source>,
    shared: Arc<Shared>,
    member: usize,
    /// Permits for the reads of this copy alone, once it shares no reads.
    own: Permits,
}

impl SharedSource {
    /// Reads a whole blob without the other copies.
    async fn read_alone(&self, descriptor: &Descriptor) -> Result<BlobReader> {
        if !self.shared.state().is_apart(self.member) {
            // The copy opens the blob again after a failure.
            return self.source.blob(descriptor).await;
        }
        let permit = self.own.of(descriptor).await;
        let reader = self.source.blob(descriptor).await?;
        // The reader holds the permit until it is dropped.
        Ok(reader.on_progress(move |_| _ = &permit))
    }
}

/// A blob as one copy receives it.
struct Received {
    source: Arc<dyn Source>,
    blob: Descriptor,
    receiver: mpsc::Receiver<Result<Bytes>>,
    /// The number of bytes that were received.
    position: u64,
    /// The rest of the blob, if the copy reads it by itself.
    rest: Option<BlobStream>,
}

impl Received {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.rest.is_none() {
            if let Some(chunk) = self.receiver.recv().await {
                self.position += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                return Some(chunk);
            }
            if self.position >= self.blob.size {
                return None;
            }
            // Takes no permit. The holders of all permits may wait for a connection that the upload
            // of this blob holds.
            match self.source.blob_range(&self.blob, self.position..self.blob.size).await {
                Ok(rest) => self.rest = Some(rest),
                Err(error) => return Some(Err(error)),
            }
        }
        self.rest.as_mut()?.next().await
    }
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
        let cell = self.shared.state().cell(self.member, selector);
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
        let reads = self.shared.state().join(self.member, &descriptor.digest, sender);
        match reads {
            Reads::Alone => return self.read_alone(descriptor).await,
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
            None => return self.read_alone(descriptor).await,
        }
        let (source, blob) = (Arc::clone(&self.source), descriptor.clone());
        let received = Received { source, blob, receiver, position: 0, rest: None };
        let chunks = stream::unfold(received, |mut received| async move {
            received.next().await.map(|chunk| (chunk, received))
        });
        BlobReader::new(descriptor.clone(), BlobStream::new(chunks))
    }

    /// Reads the range without the other copies, because a copy that continues an interrupted
    /// transfer needs another part of the blob. The other copies need not wait for it.
    async fn blob_range(&self, descriptor: &Descriptor, range: Range<u64>) -> Result<BlobStream> {
        self.shared.state().open(self.member, &descriptor.digest);
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
    let _permit = shared.permits.of(&blob).await;
    receivers.retain(|r| !r.sender.is_closed() && !shared.state().is_apart(r.member));
    if receivers.is_empty() {
        return;
    }
    let mut chunks = match source.blob(&blob).await {
        Ok(reader) => stream::once(async { Ok(Bytes::new()) }).chain(reader).boxed(),
        Err(error) => stream::once(async { Err(error) }).boxed(),
    };
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(Arc::new);
        // A copy that stalled elsewhere reads the rest by itself, so that it cannot stall this read.
        receivers.retain(|r| !shared.state().is_apart(r.member));
        let is_shared = receivers.len() > 1;
        let mut open = Vec::with_capacity(receivers.len());
        for receiver in receivers {
            let chunk = chunk.clone().map_err(|error| shared_error(&error));
            // A copy that failed dropped its stream.
            if shared.takes(receiver.member, is_shared, receiver.sender.send(chunk)).await {
                open.push(receiver);
            }
        }
        receivers = open;
        if receivers.is_empty() {
            return;
        }
    }
    let is_shared = receivers.len() > 1;
    for Receiver { member, sender } in receivers {
        // The buffer is free when the copy has taken everything.
        let free = async { sender.reserve_many(BUFFERED_CHUNKS).await.map(drop) };
        shared.takes(member, is_shared, free).await;
    }
}

/// Returns an error for one of several copies that a failed read affects.
fn shared_error(error: &Arc<Error>) -> Error {
    let copy = Error::new(error.kind()).detail("the read that several copies share failed");
    copy.with_source(Arc::clone(error))
}

/// 5 s: how long a copy waits for another copy that neither opens the blob nor skips it. Then the
/// blob is read, and read again for the other copy.
const GATHER_LIMIT: Duration = Duration::from_secs(5);
/// 15 s: how long a copy may take no content while others wait. Without a limit, copies that wait
/// for each other's requests at the same host would never end.
const STALL_LIMIT: Duration = Duration::from_secs(15);
/// 8 chunks of at most 256 KiB: 2 MiB for each blob that is being read. The copies share the memory
/// of the chunks. A faster copy is ahead of the slowest by at most this much.
const BUFFERED_CHUNKS: usize = 8;

#[cfg(test)]
mod tests;
