//! Copies images between locations: single images, all tags, and lists of transfers.

mod plan;
mod report;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use longshore_core::{
    Copier, CopyObserver, CopyOptions, CopySummary, Digest, Error, ErrorKind, ParseError,
    Reference, Result, SharedReads, Side, Source, SourceExt as _, Tag, TagOrDigest, Target,
    TargetExt as _, select_platforms,
};

pub use self::plan::{PlannedCopy, TransferPlan};
pub use self::report::{Copied, CopyFailure, TransferReport};
use crate::client::Client;
use crate::location::{ImageName, Location, Place};
use crate::stores::{ListedImage, Located, Stores, Writer};

/// A copy from one location to another. Create one with [`new`](Self::new) and set its fields.
///
/// A target without a tag or digest gets the tag of the image at the source, if the image has a
/// tag. A target with a digest accepts only the manifest with that digest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Transfer {
    /// The location to copy from.
    pub source: Location,
    /// The location to copy to.
    pub target: Location,
    /// The options of the copy.
    pub options: CopyOptions,
    /// True to copy all tags of the source, each to the same tag, or all names between layouts.
    /// Both locations must then be without a tag or digest.
    pub all_tags: bool,
}

impl Client {
    /// Returns a [`Stores`] that uses this client. Create a new `Stores` for each task.
    #[must_use]
    pub fn stores(&self) -> Stores {
        Stores::new(self.clone())
    }

    /// Copies one image from a location to another, and returns a summary. To copy all tags or
    /// several images, use [`Stores::transfer`].
    ///
    /// ```no_run
    /// # async fn example() -> longshore::Result<()> {
    /// use longshore::{Client, CopyOptions};
    ///
    /// let (source, target) = ("nginx:1.27".parse()?, "oci:backup".parse()?);
    /// Client::new().copy(&source, &target, CopyOptions::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first error of either store, with its [side](Error::side).
    /// [`Conflict`](ErrorKind::Conflict) if the source has several images and its location does not
    /// select one of them; [`Invalid`](ErrorKind::Invalid) if the locations cannot be combined.
    pub async fn copy(
        &self,
        source: &Location,
        target: &Location,
        options: CopyOptions,
    ) -> Result<CopySummary> {
        let mut transfer = Transfer::new(source.clone(), target.clone());
        transfer.options = options;
        let report = self.stores().transfer(&[transfer], Arc::new(|_| {})).await?;
        match report.copies.into_iter().next() {
            Some(copied) => Ok(copied.summary),
            None => Err(Error::new(ErrorKind::NotFound).at(source)),
        }
    }
}

impl Stores {
    /// Runs transfers one after another. Consecutive transfers of the same source run at the same
    /// time, and read each of its manifests and blobs once. The slowest target then sets the pace,
    /// and a target that fails does not stop the others. Transfers to the same archive write it
    /// once, at the end.
    ///
    /// If an image fails, the report contains the failure. The other images are still tried, unless
    /// the failure affects all of them. An archive gets the images that were copied. It is not
    /// created if all images fail. If there is only one transfer, of a single image, its error is
    /// returned instead of reported.
    ///
    /// # Errors
    /// The error of the only transfer, if it copies a single image or fails before any image is
    /// tried. [`Invalid`](ErrorKind::Invalid), before anything is copied, if the locations of any
    /// transfer cannot be combined. The error of an archive that cannot be finished.
    ///
    /// # Cancellation
    /// Dropping the future stops the transfers. Images that were already copied to registries and
    /// layouts remain there. Archives do not change if the future is dropped before all images are
    /// copied.
    pub async fn transfer(
        &self,
        transfers: &[Transfer],
        observer: CopyObserver,
    ) -> Result<TransferReport> {
        self.check(transfers).await?;
        let batch = Batch::new(self, observer);
        let mut report = TransferReport::default();
        for group in transfers.chunk_by(|a, b| a.source == b.source) {
            for (transfer, copies) in group.iter().zip(batch.copy(group).await) {
                match copies {
                    Ok(copies) => copies.into_iter().for_each(|copy| report.add(copy)),
                    Err(e) if transfers.len() == 1 => return Err(e),
                    Err(error) => report.add(Err(CopyFailure::new(transfer, None, error))),
                }
            }
        }
        batch.finish().await.map(|()| report)
    }

    /// Checks transfers before they begin.
    async fn check(&self, transfers: &[Transfer]) -> Result<()> {
        for transfer in transfers {
            transfer.check()?;
            self.check_target(&transfer.target).await?;
        }
        match transfers {
            // A single transfer needs no look into its source.
            [_] => Ok(()),
            several => self.check_written_once(several).await,
        }
    }

