//! Carries out a copy.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::event::CopyStats;
use super::once::Once;
use super::plan::{self, Step, Walk};
use super::{CopyEvent, CopyObserver, CopyOptions, CopySummary};
use crate::blob::{BlobBody, Progress};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::graph::{self, Successors};
use crate::manifest::RawManifest;
use crate::reference::{Tag, TagOrDigest};
use crate::select::select_image;
use crate::store::{Node, Presence, Pushed, Source, Target, TargetExt as _};

/// The state that the copies of one [`Copier`](super::Copier) share.
pub(super) struct Run {
    pub(super) source: Arc<dyn Source>,
    pub(super) target: Arc<dyn Target>,
    pub(super) options: CopyOptions,
    observer: CopyObserver,
    permits: Semaphore,
    blobs: Once,
    manifests: Once,
    /// The children of each manifest, kept if referrers are copied: children have referrers too.
    listed: Mutex<HashMap<Digest, Vec<Digest>>>,
}

/// One copy: its counts, and the layers it left out.
#[derive(Default)]
struct Copy {
    stats: Mutex<CopyStats>,
    left_out: Mutex<Vec<Digest>>,
}

impl Copy {
    fn count(&self, change: impl FnOnce(&mut CopyStats)) {
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
        let permits = Semaphore::new(options.parallel.get());
        let (blobs, manifests, listed) = Default::default();
        Self { source, target, options, observer, permits, blobs, manifests, listed }
    }

