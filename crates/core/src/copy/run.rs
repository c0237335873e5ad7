//! Carries out a copy. Owns the root, the tag, and the state that the other modules share.
//!
//! `manifest` walks the graph below the root, `blob` copies blobs, and `referrers` copies what is
//! attached to the copied content.

use std::collections::{HashMap, HashSet};
use std::future::Ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{JoinError, JoinSet};

use super::digest_tags::TagListing;
use super::event::CopyStats;
use super::permits::Permits;
use super::plan::{self, TagStep, Walk};
use super::{CopyEvent, CopyObserver, CopyOptions, CopySummary, LeftBehind, SharedReads};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorCode, ErrorKind, Result, Side};
use crate::graph;
use crate::manifest::RawManifest;
use crate::reference::{Tag, TagOrDigest};
use crate::select::{Selection, select_platforms};
use crate::store::{Node, Presence, Source, SourceExt as _, TagState, Target, TargetExt as _};
use crate::tag_guard::{GuardMethod, TagGuard};

/// The state that the copies of one [`Copier`](super::Copier) share.
pub(super) struct Run {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) options: CopyOptions,
    pub(super) observer: CopyObserver,
    /// Permits for blobs, unless reads are shared.
    pub(super) blob_permits: Permits,
    /// Permits for manifests and checks. Small blobs share them, and large blobs do not delay them.
    pub(super) small_requests: Arc<Semaphore>,
    pub(super) blobs: Once<()>,
    pub(super) manifests: Once<()>,
    /// The manifests for which everything attached was copied, each with the manifests to examine
    /// next.
    pub(super) attached: Once<Arc<[Descriptor]>>,
    /// The manifests that each index lists. Recorded only if referrers are copied, because they can
    /// have referrers too.
    pub(super) listed: Mutex<HashMap<Digest, Vec<Descriptor>>>,
    pub(super) tags: TagListing,
    /// The digest tags that are copied as tags of their own, and not with their manifests.
    own_tags: Mutex<HashSet<Tag>>,
}

/// The counts of one copy, and the content that was not copied.
#[derive(Default)]
pub(super) struct Tally {
    stats: Mutex<CopyStats>,
    pub(super) left_out: Mutex<Vec<Digest>>,
    left_behind: Mutex<Vec<LeftBehind>>,
}