    /// Checks that no two transfers write the same location.
    async fn check_written_once(&self, transfers: &[Transfer]) -> Result<()> {
        let mut written: HashMap<Location, &Location> = HashMap::new();
        for transfer in transfers {
            let Some(target) = self.written(transfer).await else { continue };
            let source = &transfer.source;
            let Some(other) = written.insert(target.canonical(), source) else { continue };
            let from = match other == source {
                true => other.to_string(),
                false => format!("{other} and from {source}"),
            };
            let reason = format!("the command writes this location more than once, from {from}");
            return Err(ParseError::new("location", &target.to_string(), reason).into());
        }
        Ok(())
    }

    /// Returns the location that a transfer writes, as far as it is known before any request.
    async fn written(&self, transfer: &Transfer) -> Option<Location> {
        let target = transfer.target.named_after(&transfer.source);
        if transfer.all_tags || target.tag().is_some() || target.digest().is_some() {
            return Some(target);
        }
        let source = &transfer.source;
        let tag = match (source.tag(), source.place().repository(), source.digest()) {
            (Some(tag), ..) => tag,
            (None, Some(_), Some(_)) => return None,
            (None, Some(_), None) => self.tag_by_default().clone(),
            // The transfer reports an error of the source.
            (None, None, _) => transfer.tag(&self.locate(source).await.ok()?).ok()??,
        };
        Some(target.written_as(Some(&tag)))
    }
}

impl Transfer {
    /// Creates a transfer from `source` to `target` with default options.
    #[must_use]
    pub fn new(source: Location, target: Location) -> Self {
        Self { source, target, options: CopyOptions::default(), all_tags: false }
    }

    /// Checks the locations without opening them.
    fn check(&self) -> Result<()> {
        let invalid = |location: &Location, reason: &'static str| {
            Err(ParseError::new("location", &location.to_string(), reason).into())
        };
        if self.all_tags {
            for location in [&self.source, &self.target] {
                if location.tag().is_some() || location.digest().is_some() {
                    return invalid(location, "expected no tag or digest with --all-tags");
                }
            }
            if !self.target.named_after(&self.source).has_tags() {
                let reason = "tags need a repository; write docker-archive:FILE:REPOSITORY";
                return invalid(&self.target, reason);
            }
        }
        let is_same = || self.source.canonical() == self.target.canonical();
        if !self.source.place().is_stream() && is_same() {
            return invalid(&self.target, "source and target are the same");
        }
        match (self.target.digest(), self.source.digest()) {
            (Some(target), Some(source)) if target != source => Err(Error::new(ErrorKind::Invalid)
                .at(&self.target)
                .detail(format!("a copy of {source} cannot have that digest"))),
            _ => Ok(()),
        }
    }

    /// Returns the tag at the target: the tag in the target's location, or else the tag of the
    /// image at the source. Returns `None` if the target has only a digest, or if the image has no
    /// tag. A name in a docker-archive always has a tag.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict), with the names, if the image has several names.
    fn tag(&self, located: &Located) -> Result<Option<Tag>> {
        let own = match &located.names[..] {
            [name] => name.tag().cloned(),
            _ => located.selector.tag().cloned().or_else(|| self.source.tag()),
        };
        match (self.target.tag(), self.target.digest()) {
            (Some(tag), _) => Ok(Some(tag)),
            (None, Some(_)) => Ok(None),
            (None, None) if located.names.len() > 1 && self.target.has_tags() => {
                Err(several_names(&self.source, &located.names))
            }
            (None, None) => Ok(own.or_else(|| self.target.reference().map(|_| Tag::latest()))),
        }
    }

    /// Checks, before a layout or archive is created, that the source has the image, and that the
    /// copy will have the digest in the target's location. Returns the manifest to copy: by digest
    /// if the target has one, so that the copy cannot differ.
    async fn check_source(&self, located: &Located) -> Result<TagOrDigest> {
        let (selector, stated) = (&located.selector, self.target.digest());
        if stated.is_none() && self.target.place().repository().is_some() {
            return Ok(selector.clone());
        }
        let at_source = |e: Error| e.on(Side::Source);
        let source = &*located.source;
        let (manifest, copied) = match &self.options.platforms[..] {
            [] => {
                let found = source.resolve(selector).await.map_err(at_source)?.digest;
                (found.clone(), found)
            }
            platforms => {
                let manifest = source.manifest(selector).await.map_err(at_source)?;
                let digest = manifest.digest().clone();
                let selected = select_platforms(source, manifest, platforms).await;
                (digest, selected.map_err(at_source)?.manifest.digest().clone())
            }
        };
        match stated {
            None => Ok(selector.clone()),
            Some(stated) => match stated.check(&copied) {
                Ok(()) => Ok(manifest.into()),
                Err(e) => Err(e.at(&self.target).on(Side::Target)),
            },
        }
    }
}

