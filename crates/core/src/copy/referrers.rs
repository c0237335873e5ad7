//! Copies what is attached to the copied content: referrers and digest tags, including those of
//! other attached manifests. `attached` finds them.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryStreamExt as _};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use tokio::try_join;

use super::attached::{Attached, DigestTag};
use super::digest_tags::is_refusal;
use super::permits::small_parallel;
use super::plan::Walk;
use super::run::{self, Run, Tally, canceled};
use super::{LeftBehind, LeftBehindReason};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::manifest::RawManifest;
use crate::select::Selection;
use crate::store::{Node, Presence};

impl Run {
    /// Copies everything attached to the root and to the manifests below it, and then everything
    /// attached to the attached manifests.
    ///
    /// No work on a subject waits for another subject, so subjects that refer to each other do not
    /// block the copy.
    pub(super) async fn attachments(
        self: Arc<Self>,
        tally: Arc<Tally>,
        root: RawManifest,
    ) -> Result<()> {
        self.record_entries(&root)?;
        let mut subjects = Subjects::of(root.descriptor());
        let mut tasks = JoinSet::new();
        loop {
            while tasks.len() < small_parallel(self.options.parallel)
                && let Some(subject) = subjects.next()
            {
                tasks.spawn(Arc::clone(&self).attachments_of(Arc::clone(&tally), subject));
            }
            let Some(done) = tasks.join_next().await else { return Ok(()) };
            let found = done.unwrap_or_else(|e| Err(run::stopped(e)));
            if let Err(e) = found.and_then(|found| subjects.add(&found)) {
                tasks.shutdown().await;
                return Err(hinted(e));
            }
        }
    }

    /// Copies what is attached to one manifest. Returns the manifests to examine next: the entries
    /// of an index, and the attached manifests.
    async fn attachments_of(
        self: Arc<Self>,
        tally: Arc<Tally>,
        subject: Descriptor,
    ) -> Result<Arc<[Descriptor]>> {
        self.attached
            .run(&subject.digest, || async {
                let (mut next, attached) =
                    try_join!(self.entries(&subject), self.attached_to(&subject.digest))?;
                let Attached { referrers, digest_tags, left_behind } = attached;
                tally.leave_behind(left_behind)?;
                next.extend(referrers.iter().cloned());
                next.extend(digest_tags.iter().map(|tag| tag.manifest.descriptor().clone()));
                let at_target = Arc::new(AtTarget::new(subject.digest.clone()));
                let referrers = referrers.into_iter().map(|referrer| {
                    let (run, tally) = (Arc::clone(&self), Arc::clone(&tally));
                    run.referrer(tally, Arc::clone(&at_target), referrer).boxed()
                });
                let tags = digest_tags.into_iter().map(|tag| {
                    let (run, tally) = (Arc::clone(&self), Arc::clone(&tally));
                    run.digest_tag(tally, subject.digest.clone(), tag).boxed()
                });
                let work: Vec<BoxFuture<'static, Result<()>>> = referrers.chain(tags).collect();
                run::all_with(JoinSet::new(), work, self.options.parallel.get()).await?;
                Ok(next.into())
            })
            .await
    }

    /// Records what is attached to the index from which platforms were selected, and the
    /// attestations of the selected image. They belong to another manifest than the copy.
    pub(super) async fn leave_selected_from(
        self: Arc<Self>,
        tally: Arc<Tally>,
        selection: Selection,
    ) -> Result<()> {
        tally.leave_behind(self.left_by_selection(&selection).await?)
    }

    /// Copies a referrer. A referrer that the target holds but does not list is sent again, because
    /// an earlier copy may have ended in between.
    async fn referrer(
        self: Arc<Self>,
        tally: Arc<Tally>,
        at_target: Arc<AtTarget>,
        referrer: Descriptor,
    ) -> Result<()> {
        let mut holding = self.target_holds(Node::Manifest(&referrer)).await?;
        if holding == Presence::Complete && !at_target.lists(&self, &referrer.digest).await? {
            holding = Presence::Partial;
        }
        if self.walk(holding) == Walk::Stop {
            self.arrived(&tally, &referrer, holding);
            return Ok(());
        }
        match self.read_referrer(&at_target.subject, &referrer).await? {
            Ok(manifest) => self.once_below(&tally, manifest, Some(holding), 0).await,
            Err(left) => tally.leave_behind(vec![left]),
        }
    }