impl Tally {
    pub(super) fn count(&self, change: impl FnOnce(&mut CopyStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Records content that is not copied.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond [`LEFT_BEHIND_LIMIT`] entries.
    pub(super) fn leave_behind(&self, left: Vec<LeftBehind>) -> Result<()> {
        let mut all = self.left_behind.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(left);
        if all.len() <= LEFT_BEHIND_LIMIT {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge).on(Side::Source).detail(format!(
            "more than {LEFT_BEHIND_LIMIT} referrers and digest tags are not copied"
        )))
    }

    pub(super) fn summary(
        &self,
        root: &RawManifest,
        from: &Selection,
        tag: Option<Tag>,
    ) -> CopySummary {
        CopySummary {
            root: root.descriptor().clone(),
            tag,
            guard: None,
            selected_from: from.index.as_ref().map(|index| index.digest().clone()),
            left_out: self.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            left_behind: self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            stats: *self.stats.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

impl Run {
    pub(super) fn new(
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        options: CopyOptions,
        observer: CopyObserver,
    ) -> Self {
        let blob_permits = Permits::new(options.parallel);
        let small_requests = Arc::clone(&blob_permits.small);
        let (blobs, manifests, attached, listed, tags, own_tags) = Default::default();
        Self {
            source,
            target,
            options,
            observer,
            blob_permits,
            small_requests,
            blobs,
            manifests,
            attached,
            listed,
            tags,
            own_tags,
        }
    }

    /// Combines the reads with those of other copies, which limit the number of blobs.
    pub(super) fn share_reads(mut self, reads: Arc<SharedReads>) -> Self {
        self.source = reads.source(self.source);
        self.observer = reads.observer(self.observer);
        self.blob_permits = Permits::unlimited();
        self
    }

    /// Copies one blob.
    pub(super) async fn only_blob(self: Arc<Self>, blob: Descriptor) -> Result<CopyStats> {
        let tally = Arc::new(Tally::default());
        (self.observer)(&CopyEvent::Found { blob: blob.clone() });
        let exact = true;
        self.blobs.run(&blob.digest, || self.move_blob(&tally, &blob, exact)).await?;
        let stats = *tally.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stats)
    }

    pub(super) async fn copy(
        self: Arc<Self>,
        selector: TagOrDigest,
        tag: Option<Tag>,
    ) -> Result<CopySummary> {
        self.check_guard(tag.as_ref()).await?;
        let tally = Arc::new(Tally::default());
        let selection = self.root(&selector).await?;
        let root = selection.manifest.clone();
        if let Some(tag) = tag.as_ref().filter(|tag| plan::is_index_of_referrers(tag, &root)) {
            return self.copy_index(tally, selection, tag).await;
        }
        let state = self.root_state(&root, tag.as_ref()).await?;
        let own_guard = match &tag {
            Some(tag) => self.check_own_tag(tag, &root).await?,
            None => None,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (run, tally, root) = (Arc::clone(&self), Arc::clone(&tally), root.clone());
            async move { run.content(&tally, &root, state).await }
        });
        // Attached content is looked for beside the content, so that a high latency does not add
        // up. The tag is set last, so that a client that resolves the tag finds the signatures.
        if self.finds_attached() {
            tasks.spawn(Arc::clone(&self).attachments(Arc::clone(&tally), root.clone()));
            let left = Arc::clone(&self).leave_selected_from(Arc::clone(&tally), selection.clone());
            tasks.spawn(left);
        }
        all(tasks).await?;
        let guard = match &tag {
            Some(tag) => {
                let guard = self.options.guard.as_ref().or(own_guard.as_ref());
                self.set_tag(&tally, tag, &root, state, guard).await?
            }
            None => None,
        };
        Ok(CopySummary { guard, ..tally.summary(&root, &selection, tag) })
    }

    /// Checks the guard of the tag, if there is one. The check is repeated when the tag is set.
    pub(super) async fn check_guard(&self, tag: Option<&Tag>) -> Result<()> {
        let checked = match (&self.options.guard, tag) {
            (None, _) => Ok(()),
            (Some(guard), Some(tag)) => self.target.check_tag(tag, guard).await,
            (Some(_), None) => Err(Error::new(ErrorKind::Invalid)
                .at(self.target.name())
                .detail("a condition on a tag needs a tag at the target")),
        };
        checked.map_err(|e| e.on(Side::Target))
    }

    /// Returns the manifest to copy: the requested manifest, or what the platforms select from it.
    pub(super) async fn root(&self, selector: &TagOrDigest) -> Result<Selection> {
        let manifest = self.read(selector).await?;
        // What is attached to images has no platform. It is selected by its name if all tags are
        // copied.
        let is_attached = selector.tag().is_some_and(|t| t.is_digest_tag() || t.is_for_referrers());
        let platforms = if is_attached { &[][..] } else { &self.options.platforms };
        let selection = select_platforms(&*self.source, manifest, platforms).await;
        selection.map_err(|e| e.on(Side::Source))
    }

    async fn root_state(&self, root: &RawManifest, tag: Option<&Tag>) -> Result<Option<TagState>> {
        match tag {
            Some(tag) => self.target_tag_state(tag, root).await.map(Some),
            None => Ok(None),
        }
    }

    /// Checks that the target loses no content if a digest tag of a series is set. Returns the
    /// condition that the tag does not change before it is set.
    async fn check_own_tag(&self, tag: &Tag, root: &RawManifest) -> Result<Option<TagGuard>> {
        if !self.own_tags().contains(tag) {
            return Ok(None);
        }
        let existing = self.at_target(tag).await?;
        if plan::tag_step(root, existing.manifest())? != TagStep::LeaveBehind {
            return Ok(Some(existing.guard()));
        }
        Err(Error::new(ErrorKind::Conflict)
            .at(tag)
            .on(Side::Target)
            .detail("the target's manifest may have content that the source's manifest lacks")
            .with_hint("To replace the manifest, copy this tag alone."))
    }

    /// Returns true if the target's manifest under a digest tag has content that the new manifest
    /// lacks, or if the two cannot be compared.
    pub(super) async fn would_lose(&self, tag: &Tag, new: &RawManifest) -> Result<bool> {
        let existing = self.at_target(tag).await?;
        Ok(plan::tag_step(new, existing.manifest())? == TagStep::LeaveBehind)
    }

    /// Copies everything below the root and, without a tag, the root.
    async fn content(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        root: &RawManifest,
        state: Option<TagState>,
    ) -> Result<()> {
        match state {
            Some(state) => self.below(tally, root, state.manifest, 0).await,
            None => self.once_below(tally, root.clone(), None, 0).await,
        }
    }

    /// Sends the root with its tag, unless the tag already points at it. Returns how the change of
    /// the tag was guarded.
    async fn set_tag(
        &self,
        tally: &Tally,
        tag: &Tag,
        root: &RawManifest,
        state: Option<TagState>,
        guard: Option<&TagGuard>,
    ) -> Result<Option<GuardMethod>> {
        let Some(TagState { is_current, manifest: holding }) = state else { return Ok(None) };
        let guard = match is_current && self.walk(holding) != Walk::Descend {
            true => None,
            false => self.send_tagged(tally, root, tag, guard).await?,
        };
        self.arrived(tally, root.descriptor(), holding);
        self.tagged_now(tag, root);
        Ok(guard)
    }

    pub(super) fn tagged_now(&self, tag: &Tag, root: &RawManifest) {
        (self.observer)(&CopyEvent::Tagged { tag: tag.clone(), digest: root.digest().clone() });
    }

    /// Counts and reports a manifest that the target now holds.
    pub(super) fn arrived(&self, tally: &Tally, manifest: &Descriptor, before: Presence) {
        let held = before != Presence::Absent;
        tally.count(|t| if held { t.manifests_held += 1 } else { t.manifests_sent += 1 });
        (self.observer)(&CopyEvent::Manifest { manifest: manifest.clone(), held });
    }

    /// Returns the digest tags that are copied as tags of their own.
    pub(super) fn own_tags(&self) -> MutexGuard<'_, HashSet<Tag>> {
        self.own_tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the digest tags that are copied as tags of their own.
    pub(super) fn remove_own(&self, tags: &mut Vec<Tag>) {
        let own = self.own_tags();
        tags.retain(|tag| !own.contains(tag));
    }

    pub(super) async fn read(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        self.source.manifest(selector).await.map_err(|e| e.on(Side::Source))
    }

    pub(super) async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        self.source.blob_size(digest).await.map_err(|e| e.on(Side::Source))
    }

    pub(super) async fn is_blob(&self, listed: &Descriptor) -> Result<bool> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        graph::is_blob(&*self.source, listed).await.map_err(|e| e.on(Side::Source))
    }

