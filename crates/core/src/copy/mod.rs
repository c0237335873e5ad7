//! Copying a graph of content from one store to another.
//!
//! Children go before parents and the tag goes last, so a target never shows what is not all there.
//! What the target holds is skipped, what its registry holds elsewhere is mounted, the rest is sent,
//! each digest once per [`Copier`]. Which of these is decided in `plan`; `run` does it.

mod event;
mod once;
mod plan;
mod preview;
mod run;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;

pub use event::{CopyEvent, CopySummary, TagOutcome, Tally};
pub use preview::{CopyPlan, PlannedAction, PlannedStep};

use self::plan::Series;
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::Platform;
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Source, Target};

/// How to copy. Make one with [`Default`] and set fields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CopyOptions {
    /// Of an index, only the image for this platform; its digest is then the image's own.
    pub platform: Option<Platform>,
    /// Also everything whose `subject` is copied: signatures, attestations, SBOMs.
    pub referrers: bool,
    /// Also layers that may not be redistributed, which the source may not have.
    pub nondistributable: bool,
    /// Look at every child, also below a manifest that the target says it holds.
    pub recheck: bool,
    /// How many manifests and blobs are on their way at once.
    pub parallel: NonZeroUsize,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            platform: None,
            referrers: false,
            nondistributable: false,
            recheck: false,
            parallel: PARALLEL,
        }
    }
}

/// Copies from one repository to another, and remembers what it has dealt with.
///
/// [`new`](Self::new) takes every default; [`builder`](Self::builder) sets options. Cheap to clone;
/// clones share what they remember.
///
/// # Cancellation
/// Dropping the future of a copy stops all its transfers. The target then holds whole blobs and
/// manifests, and no tag was moved.
#[derive(Clone)]
pub struct Copier {
    run: Arc<run::Run>,
}

/// Sets up a [`Copier`].
///
/// ```
/// # use std::sync::Arc;
/// # use longshore_core::{Copier, CopyOptions, Memory};
/// # let (source, target) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// let mut options = CopyOptions::default();
/// options.referrers = true;
/// let copier = Copier::builder(source, target)
///     .options(options)
///     .on_event(|event| eprintln!("{event:?}"))
///     .build();
/// ```
pub struct CopierBuilder {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    options: CopyOptions,
    observer: Observer,
}

/// Receives copy events. An observer cannot affect the copy.
pub(crate) type Observer = Arc<dyn Fn(&CopyEvent) + Send + Sync>;

impl CopierBuilder {
    /// Sets how to copy.
    #[must_use]
    pub fn options(mut self, options: CopyOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets the observer of copy events. It is called from several tasks, and should return quickly.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&CopyEvent) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Makes the copier.
    #[must_use]
    pub fn build(self) -> Copier {
        let Self { source, target, options, observer } = self;
        Copier { run: Arc::new(run::Run::new(source, target, options, observer)) }
    }
}

impl Copier {
    /// Makes a copier from `source` to `target` with every option at its default.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>) -> Self {
        Self::builder(source, target).build()
    }

    /// Starts a copier from `source` to `target`.
    #[must_use]
    pub fn builder(source: Arc<dyn Source>, target: Arc<dyn Target>) -> CopierBuilder {
        let options = CopyOptions::default();
        CopierBuilder { source, target, options, observer: Arc::new(|_| {}) }
    }

    /// Copies what `selector` names, and points `tag` at it, if given.
    ///
    /// # Errors
    /// The first error of either store, with its [side](crate::Error::side). What was copied until
    /// then stays, so that running it again goes on from there.
    pub async fn copy(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopySummary> {
        Arc::clone(&self.run).copy(selector.clone(), tag.cloned()).await
    }

    /// Finds out what [`copy`](Self::copy) would do, and writes nothing. Reads every manifest that would
    /// be sent, and asks the target for each blob.
    ///
    /// # Errors
    /// Those of the reading half of [`copy`](Self::copy).
    pub async fn plan(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopyPlan> {
        self.run.plan(selector.clone(), tag.cloned()).await
    }

    /// Copies these tags, each to the same tag; several at once. A tag that fails does not keep the
    /// others from being copied.
    ///
    /// Returns one outcome a tag, in the order given. Where going on is pointless, the tags that are
    /// left are not tried, and each of them has the outcome [`Canceled`](ErrorKind::Canceled): after
    /// a registry refused the credentials, which count for the whole repository, and after three tags
    /// in a row for which it could not be reached.
    pub async fn copy_tags(&self, tags: Vec<Tag>) -> Vec<TagOutcome> {
        let parallel = self.run.options.parallel.get();
        let series = Mutex::new(Series::default());
        futures_util::stream::iter(tags)
            .map(|tag| self.copy_of_series(tag, &series))
            .buffered(parallel)
            .collect()
            .await
    }

    async fn copy_of_series(&self, tag: Tag, series: &Mutex<Series>) -> TagOutcome {
        let series = || series.lock().unwrap_or_else(PoisonError::into_inner);
        if series().is_over {
            let error = Error::new(ErrorKind::Canceled).at(&tag).detail(NOT_TRIED);
            return TagOutcome { tag, result: Err(error) };
        }
        let result = self.copy(&tag.clone().into(), Some(&tag)).await;
        series().add(result.as_ref().err().map(Error::kind));
        TagOutcome { tag, result }
    }

    /// Copies one blob, of which digest and size must be right: it is taken over where both ends are
    /// at one registry that does so, left out where it is there, and sent otherwise.
    ///
    /// # Errors
    /// The first error of either store, with its [side](crate::Error::side).
    pub async fn copy_blob(&self, blob: &Descriptor) -> Result<Tally> {
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

const NOT_TRIED: &str = "not tried: the tags before it failed for a reason that holds for all";
/// Six at once: enough to fill a link with small layers, few enough that memory stays small.
const PARALLEL: NonZeroUsize = match NonZeroUsize::new(6) {
    Some(n) => n,
    None => NonZeroUsize::MIN,
};

#[cfg(test)]
mod tests;
