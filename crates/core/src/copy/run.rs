//! Carries out a copy. Owns the root, the tag, and the state that the other modules share.
//!
//! `manifest` walks the graph below the root, `blob` copies blobs, and `referrers` finds the
//! referrers of the copied content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore};

use super::event::CopyStats;
use super::plan::Walk;
use super::{CopyEvent, CopyObserver, CopyOptions, CopySummary};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::graph;
use crate::manifest::RawManifest;
use crate::reference::{Tag, TagOrDigest};
use crate::select::select_image;
use crate::store::{Node, Presence, Source, TagState, Target};

/// The state that the copies of one [`Copier`](super::Copier) share.
pub(super) struct Run {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) options: CopyOptions,
    pub(super) observer: CopyObserver,
    /// Permits for large blobs. Their number is the option [`parallel`](CopyOptions::parallel).
    pub(super) large_blobs: Arc<Semaphore>,
    /// Permits for small blobs, manifests and checks, so that large blobs do not delay them.
    pub(super) small_requests: Arc<Semaphore>,
    pub(super) blobs: Once,
    pub(super) manifests: Once,
    /// The children of each manifest. Recorded only if referrers are copied, because children can
    /// have referrers too.
    pub(super) listed: Mutex<HashMap<Digest, Vec<Digest>>>,
}

/// The counts of one copy, and the layers that were left out.
#[derive(Default)]
pub(super) struct Tally {
    stats: Mutex<CopyStats>,
    pub(super) left_out: Mutex<Vec<Digest>>,
}

impl Tally {
    pub(super) fn count(&self, change: impl FnOnce(&mut CopyStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Run {
    pub(super) fn new(
        source: Arc<dyn Source>,
        target: Arc<dyn Target>,
        options: CopyOptions,
        observer: CopyObserver,
    ) -> Self {
        let large_blobs = Arc::new(Semaphore::new(options.parallel.get()));
        let small_requests = match options.small_parallel() {
            // A copy without parallelism has one permit for everything.
            1 => Arc::clone(&large_blobs),
            more => Arc::new(Semaphore::new(more)),
        };
        let (blobs, manifests, listed) = Default::default();
        Self {
            source,
            target,
            options,
            observer,
            large_blobs,
            small_requests,
            blobs,
            manifests,
            listed,
        }
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
        let tally = Arc::new(Tally::default());
        let root = self.root(&selector).await?;
        if self.options.referrers {
            // Set the tag last, so that a client that resolves the tag finds the signatures.
            self.deliver(&tally, &root, None).await?;
            self.referrers(&tally, root.digest()).await?;
            if let Some(tag) = &tag {
                self.point(tag, &root).await?;
            }
        } else {
            self.deliver(&tally, &root, tag.as_ref()).await?;
        }
        let stats = *tally.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = tally.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(CopySummary { root: root.descriptor().clone(), tag, left_out, stats })
    }

    /// Returns the manifest to copy: the requested manifest, or its image for the requested
    /// platform.
    pub(super) async fn root(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let manifest = self.read(selector).await?;
        let Some(platform) = &self.options.platform else {
            return Ok(manifest);
        };
        let chosen = select_image(&*self.source, manifest, platform).await;
        chosen.map_err(|e| e.on(Side::Source))
    }

    /// Copies the root and everything below it, and then sets the tag.
    async fn deliver(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        root: &RawManifest,
        tag: Option<&Tag>,
    ) -> Result<()> {
        let Some(tag) = tag else {
            return self.once_below(tally, root.clone(), 0).await;
        };
        let TagState { is_current, manifest: holding } = self.target_tag_state(tag, root).await?;
        self.below(tally, root, holding, 0).await?;
        if !is_current || self.walk(holding) == Walk::Descend {
            self.send_manifest(root, Some(tag)).await?;
        }
        self.arrived(tally, root, holding);
        self.tagged(tag, root);
        Ok(())
    }

    /// Points a tag at a root that the target holds.
    async fn point(&self, tag: &Tag, root: &RawManifest) -> Result<()> {
        if !self.points_at(tag, root).await? {
            self.send_manifest(root, Some(tag)).await?;
        }
        self.tagged(tag, root);
        Ok(())
    }

    fn tagged(&self, tag: &Tag, root: &RawManifest) {
        (self.observer)(&CopyEvent::Tagged { tag: tag.clone(), digest: root.digest().clone() });
    }

    /// Counts and reports a manifest that the target now holds.
    pub(super) fn arrived(&self, tally: &Tally, manifest: &RawManifest, before: Presence) {
        let held = before != Presence::Absent;
        tally.count(|t| if held { t.manifests_held += 1 } else { t.manifests_sent += 1 });
        (self.observer)(&CopyEvent::Manifest { manifest: manifest.descriptor().clone(), held });
    }

    async fn points_at(&self, tag: &Tag, root: &RawManifest) -> Result<bool> {
        match self.target.resolve(&tag.clone().into()).await {
            Ok(existing) => Ok(existing.digest == *root.digest()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e.on(Side::Target)),
        }
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

    pub(super) async fn send_manifest(
        &self,
        manifest: &RawManifest,
        tag: Option<&Tag>,
    ) -> Result<()> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        self.target.push_manifest(manifest, tag).await.map_err(|e| e.on(Side::Target))
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
#[derive(Default)]
pub(super) struct Once(Mutex<HashMap<Digest, Arc<OnceCell<()>>>>);

impl Once {
    /// Runs the work, or waits for another caller that is running it. After a failure, the next
    /// caller tries again.
    pub(super) async fn run<Fut>(&self, digest: &Digest, work: impl FnOnce() -> Fut) -> Result<()>
    where
        Fut: Future<Output = Result<()>>,
    {
        let cell = {
            let mut cells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry(digest.clone()).or_default())
        };
        cell.get_or_try_init(work).await.map(drop)
    }
}

pub(super) fn canceled(e: tokio::sync::AcquireError) -> Error {
    Error::new(ErrorKind::Canceled).with_source(e)
}