    /// Sends a manifest without a tag.
    pub(super) async fn send_manifest(&self, tally: &Tally, manifest: &RawManifest) -> Result<()> {
        let send = || async { self.target.push_manifest(manifest, None).await };
        self.send_again_with_blobs(tally, manifest, send).await
    }

    /// Sends a manifest with a tag, if the tag meets the guard.
    pub(super) async fn send_tagged(
        &self,
        tally: &Tally,
        manifest: &RawManifest,
        tag: &Tag,
        guard: Option<&TagGuard>,
    ) -> Result<Option<GuardMethod>> {
        let send = || async { self.target.push_tagged(manifest, tag, guard).await };
        self.send_again_with_blobs(tally, manifest, send).await
    }

    /// Sends a manifest. If the target lacks a blob that it had before, sends the blob and the
    /// manifest again: a registry may delete blobs that no manifest lists yet.
    async fn send_again_with_blobs<T, Fut>(
        &self,
        tally: &Tally,
        manifest: &RawManifest,
        send: impl Fn() -> Fut,
    ) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let permit = self.small_requests.acquire().await.map_err(canceled)?;
        let sent = send().await.map_err(|e| e.on(Side::Target));
        drop(permit);
        match sent {
            Err(e) if e.has_code(&ErrorCode::MANIFEST_BLOB_UNKNOWN) => {
                tracing::debug!(digest = %manifest.digest(), error = %e, "the target lacks a blob of the manifest");
                self.send_missing_blobs(tally, manifest).await?;
                let _permit = self.small_requests.acquire().await.map_err(canceled)?;
                send().await.map_err(|e| e.on(Side::Target))
            }
            sent => sent,
        }
    }

    async fn target_tag_state(&self, tag: &Tag, root: &RawManifest) -> Result<TagState> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        self.target.tag_state(tag, root.descriptor()).await.map_err(|e| e.on(Side::Target))
    }

    pub(super) async fn target_holds(&self, node: Node<'_>) -> Result<Presence> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        self.target.holds(node).await.map_err(|e| e.on(Side::Target))
    }
}

/// Work that is done once per digest, no matter how many callers request it.
pub(super) struct Once<T>(Mutex<HashMap<Digest, Arc<OnceCell<T>>>>);

impl<T: Clone + Send + Sync> Once<T> {
    /// Runs the work, or waits for another caller that is running it. After a failure, the next
    /// caller tries again.
    pub(super) async fn run<Fut>(&self, digest: &Digest, work: impl FnOnce() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(digest.clone()).or_default())
        };
        cell.get_or_try_init(work).await.cloned()
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Runs tasks that are already spawned. The first failure stops the other tasks.
pub(super) async fn all(tasks: JoinSet<Result<()>>) -> Result<()> {
    all_with(tasks, std::iter::empty::<Ready<Result<()>>>(), 0).await
}

/// Runs tasks that are already spawned, and `more` of them: `limit` immediately, and another one
/// whenever a task is done. The first failure stops the other tasks.
pub(super) async fn all_with<F>(
    mut tasks: JoinSet<Result<()>>,
    more: impl IntoIterator<Item = F>,
    limit: usize,
) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let mut more = more.into_iter();
    for work in more.by_ref().take(limit) {
        tasks.spawn(work);
    }
    let mut result = Ok(());
    while let Some(done) = tasks.join_next().await {
        result = done.unwrap_or_else(|e| Err(stopped(e)));
        if result.is_err() {
            break;
        }
        if let Some(work) = more.next() {
            tasks.spawn(work);
        }
    }
    // Wait for the other tasks to stop, so that their partial writes are removed.
    tasks.shutdown().await;
    result
}

pub(super) fn stopped(e: JoinError) -> Error {
    Error::new(ErrorKind::Canceled).with_source(e)
}

pub(super) fn canceled(e: tokio::sync::AcquireError) -> Error {
    Error::new(ErrorKind::Canceled).with_source(e)
}

/// 100,000 entries of content that is not copied, about 20 MiB. A malicious source could list more.
const LEFT_BEHIND_LIMIT: usize = 100_000;
