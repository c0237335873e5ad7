//! Copies a graph of content from one store to another.
//!
//! Children are copied before parents, and the tag is set last. A manifest is therefore sent only
//! when the target holds everything below it, except layers that may not be redistributed. Content
//! that the target holds is skipped. If source and target are at the same registry, blobs are
//! mounted. All other content is sent. A [`Copier`] handles each digest once, except a root, which
//! is pushed with each of its tags. `plan` makes these decisions, and `run` carries them out.

mod attached;
mod blob;
mod digest_tags;
mod event;
mod fan_out;
mod manifest;
mod permits;
mod plan;
mod preview;
mod referrers;
mod referrers_index;
mod run;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};

pub use event::{CopyEvent, CopyStats, CopySummary, LeftBehind, LeftBehindReason, TagOutcome};
pub use fan_out::SharedReads;
pub use preview::{CopyPlan, PlannedAction, PlannedStep, PlannedTag};

use self::plan::Series;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;
use crate::platform::Platform;
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Source, Target};
use crate::tag_guard::TagGuard;

/// Options of a copy. Create with [`Default`] and set fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The platforms to copy from an index. Empty for all platforms. With one platform, the copy is
    /// the image alone. With several platforms, the copy is the index without the other images. In
    /// both cases, the copy has another digest than the index. See
    /// [`select_platforms`](crate::select_platforms).
    pub platforms: Vec<Platform>,
    /// What is copied of the content that is attached to the copied manifests, such as signatures,
    /// attestations and SBOMs.
    pub referrers: ReferrerSelection,
    /// Also copies layers that may not be redistributed. The copy fails if the source and the
    /// target both lack such a layer.
    pub nondistributable: bool,
    /// Checks every child, even below a manifest that the target reports as complete.
    pub recheck: bool,
    /// Sets the tag only if it meets this condition. The tag is checked before the copy, and again
    /// when it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<TagGuard>,
    /// The maximum number of blobs above 64 KiB that are copied at the same time, and of children
    /// of one index. Up to 32 tags, and up to 32 requests for manifests, smaller blobs and checks,
    /// are in progress beside them. With 1, nothing is done in parallel.
    pub parallel: NonZeroUsize,
}

/// The selection of the content that is attached to the copied manifests: their referrers, and the
/// manifests under their [digest tags](Tag::is_digest_tag), which cosign uses.
///
/// Attached content of attached manifests is selected in the same way. It is copied before the tag
/// of the copy is set. The summary of the copy lists the content that was found but not copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReferrerSelection {
    /// Everything.
    #[default]
    All,
    /// Nothing. The copy does not look for attached content.
    None,
    /// Only referrers of these artifact types. The content of a digest tag is also selected by the
    /// media types of its layers, because cosign's manifests have no artifact type of their own.
    OfTypes(Vec<MediaType>),
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            platforms: Vec::new(),
            referrers: ReferrerSelection::All,
            nondistributable: false,
            recheck: false,
            guard: None,
            parallel: PARALLEL,
        }
    }
}

/// Copies content from one store to another. Content that several copies share is copied only once.
///
/// [`new`](Self::new) uses the defaults, and [`builder`](Self::builder) sets options. A copier is
/// cheap to clone. Clones share the record of the digests that were copied.
///
/// # Cancellation
/// Dropping the future of a copy stops all its transfers. The target then holds only complete blobs
/// and manifests. The tag is unchanged, unless the request that sets the tag was already sent.
#[derive(Clone)]
pub struct Copier {
    run: Arc<run::Run>,
}

/// Sets up a [`Copier`].
///
/// ```
/// # use std::sync::Arc;
/// # use longshore_core::{Copier, CopyOptions, Memory, ReferrerSelection};
/// # let (source, target) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// let mut options = CopyOptions::default();
/// options.referrers = ReferrerSelection::None;
/// let copier = Copier::builder(source, target)
///     .options(options)
///     .on_event(|event| eprintln!("{event:?}"))
///     .build();
/// ```
pub struct CopierBuilder {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    options: CopyOptions,
    observer: CopyObserver,
    reads: Option<Arc<SharedReads>>,
}

/// Receives copy events. An observer cannot affect the copy.
pub type CopyObserver = Arc<dyn Fn(&CopyEvent) + Send + Sync>;

impl CopierBuilder {
    /// Sets the options of the copies.
    #[must_use]
    pub fn options(mut self, options: CopyOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the observer of copy events. The observer is called from several tasks and should
    /// return quickly.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&CopyEvent) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Reads each manifest and each blob together with other copies of the same source, which run
    /// at the same time.
    #[must_use]
    pub fn shared_reads(mut self, reads: Arc<SharedReads>) -> Self {
        self.reads = Some(reads);
        self
    }

    /// Builds the copier.
    #[must_use]
    pub fn build(self) -> Copier {
        let Self { source, target, options, observer, reads } = self;
        let mut run = run::Run::new(source, target, options, observer);
        if let Some(reads) = reads {
            run = run.share_reads(reads);
        }
        Copier { run: Arc::new(run) }
    }
}

impl Copier {
    /// Creates a copier from `source` to `target` with default options.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>) -> Self {
        Self::builder(source, target).build()
    }

    /// Starts to build a copier from `source` to `target`.
    #[must_use]
    pub fn builder(source: Arc<dyn Source>, target: Arc<dyn Target>) -> CopierBuilder {
        let options = CopyOptions::default();
        CopierBuilder { source, target, options, observer: Arc::new(|_| {}), reads: None }
    }