/// Running transfers, with the places that they have opened for writing.
struct Batch<'a> {
    stores: &'a Stores,
    observer: CopyObserver,
    /// The open places, by their canonical form. The lock is held while a place is opened, so that
    /// each is opened once, however its path is written.
    writers: tokio::sync::Mutex<HashMap<Place, Arc<dyn Writer>>>,
    /// The places with content to publish, in their canonical form.
    used: Mutex<HashSet<Place>>,
    /// True if nothing is written, so that no layout is created.
    is_preview: bool,
}

/// One transfer of a batch.
struct Job<'a> {
    batch: &'a Batch<'a>,
    transfer: &'a Transfer,
    target: Location,
    /// The reads that this transfer shares with other transfers of the same source.
    reads: Option<Arc<SharedReads>>,
}

type Outcome = Result<Copied, CopyFailure>;

impl<'a> Batch<'a> {
    fn new(stores: &'a Stores, observer: CopyObserver) -> Self {
        let (writers, used) = Default::default();
        Self { stores, observer, writers, used, is_preview: false }
    }

    /// Creates a batch that only plans its copies.
    fn preview(stores: &'a Stores) -> Self {
        Self { is_preview: true, ..Self::new(stores, Arc::new(|_| {})) }
    }

    fn job(&'a self, transfer: &'a Transfer, reads: Option<Arc<SharedReads>>) -> Job<'a> {
        let target = transfer.target.named_after(&transfer.source);
        Job { batch: self, transfer, target, reads }
    }

    /// Runs transfers of the same source. Several transfers run at the same time, and read each
    /// manifest and each blob once.
    async fn copy(&self, transfers: &[Transfer]) -> Vec<Result<Vec<Outcome>>> {
        let Some(first) = transfers.first() else { return Vec::new() };
        // Open the source once, because it may be standard input. The jobs report an error.
        let _ = self.stores.open(&first.source).await;
        let jobs = transfers.iter().zip(shared_reads(transfers.len(), &first.options));
        join_all(jobs.map(|(transfer, reads)| self.job(transfer, reads).copy())).await
    }

    /// Finishes the places to which images were copied. An archive appears now.
    async fn finish(self) -> Result<()> {
        let used = self.used.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut finished = Ok(());
        for (place, writer) in self.writers.into_inner() {
            if used.contains(&place) {
                finished = finished.and(writer.target(None).finish().await);
            }
        }
        finished
    }

    /// Records that a place has content to publish.
    fn used(&self, place: &Place) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(place.canonical());
    }

    /// Returns a location as a store to be written.
    async fn target(&self, location: &Location) -> Result<Arc<dyn Target>> {
        let (place, canonical) = (location.place(), location.place().canonical());
        let mut writers = self.writers.lock().await;
        let writer = match writers.get(&canonical) {
            Some(writer) => Arc::clone(writer),
            None if self.is_preview => self.stores.preview_writer(place).await?,
            None => self.stores.writer(place).await?,
        };
        let target = writer.target(location.name());
        writers.insert(canonical, writer);
        Ok(target)
    }

    async fn copier(
        &self,
        options: &CopyOptions,
        source: Arc<dyn Source>,
        target: &Location,
        reads: Option<Arc<SharedReads>>,
    ) -> Result<Copier> {
        let (target, observer) = (self.target(target).await?, Arc::clone(&self.observer));
        let mut copier = Copier::builder(source, target)
            .options(options.clone())
            .on_event(move |event| observer(event));
        if let Some(reads) = reads {
            copier = copier.shared_reads(reads);
        }
        Ok(copier.build())
    }
}

