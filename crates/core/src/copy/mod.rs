//! Copying a graph of content from one store to another.
//!
//! Children go before parents and the tag goes last, so a target never shows what is not all there.
//! What the target holds is skipped, what its registry holds elsewhere is mounted, the rest is sent,
//! each digest once per [`Copier`]. Which of these is decided in `plan`; `run` does it.

mod event;
mod once;
mod plan;
mod run;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;

pub use event::{CopyEvent, CopySummary, TagOutcome, Tally};

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

/// Copies from one repository to another; remembers what it has dealt with.
///
/// ```
/// # use std::sync::Arc;
/// # use longshore_core::{Copier, CopyOptions, Memory};
/// # let (source, target) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
/// let mut options = CopyOptions::default();
/// options.referrers = true;
/// let copier = Copier::new(source, target).options(options).on_event(|e| eprintln!("{e:?}"));
/// ```
///
/// # Cancellation
/// Dropping the future of a copy stops all its transfers. The target then holds whole blobs and
/// manifests, and no tag was moved.
pub struct Copier {
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    options: CopyOptions,
    observer: Observer,
    run: std::sync::OnceLock<Arc<run::Run>>,
}

/// Who is told what happens. Told only: it cannot steer.
pub(crate) type Observer = Arc<dyn Fn(&CopyEvent) + Send + Sync>;

impl Copier {
    /// Copies from `source` to `target`.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, target: Arc<dyn Target>) -> Self {
        Self {
            source,
            target,
            options: CopyOptions::default(),
            observer: Arc::new(|_| {}),
            run: std::sync::OnceLock::new(),
        }
    }

    /// Sets how to copy.
    #[must_use]
    pub fn options(mut self, options: CopyOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets who is told what happens. Called from several tasks; should return quickly.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&CopyEvent) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Copies what `selector` names, and points `tag` at it, if given.
    ///
    /// # Errors
    /// The first error of either store, with its [side](crate::Error::side). What was copied until
    /// then stays, so that running it again goes on from there.
    pub async fn copy(&self, selector: &TagOrDigest, tag: Option<&Tag>) -> Result<CopySummary> {
        Arc::clone(self.run()).copy(selector.clone(), tag.cloned()).await
    }

    /// Copies these tags, each to the same tag; several at once. A tag that fails does not keep the
    /// others from being copied.
    ///
    /// Returns one outcome a tag, in the order given. Where going on is pointless, the tags that are
    /// left are not tried, and each of them has the outcome [`Canceled`](ErrorKind::Canceled): after
    /// a registry refused the credentials, which count for the whole repository, and after three tags
    /// in a row for which it could not be reached.
    pub async fn copy_tags(&self, tags: Vec<Tag>) -> Vec<TagOutcome> {
        let parallel = self.options.parallel.get();
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
        Arc::clone(self.run()).only_blob(blob.clone()).await
    }

    fn run(&self) -> &Arc<run::Run> {
        self.run.get_or_init(|| {
            let (source, target) = (Arc::clone(&self.source), Arc::clone(&self.target));
            let observer = Arc::clone(&self.observer);
            Arc::new(run::Run::new(source, target, self.options.clone(), observer))
        })
    }
}

impl fmt::Debug for Copier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Copier({} to {})", self.source.name(), self.target.name())
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