    /// Copies the manifest that `selector` names, and points `tag` at the copy, if a tag is given.
    ///
    /// # Errors
    /// The first error of either store, with its [side](crate::Error::side). Content that was
    /// already copied stays at the target, so a second run copies only the rest.
    /// [`Conflict`](ErrorKind::Conflict), before anything is sent, if the tag does not meet the
    /// [guard](CopyOptions::guard); [`Invalid`](ErrorKind::Invalid) for a guard without a tag.
    pub async fn copy(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopySummary> {
        Arc::clone(&self.run).copy(selector.clone(), tag.cloned()).await
    }

    /// Determines what [`copy`](Self::copy) would do, and writes nothing. Reads every manifest that
    /// would be sent. Queries the target for each manifest, and for the blobs if source and target
    /// are at different registries. The copy may send small blobs again that the plan skips.
    ///
    /// # Errors
    /// The read errors of [`copy`](Self::copy).
    pub async fn plan(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopyPlan> {
        self.run.plan(selector.clone(), tag.cloned()).await
    }

    /// Determines whether [`copy_tags`](Self::copy_tags) would refuse to move a digest tag, because
    /// the target's manifest has content that the source's manifest lacks, or the two cannot be
    /// compared. Returns `None` if it would not, or if `tag` is not a digest tag. Writes nothing.
    ///
    /// # Errors
    /// The read errors of [`copy`](Self::copy).
    pub async fn blocked_digest_tag(&self, tag: &Tag) -> Result<Option<LeftBehind>> {
        let Some(subject) = tag.subject().filter(|_| tag.is_digest_tag()) else { return Ok(None) };
        let new = self.run.read(&tag.clone().into()).await?;
        let reason = LeftBehindReason::TargetDiffers;
        let is_left = self.run.would_lose(tag, &new).await?;
        Ok(is_left.then(|| LeftBehind::tag(&subject, tag.clone(), reason)))
    }

    /// Copies several tags in parallel, each to the same tag of the target. A failed tag does not
    /// stop the others.
    ///
    /// Returns one outcome per tag, in the order given. [Digest tags](Tag::is_digest_tag) are copied
    /// first, so that signatures exist when the tags of their images are set. In two cases, the
    /// remaining tags are not tried and get the outcome [`Canceled`](ErrorKind::Canceled): after a
    /// registry refused the credentials, which apply to the whole repository, and after three tags
    /// in a row failed because a registry could not be reached or limited the rate of requests.
    pub async fn copy_tags(&self, tags: Vec<Tag>) -> Vec<TagOutcome> {
        let parallel = permits::small_parallel(self.run.options.parallel);
        let series = Mutex::new(Series::default());
        // Digest tags are copied first, so that they exist when the tags of their images are set.
        let (attached, images): (Vec<_>, Vec<_>) =
            tags.into_iter().enumerate().partition(|(_, tag)| tag.is_digest_tag());
        self.run.own_tags().extend(attached.iter().map(|(_, tag)| tag.clone()));
        let copy = |(at, tag): (usize, Tag)| {
            self.copy_of_series(tag, &series).map(move |outcome| (at, outcome))
        };
        let mut outcomes = Vec::new();
        for mut tags in [attached, images].map(Vec::into_iter) {
            // The first tag shows whether the registries accept the credentials, and what they
            // support.
            if outcomes.is_empty()
                && let Some(first) = tags.next()
            {
                outcomes.push(copy(first).await);
            }
            let others = futures_util::stream::iter(tags).map(copy).buffered(parallel);
            outcomes.extend(others.collect::<Vec<_>>().await);
        }
        outcomes.sort_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    async fn copy_of_series(&self, tag: Tag, series: &Mutex<Series>) -> TagOutcome {
        let series = || series.lock().unwrap_or_else(PoisonError::into_inner);
        if series().is_over {
            let error = Error::new(ErrorKind::Canceled).at(&tag).detail(NOT_TRIED);
            return TagOutcome { tag, result: Err(error) };
        }
        let result = self.copy(&tag.clone().into(), Some(&tag)).await;
        if result.is_err() {
            // The copy of the subject then tries the tag again, and fails or reports the tag as left
            // behind.
            self.run.own_tags().remove(&tag);
        }
        series().add(result.as_ref().err().map(Error::kind));
        TagOutcome { tag, result }
    }

    /// Copies one blob, whose digest and size must be correct. The blob is mounted if source and
    /// target are at the same registry and the registry supports mounts, skipped if the target
    /// holds the blob, and sent otherwise. A blob that may not be redistributed is left out, unless
    /// [`nondistributable`](CopyOptions::nondistributable) is set.
    ///
    /// # Errors
    /// The first error of either store, with its [side](crate::Error::side).
    pub async fn copy_blob(&self, blob: &Descriptor) -> Result<CopyStats> {
        Arc::clone(&self.run).only_blob(blob.clone()).await
    }
}

impl fmt::Debug for Copier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Copier({} to {})", self.run.source.name(), self.run.target.name())
    }
}

impl fmt::Debug for CopierBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CopierBuilder({} to {})", self.source.name(), self.target.name())
    }
}

const NOT_TRIED: &str = "not tried: earlier tags failed for a reason that affects all tags";
/// 6: enough to saturate a link with small layers, few enough to keep memory use low.
const PARALLEL: NonZeroUsize = match NonZeroUsize::new(6) {
    Some(n) => n,
    None => NonZeroUsize::MIN,
};

#[cfg(test)]
mod tests;