    /// Reads a referrer. A fallback tag may list a referrer that was deleted.
    pub(super) async fn read_referrer(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<Result<RawManifest, LeftBehind>> {
        match self.read_listed(referrer).await {
            Ok(manifest) => Ok(Ok(manifest)),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Ok(Err(LeftBehind::referrer(subject, referrer, LeftBehindReason::Missing)))
            }
            Err(e) => Err(e),
        }
    }

    /// Copies the content of a digest tag, and sets the tag, unless another client has changed it
    /// since it was examined.
    async fn digest_tag(
        self: Arc<Self>,
        tally: Arc<Tally>,
        subject: Digest,
        copied: DigestTag,
    ) -> Result<()> {
        let DigestTag { tag, manifest, existing } = &copied;
        if copied.is_current() {
            self.arrived(&tally, manifest.descriptor(), Presence::Complete);
            return Ok(());
        }
        self.below(&tally, manifest, Presence::Absent, 0).await?;
        match self.send_tagged(&tally, manifest, tag, Some(&existing.guard())).await {
            Ok(_) => self.tagged_now(tag, manifest),
            // Another copy of the same image may have set the tag.
            Err(e) if e.kind() == ErrorKind::Conflict => {
                let found = self.at_target(tag).await?;
                if found.manifest().is_none_or(|found| found.digest() != manifest.digest()) {
                    let reason = LeftBehindReason::TargetDiffers;
                    let left = LeftBehind::tag(&subject, tag.clone(), reason);
                    return tally.leave_behind(vec![left]);
                }
            }
            Err(e) => return Err(e),
        }
        self.arrived(&tally, manifest.descriptor(), Presence::Absent);
        Ok(())
    }
}

/// The referrers that the target lists for a subject. Listed only if needed.
struct AtTarget {
    subject: Digest,
    listed: OnceCell<HashSet<Digest>>,
}

impl AtTarget {
    fn new(subject: Digest) -> Self {
        Self { subject, listed: OnceCell::new() }
    }

    async fn lists(&self, run: &Run, referrer: &Digest) -> Result<bool> {
        let listed = self.listed.get_or_try_init(|| self.list(run)).await?;
        Ok(listed.contains(referrer))
    }

    async fn list(&self, run: &Run) -> Result<HashSet<Digest>> {
        let _permit = run.small_requests.acquire().await.map_err(canceled)?;
        let listed = run.target.referrers(&self.subject, None).items();
        match listed.try_collect::<Vec<Descriptor>>().await {
            Ok(listed) => Ok(listed.into_iter().map(|referrer| referrer.digest).collect()),
            // The referrers are sent again, as if the target listed none.
            Err(e) if is_refusal(&e) => Ok(HashSet::new()),
            Err(e) => Err(e.on(Side::Target)),
        }
    }
}

/// The manifests whose attached content is still to be found.
pub(super) struct Subjects {
    known: HashSet<Digest>,
    waiting: VecDeque<Descriptor>,
}

impl Subjects {
    pub(super) fn of(root: &Descriptor) -> Self {
        Self {
            known: HashSet::from([root.digest.clone()]),
            waiting: VecDeque::from([root.clone()]),
        }
    }

    pub(super) fn next(&mut self) -> Option<Descriptor> {
        self.waiting.pop_front()
    }

    /// Adds the manifests that were not added before.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond [`MANIFEST_COUNT_LIMIT`] manifests.
    pub(super) fn add(&mut self, found: &[Descriptor]) -> Result<()> {
        for subject in found {
            if self.known.insert(subject.digest.clone()) {
                self.waiting.push_back(subject.clone());
            }
        }
        if self.known.len() <= MANIFEST_COUNT_LIMIT {
            return Ok(());
        }
        Err(Error::new(ErrorKind::TooLarge).on(Side::Source).detail(format!(
            "the copy has more than {MANIFEST_COUNT_LIMIT} manifests, including referrers"
        )))
    }
}

/// Adds a hint to an error that may not affect the image itself.
fn hinted(error: Error) -> Error {
    use ErrorKind::{Canceled, Io, RateLimited, Timeout, Transport, Unauthorized};
    let affects_all =
        matches!(error.kind(), Canceled | Io | RateLimited | Timeout | Transport | Unauthorized);
    // A reply with another status, such as 500, may concern only this request.
    let is_reply = error.status().is_some_and(|status| !matches!(status, 401 | 429));
    if error.hint().is_some() || (affects_all && !is_reply) {
        return error;
    }
    error.with_hint("To copy the image without its referrers and digest tags, use --no-referrers.")
}

/// 100,000 manifests in one copy with referrers. Referrers can have referrers, so a malicious
/// registry could list an endless chain.
const MANIFEST_COUNT_LIMIT: usize = 100_000;