impl Job<'_> {
    async fn copy(self) -> Result<Vec<Outcome>> {
        let copies = match self.transfer.all_tags {
            true => self.copy_names().await?,
            false => vec![Ok(self.copy_one().await?)],
        };
        if copies.is_empty() || copies.iter().any(Result::is_ok) {
            self.batch.used(self.target.place());
        }
        Ok(copies)
    }

    async fn copy_one(&self) -> Result<Copied> {
        let located = self.batch.stores.locate(&self.transfer.source).await?;
        let tag = self.transfer.tag(&located)?;
        let selector = self.transfer.check_source(&located).await?;
        let copier = self.copier(&self.transfer.options, located.source, &self.target).await?;
        Ok(Copied::new(&self.target, copier.copy(&selector, tag.as_ref()).await?))
    }

    async fn copy_names(&self) -> Result<Vec<Outcome>> {
        let options = &self.transfer.options;
        let source = self.batch.stores.open(&self.transfer.source).await?;
        let (tags, entries) = self.names().await?;
        let copier = self.copier(options, Arc::clone(&source), &self.target).await?;
        let mut copies = Vec::new();
        for outcome in copier.copy_tags(tags).await {
            let failed = |e| CopyFailure::new(self.transfer, Some(ImageName::Tag(outcome.tag)), e);
            copies.push(outcome.result.map(|copy| Copied::new(&self.target, copy)).map_err(failed));
        }
        // The entries get their names below, where the guard is checked.
        let mut unguarded = options.clone();
        unguarded.guard = None;
        let copier = self.copier(&unguarded, source, &self.target).await?;
        for (name, digest) in entries {
            let target = self.target.with_name(Some(name.clone()));
            let copy = self.copy_entry(&copier, &target, digest).await;
            let failed = |e| CopyFailure::new(self.transfer, Some(name), e);
            copies.push(copy.map(|copy| Copied::new(&target, copy)).map_err(failed));
        }
        Ok(copies)
    }

    /// Lists what `--all-tags` copies: the tags and, between layouts, the other names.
    async fn names(&self) -> Result<(Vec<Tag>, Vec<(ImageName, Digest)>)> {
        let (stores, source) = (self.batch.stores, &self.transfer.source);
        Ok(match self.target.place().has_entries() {
            true => tags_and_entries(stores.names(source).await?),
            false => (stores.tags(source).await?, Vec::new()),
        })
    }

    /// Copies an entry of a layout whose name is not a tag, then adds it to the target's index
    /// under the same name.
    async fn copy_entry(
        &self,
        copier: &Copier,
        target: &Location,
        digest: Digest,
    ) -> Result<CopySummary> {
        let guard = self.transfer.options.guard.as_ref();
        // This view of the layout selects the entry by its name for every tag.
        let (target, tag) = (self.batch.target(target).await?, Tag::latest());
        if let Some(guard) = guard {
            target.check_tag(&tag, guard).await.map_err(|e| e.on(Side::Target))?;
        }
        let mut copy = copier.copy(&digest.into(), None).await?;
        let named = async {
            // The copy differs from the source's manifest if platforms are selected.
            let manifest = target.manifest(&copy.root.digest.clone().into()).await?;
            target.push_tagged(&manifest, &tag, guard).await
        };
        copy.guard = named.await.map_err(|e| e.on(Side::Target))?;
        Ok(copy)
    }

    async fn copier(
        &self,
        options: &CopyOptions,
        source: Arc<dyn Source>,
        target: &Location,
    ) -> Result<Copier> {
        self.batch.copier(options, source, target, self.reads.clone()).await
    }
}

/// Returns the shared reads for each of several copies, or none for a single copy.
fn shared_reads(copies: usize, options: &CopyOptions) -> Vec<Option<Arc<SharedReads>>> {
    match copies {
        1 => vec![None],
        _ => SharedReads::new(copies, options.parallel).into_iter().map(Some).collect(),
    }
}

/// Separates tags from other names, which have a digest.
fn tags_and_entries(names: Vec<ListedImage>) -> (Vec<Tag>, Vec<(ImageName, Digest)>) {
    let (mut tags, mut entries) = (Vec::new(), Vec::new());
    for image in names {
        match (image.name, image.digest) {
            (ImageName::Tag(tag), _) => tags.push(tag),
            (name, Some(digest)) => entries.push((name, digest)),
            (_, None) => {}
        }
    }
    (tags, entries)
}

fn several_names(source: &Location, names: &[Reference]) -> Error {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    Error::new(ErrorKind::Conflict)
        .at(source)
        .detail(format!("the image has several names: {}", names.join(", ")))
        .with_hint("Choose one (docker-archive:FILE:REPOSITORY:TAG), or add a tag to the target.")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a future if it can move between threads. The tests of copies do not require this.
    fn for_any_thread<F: Future + Send>(future: F) -> F {
        future
    }

    #[tokio::test]
    async fn transfers_can_run_on_any_thread() {
        let missing: Location = "oci:/missing/layout".parse().unwrap();
        let target: Location = "oci:/missing/copy".parse().unwrap();
        let client = Client::new();
        let options = CopyOptions::default();
        let copy = for_any_thread(client.copy(&missing, &target, options));
        assert_eq!(copy.await.unwrap_err().kind(), ErrorKind::NotFound);
        let stores = client.stores();
        let transfers = [Transfer::new(missing, target)];
        let transfer = for_any_thread(stores.transfer(&transfers, Arc::new(|_| {})));
        assert_eq!(transfer.await.unwrap_err().kind(), ErrorKind::NotFound);
        let plan = for_any_thread(stores.plan(&transfers));
        assert_eq!(plan.await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