    /// Copies one blob.
    pub(super) async fn only_blob(self: Arc<Self>, blob: Descriptor) -> Result<CopyStats> {
        let copy = Arc::new(Copy::default());
        (self.observer)(&CopyEvent::Found { blob: blob.clone() });
        self.blob(Arc::clone(&copy), blob).await?;
        let stats = *copy.stats.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stats)
    }

    pub(super) async fn copy(
        self: Arc<Self>,
        selector: TagOrDigest,
        tag: Option<Tag>,
    ) -> Result<CopySummary> {
        let copy = Arc::new(Copy::default());
        let root = self.root(&selector).await?;
        if self.options.referrers {
            // The tag goes last: a client that follows it finds the signatures in place.
            self.deliver(&copy, &root, None).await?;
            self.referrers(&copy, root.digest()).await?;
            if let Some(tag) = &tag {
                self.point(tag, &root).await?;
            }
        } else {
            self.deliver(&copy, &root, tag.as_ref()).await?;
        }
        let stats = *copy.stats.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = copy.left_out.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(CopySummary { root: root.descriptor().clone(), tag, left_out, stats })
    }

    /// Returns the manifest to copy: the requested one, or its image for the requested platform.
    pub(super) async fn root(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let manifest = self.read(selector).await?;
        let Some(platform) = &self.options.platform else {
            return Ok(manifest);
        };
        let chosen = select_image(&*self.source, manifest, platform).await;
        chosen.map_err(|e| e.on(Side::Source))
    }

    /// Copies the root and everything below it, then the tag.
    async fn deliver(
        self: &Arc<Self>,
        copy: &Arc<Copy>,
        root: &RawManifest,
        tag: Option<&Tag>,
    ) -> Result<()> {
        let Some(tag) = tag else {
            return self.once_below(copy, root.clone(), 0).await;
        };
        let holding = self.below(copy, root, 0).await?;
        let settled = self.walk(holding) != Walk::Descend && self.points_at(tag, root).await?;
        if !settled {
            self.send_manifest(root, Some(tag)).await?;
        }
        self.arrived(copy, root, holding);
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

    /// Decides whether to descend below a manifest. Children have referrers too, which are found
    /// only by descending.
    pub(super) fn walk(&self, holding: Presence) -> Walk {
        let CopyOptions { recheck, referrers, nondistributable, .. } = self.options;
        plan::walk(holding, recheck || referrers, nondistributable)
    }

    /// Counts and reports a manifest that the target now holds.
    fn arrived(&self, copy: &Copy, manifest: &RawManifest, before: Presence) {
        let held = before != Presence::Absent;
        copy.count(|t| if held { t.manifests_held += 1 } else { t.manifests_sent += 1 });
        (self.observer)(&CopyEvent::Manifest { manifest: manifest.descriptor().clone(), held });
    }

    async fn points_at(&self, tag: &Tag, root: &RawManifest) -> Result<bool> {
        match self.target.resolve(&tag.clone().into()).await {
            Ok(there) => Ok(there.digest == *root.digest()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e.on(Side::Target)),
        }
    }

    /// Copies a manifest without a tag, once.
    async fn once_below(
        self: &Arc<Self>,
        copy: &Arc<Copy>,
        manifest: RawManifest,
        depth: usize,
    ) -> Result<()> {
        let digest = manifest.digest().clone();
        self.manifests
            .run(&digest, || async {
                let holding = self.below(copy, &manifest, depth).await?;
                if self.walk(holding) == Walk::Descend {
                    self.send_manifest(&manifest, None).await?;
                }
                self.arrived(copy, &manifest, holding);
                Ok(())
            })
            .await
    }

    /// Copies everything below a manifest, unless the target holds it as complete. Returns what the
    /// target held of the manifest before.
    async fn below(
        self: &Arc<Self>,
        copy: &Arc<Copy>,
        manifest: &RawManifest,
        depth: usize,
    ) -> Result<Presence> {
        let holding = self.target_holds(Node::Manifest(manifest.descriptor())).await?;
        match self.walk(holding) {
            Walk::Stop => {}
            walk => self.children(copy, manifest, walk, depth).await?,
        }
        Ok(holding)
    }

    /// Copies all blobs at once, and as many manifests as may be in flight, since each is in memory
    /// while it is copied. The first failure stops the others.
    async fn children(
        self: &Arc<Self>,
        copy: &Arc<Copy>,
        manifest: &RawManifest,
        walk: Walk,
        depth: usize,
    ) -> Result<()> {
        let successors = self.successors(manifest, walk, depth)?;
        let mut tasks = JoinSet::new();
        for blob in successors.blobs {
            (self.observer)(&CopyEvent::Found { blob: blob.clone() });
            tasks.spawn(Arc::clone(self).blob(Arc::clone(copy), blob));
        }
        for digest in successors.unsized_blobs {
            tasks.spawn(Arc::clone(self).unsized_blob(Arc::clone(copy), digest));
        }
        let mut manifests = successors
            .manifests
            .into_iter()
            .map(|child| Arc::clone(self).child(Arc::clone(copy), child, depth + 1));
        for child in manifests.by_ref().take(self.options.parallel.get()) {
            tasks.spawn(child);
        }
        let mut result = Ok(());
        while let Some(done) = tasks.join_next().await {
            let done = done.unwrap_or_else(|e| Err(Error::new(ErrorKind::Canceled).with_source(e)));
            if done.is_err() {
                result = done;
                break;
            }
            if let Some(child) = manifests.next() {
                tasks.spawn(child);
            }
        }
        // Wait for the others to stop, so that their partial writes are removed.
        tasks.shutdown().await;
        result
    }

    /// Returns the content to be copied below a manifest.
    pub(super) fn successors(
        &self,
        manifest: &RawManifest,
        walk: Walk,
        depth: usize,
    ) -> Result<Successors> {
        if depth >= DEPTH_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(manifest.digest())
                .on(Side::Source)
                .detail(format!("indexes are nested more than {DEPTH_LIMIT} deep")));
        }
        let mut successors = Successors::of(manifest).map_err(|e| e.on(Side::Source))?;
        if self.options.referrers {
            let children = successors.manifests.iter().map(|child| child.digest.clone());
            self.listed().insert(manifest.digest().clone(), children.collect());
        }
        if walk == Walk::Foreign {
            successors.blobs.retain(|blob| blob.media_type.is_nondistributable());
            successors.unsized_blobs.clear();
        }
        Ok(successors)
    }

    /// Copies an entry of an index. Boxed: its children may be indexes.
    fn child(
        self: Arc<Self>,
        copy: Arc<Copy>,
        child: Descriptor,
        depth: usize,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if !self.is_blob(&child).await? {
                return self.listed_manifest(&copy, &child, depth).await;
            }
            (self.observer)(&CopyEvent::ListedBlob { blob: child.clone() });
            (self.observer)(&CopyEvent::Found { blob: child.clone() });
            self.blob(copy, child).await
        })
    }

    /// Copies a manifest that is listed by an index or as a referrer.
    async fn listed_manifest(
        self: &Arc<Self>,
        copy: &Arc<Copy>,
        child: &Descriptor,
        depth: usize,
    ) -> Result<()> {
        let manifest = self.read_listed(child).await?;
        self.once_below(copy, manifest.clone(), depth).await?;
        self.check_name(&manifest).await
    }

    /// Reads a manifest that is listed by an index or as a referrer.
    pub(super) async fn read_listed(&self, child: &Descriptor) -> Result<RawManifest> {
        let manifest = self.read(&child.digest.clone().into()).await?;
        if manifest.descriptor().size != child.size {
            return Err(Error::new(ErrorKind::SizeMismatch)
                .at(&child.digest)
                .on(Side::Source)
                .detail(format!(
                    "expected {} bytes, got {}",
                    child.size,
                    manifest.descriptor().size
                )));
        }
        Ok(manifest)
    }

    /// Checks that the target uses the digest from the index for a signed schema 1 manifest, which
    /// has two.
    async fn check_name(&self, child: &RawManifest) -> Result<()> {
        let named = Node::Manifest(child.descriptor());
        if child.by_bytes().digest() == child.digest()
            || self.target_holds(named).await? != Presence::Absent
        {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported).at(child.digest()).on(Side::Target).detail(
            "the target names signed schema 1 by its bytes, unlike the index that lists it",
        ))
    }

    async fn blob(self: Arc<Self>, copy: Arc<Copy>, blob: Descriptor) -> Result<()> {
        self.blobs.run(&blob.digest, || self.move_blob(&copy, &blob)).await
    }

    async fn unsized_blob(self: Arc<Self>, copy: Arc<Copy>, digest: Digest) -> Result<()> {
        let blob = self.with_size(digest).await?;
        (self.observer)(&CopyEvent::Found { blob: blob.clone() });
        self.blob(copy, blob).await
    }

    /// Finds the size of a blob. Schema 1 states no sizes, so the source is asked.
    pub(super) async fn with_size(&self, digest: Digest) -> Result<Descriptor> {
        let size = self.blob_size(&digest).await?;
        let size = size.ok_or_else(|| {
            Error::new(ErrorKind::NotFound).at(format!("blob {digest}")).on(Side::Source)
        })?;
        Ok(Descriptor::new(crate::MediaType::DOCKER_LAYER_GZIP, digest, size))
    }

    async fn move_blob(&self, copy: &Copy, blob: &Descriptor) -> Result<()> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        let (digest, size) = (blob.digest.clone(), blob.size);
        let body = || self.body_of(blob);
        let pushed = match self.step(blob) {
            Step::LeaveOut => {
                copy.count(|t| t.blobs_left_out += 1);
                copy.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
                (self.observer)(&CopyEvent::LeftOut { digest, size });
                return Ok(());
            }
            Step::Skip => Ok(Pushed::Existing),
            Step::Push => self.target.push_blob(blob, body()).await,
            Step::LookThenPush => self.target.ensure_blob(blob, body()).await,
        };
        match (pushed.map_err(|e| e.on(Side::Target))?, self.source.origin()) {
            (Pushed::Existing, _) => {
                copy.count(|t| t.blobs_held += 1);
                (self.observer)(&CopyEvent::Skipped { digest, size });
            }
            (Pushed::Mounted, Some(from)) => {
                copy.count(|t| t.blobs_mounted += 1);
                (self.observer)(&CopyEvent::Mounted { digest, size, from: from.clone() });
            }
            (Pushed::Mounted, None) | (Pushed::Sent, _) => {
                copy.count(|t| {
                    t.blobs_sent += 1;
                    t.bytes_sent += size;
                });
                (self.observer)(&CopyEvent::Sent { digest, size });
            }
        }
        Ok(())
    }

    pub(super) fn step(&self, blob: &Descriptor) -> Step {
        let (source, target) = (self.source.origin(), self.target.origin());
        plan::blob_step(blob, self.options.nondistributable, source, target)
    }

    /// Returns the source's blob, which reports its progress.
    fn body_of(&self, blob: &Descriptor) -> BlobBody {
        let (observer, digest) = (Arc::clone(&self.observer), blob.digest.clone());
        BlobBody::source(Arc::clone(&self.source)).on_progress(move |progress: Progress| {
            observer(&CopyEvent::Progress { digest: digest.clone(), bytes: progress.piece });
        })
    }

    async fn read(&self, selector: &TagOrDigest) -> Result<RawManifest> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        self.source.manifest(selector).await.map_err(|e| e.on(Side::Source))
    }

    async fn blob_size(&self, digest: &Digest) -> Result<Option<u64>> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        self.source.blob_size(digest).await.map_err(|e| e.on(Side::Source))
    }

    pub(super) async fn is_blob(&self, listed: &Descriptor) -> Result<bool> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        graph::is_blob(&*self.source, listed).await.map_err(|e| e.on(Side::Source))
    }

    async fn send_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        self.target.push_manifest(manifest, tag).await.map_err(|e| e.on(Side::Target))
    }

    pub(super) async fn target_holds(&self, node: Node<'_>) -> Result<Presence> {
        let _permit = self.permits.acquire().await.map_err(canceled)?;
        self.target.holds(node).await.map_err(|e| e.on(Side::Target))
    }

    /// Copies everything that refers to the root or to content below it, and their referrers in
    /// turn.
    async fn referrers(self: &Arc<Self>, copy: &Arc<Copy>, root: &Digest) -> Result<()> {
        let mut subjects = Subjects::of(root);
        while let Some(subject) = self.next_subject(&mut subjects) {
            for referrer in self.referrers_of(&subject, &mut subjects).await? {
                self.listed_manifest(copy, &referrer, 0).await?;
            }
        }
        Ok(())
    }

    /// Returns the next manifest whose referrers are to be found, and adds its children as
    /// subjects.
    ///
    /// The children are looked up, not taken from what this copy sent: another copy may have sent a
    /// manifest that both share, and failed afterwards. A blob that an index lists is never a key.
    pub(super) fn next_subject(&self, subjects: &mut Subjects) -> Option<Digest> {
        let listed = self.listed();
        loop {
            let subject = subjects.waiting.pop_front()?;
            if let Some(children) = listed.get(&subject) {
                children.iter().for_each(|child| {
                    subjects.add(child);
                });
                return Some(subject);
            }
        }
    }

    /// Returns the referrers of a subject that were not seen before. They become subjects too.
    pub(super) async fn referrers_of(
        &self,
        subject: &Digest,
        subjects: &mut Subjects,
    ) -> Result<Vec<Descriptor>> {
        let (mut listed, mut new) = (0, Vec::new());
        let mut referrers = self.source.referrers(subject, None).items();
        while let Some(referrer) = referrers.try_next().await.map_err(|e| e.on(Side::Source))? {
            listed += 1;
            if listed > REFERRER_LIMIT || subjects.known.len() > MANIFEST_COUNT_LIMIT {
                return Err(too_many(subject, listed));
            }
            if subjects.add(&referrer.digest) {
                new.push(referrer);
            }
        }
        Ok(new)
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Digest>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Manifests whose referrers are still to be found.
pub(super) struct Subjects {
    known: HashSet<Digest>,
    waiting: VecDeque<Digest>,
}

impl Subjects {
    pub(super) fn of(root: &Digest) -> Self {
        Self { known: HashSet::from([root.clone()]), waiting: VecDeque::from([root.clone()]) }
    }

    fn add(&mut self, digest: &Digest) -> bool {
        let is_new = self.known.insert(digest.clone());
        if is_new {
            self.waiting.push_back(digest.clone());
        }
        is_new
    }
}

/// Builds the error for a copy with too many referrers, of one subject or in all.
fn too_many(subject: &Digest, of_subject: usize) -> Error {
    let detail = match of_subject > REFERRER_LIMIT {
        true => format!("it has more than {REFERRER_LIMIT} referrers"),
        false => {
            format!("with its referrers, the copy has more than {MANIFEST_COUNT_LIMIT} manifests")
        }
    };
    Error::new(ErrorKind::TooLarge).at(subject).on(Side::Source).detail(detail)
}

fn canceled(e: tokio::sync::AcquireError) -> Error {
    Error::new(ErrorKind::Canceled).with_source(e)
}

/// Maximum nesting depth. Real indexes nest at most two deep.
const DEPTH_LIMIT: usize = 8;
/// 1,000 for each subject: one with more is being flooded.
const REFERRER_LIMIT: usize = 1_000;
/// 100,000 in one copy that includes referrers: referrers have referrers, and a hostile registry
/// could list them without end.
const MANIFEST_COUNT_LIMIT: usize = 100_000;
