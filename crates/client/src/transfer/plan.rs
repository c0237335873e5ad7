//! Plans transfers without writing anything, and carries out stored plans.
//!
//! Owns the document [`TransferPlan`] with its version and its checks. The steps of each copy come
//! from [`Copier::plan`].

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use longshore_core::{
    Copier, CopyObserver, CopyOptions, CopyPlan, Digest, Error, ErrorKind, LeftBehind, ParseError,
    Result, SharedReads, Side, Source, Tag, TagGuard, TagOrDigest,
};
use serde::{Deserialize, Deserializer, Serialize};

use super::report::{Copied, CopyFailure, TransferReport, as_text};
use super::{Batch, Job, Transfer, shared_reads};
use crate::location::{Location, Place};
use crate::stores::Stores;

/// What transfers would do: a document that can be stored, reviewed, and applied later.
///
/// A plan contains no credentials. Its locations have a registry or an absolute path, so that their
/// meaning does not depend on the user's settings or the current folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransferPlan {
    version: u32,
    /// The copies, in the order in which they are carried out.
    pub items: Vec<PlannedCopy>,
    /// The digest tags of a series that would not be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
}

/// A copy of one image in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedCopy {
    /// The location of the image at the source.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub source: Location,
    /// The digest of the manifest at the source: the root of the copy, or the index from which the
    /// root is selected.
    pub source_digest: Digest,
    /// The location of the image at the target.
    #[serde(serialize_with = "as_text", deserialize_with = "from_text")]
    pub target: Location,
    /// The options of the copy.
    pub options: CopyOptions,
    /// The steps of the copy. Content of an earlier copy to the same place is not listed again.
    #[serde(flatten)]
    pub copy: CopyPlan,
}

impl Stores {
    /// Determines what [`transfer`](Self::transfer) would do. Reads manifests and queries the
    /// targets, but writes nothing. Creates no layout and no archive.
    ///
    /// # Errors
    /// The errors of [`transfer`](Self::transfer). The first error ends the planning.
    /// [`Invalid`](ErrorKind::Invalid) for standard input or output, and for a path that cannot be
    /// written in a plan.
    pub async fn plan(&self, transfers: &[Transfer]) -> Result<TransferPlan> {
        for transfer in transfers {
            // Before standard input is read, and before a request is sent.
            portable(&transfer.source)?;
            portable(&transfer.target)?;
        }
        self.check(transfers).await?;
        let batch = Batch::preview(self);
        let mut plan =
            TransferPlan { version: VERSION, items: Vec::new(), left_behind: Vec::new() };
        for transfer in transfers {
            batch.job(transfer, None).plan(&mut plan).await?;
        }
        list_steps_once(&mut plan.items);
        Ok(plan)
    }

    /// Carries out the copies of a plan one after another, and consecutive copies of the same image
    /// at the same time, as [`transfer`](Self::transfer) does. A copy is refused if the image at the
    /// source, or the tag at the target, has another digest than in the plan.
    ///
    /// The report contains each refused copy as a failure of the kind
    /// [`Conflict`](ErrorKind::Conflict). The other copies are still tried.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), before anything is copied, if the folder of a target has
    /// other content than a layout. The error of an archive that cannot be finished.
    ///
    /// # Cancellation
    /// Same as [`transfer`](Self::transfer).
    pub async fn apply(
        &self,
        plan: &TransferPlan,
        observer: CopyObserver,
    ) -> Result<TransferReport> {
        for item in &plan.items {
            self.check_target(&item.target).await?;
        }
        let batch = Batch::new(self, observer);
        let mut report = TransferReport::default();
        // Content that several copies share is listed once.
        let steps = plan.items.iter().flat_map(|item| &item.copy.steps);
        let known: HashSet<&Digest> = steps.map(|step| &step.content.digest).collect();
        for group in plan.items.chunk_by(|a, b| a.source == b.source) {
            let reads = shared_reads(group.len(), &group[0].options);
            let copies =
                group.iter().zip(reads).map(|(item, reads)| batch.apply(item, &known, reads));
            for (item, copied) in group.iter().zip(join_all(copies).await) {
                report.add(copied.map_err(|e| item.failure(e)));
            }
        }
        batch.finish().await.map(|()| report)
    }
}

impl TransferPlan {
    /// Parses the JSON of a plan.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) above [`SIZE_LIMIT`](Self::SIZE_LIMIT);
    /// [`Unsupported`](ErrorKind::Unsupported) for a plan of another version;
    /// [`Invalid`](ErrorKind::Invalid) for a document that is not a plan.
    pub fn parse(json: &[u8]) -> Result<Self> {
        #[derive(Deserialize)]
        struct Header {
            version: u32,
        }
        if json.len() > Self::SIZE_LIMIT {
            let detail = format!("a plan has at most {} bytes", Self::SIZE_LIMIT);
            return Err(Error::new(ErrorKind::TooLarge).detail(detail));
        }
        let invalid = |e: serde_json::Error| {
            Error::new(ErrorKind::Invalid).detail(format!("the document is not a plan: {e}"))
        };
        let Header { version } = serde_json::from_slice(json).map_err(invalid)?;
        if version != VERSION {
            return Err(Error::new(ErrorKind::Unsupported)
                .detail(format!("the plan has version {version}, expected {VERSION}"))
                .with_hint("Make the plan again with this version of the program."));
        }
        let plan: Self = serde_json::from_slice(json).map_err(invalid)?;
        plan.items.iter().try_for_each(PlannedCopy::check)?;
        Ok(plan)
    }

    /// 64 MiB: the maximum size of a plan in bytes. A copy of 10 blobs takes about 3 KiB.
    pub const SIZE_LIMIT: usize = 64 << 20;
}

impl PlannedCopy {
    /// Checks that the parts of the plan do not contradict each other.
    fn check(&self) -> Result<()> {
        let is_whole = self.options.platforms.is_empty();
        if is_whole && self.copy.root.digest != self.source_digest {
            return Err(Error::new(ErrorKind::Invalid).detail(format!(
                "the document is not a plan: `source_digest` and `root` of {} differ",
                self.target
            )));
        }
        if self.target.place().repository().is_some() && self.target.tag() != self.copy.tag {
            return Err(Error::new(ErrorKind::Invalid).detail(format!(
                "the document is not a plan: `target` and `tag` of {} differ",
                self.target
            )));
        }
        Ok(())
    }

    /// Checks that a new plan contains nothing that this plan lacks, such as a signature that was
    /// attached in the meantime.
    fn check_again(&self, now: &CopyPlan, known: &HashSet<&Digest>) -> Result<()> {
        let mut new = now.steps.iter().map(|step| &step.content.digest);
        let found = match now.root.digest == self.copy.root.digest {
            true => new.find(|digest| !known.contains(digest)),
            false => Some(&now.root.digest),
        };
        let tag = now.digest_tags.iter().find(|tag| !self.copy.digest_tags.contains(tag));
        match found.or(tag.map(|tag| &tag.digest)) {
            None => Ok(()),
            Some(digest) => Err(Error::new(ErrorKind::Conflict)
                .at(&self.source)
                .on(Side::Source)
                .detail(format!("the plan does not contain {digest}, which would be copied now"))
                .with_hint("Make the plan again.")),
        }
    }

    /// Returns the tag, if it is a digest tag that points at another manifest now.
    fn moved_digest_tag(&self) -> Option<&Tag> {
        let is_moved = self.copy.tag_before.as_ref().is_some_and(|d| *d != self.copy.root.digest);
        self.copy.tag.as_ref().filter(|tag| is_moved && tag.is_digest_tag())
    }

    fn failure(&self, error: Error) -> CopyFailure {
        let transfer = Transfer::new(self.source.clone(), self.target.clone());
        CopyFailure::new(&transfer, None, error)
    }

    /// Returns the options with a guard: the tag must still point where it did when the plan was made.
    /// The tag of an index of referrers has no guard, because copies of the referrers change the
    /// index, and the copy of the index only adds entries.
    fn guarded(&self) -> CopyOptions {
        let mut options = self.options.clone();
        let tag = self.copy.tag.as_ref().filter(|tag| !tag.is_for_referrers());
        options.guard = tag.map(|_| match &self.copy.tag_before {
            Some(digest) => TagGuard::PointsAt(digest.clone()),
            None => TagGuard::Absent,
        });
        options
    }
}

/// An image to plan.
struct Image {
    source: Location,
    selector: TagOrDigest,
    target: Location,
    tag: Option<Tag>,
}

impl Job<'_> {
    async fn plan(&self, plan: &mut TransferPlan) -> Result<()> {
        match self.transfer.all_tags {
            true => self.plan_names(plan).await?,
            false => plan.items.push(self.plan_one().await?),
        }
        Ok(())
    }

    async fn plan_one(&self) -> Result<PlannedCopy> {
        let (transfer, target) = (self.transfer, &self.target);
        let located = self.batch.stores.locate(&transfer.source).await?;
        let tag = transfer.tag(&located)?;
        let image = Image {
            source: with_selector(&transfer.source, &located.selector),
            selector: transfer.check_source(&located).await?,
            target: target.written_as(tag.as_ref()),
            tag,
        };
        let source = Arc::clone(&located.source);
        let copier = self.copier(&transfer.options, source, target).await?;
        planned(&copier, &*located.source, &transfer.options, image).await
    }

    async fn plan_names(&self, plan: &mut TransferPlan) -> Result<()> {
        let (from, target, options) = (&self.transfer.source, &self.target, &self.transfer.options);
        let source = self.batch.stores.open(from).await?;
        let (tags, entries) = self.names().await?;
        let copier = self.copier(options, Arc::clone(&source), target).await?;
        let images = tags.into_iter().map(|tag| Image {
            source: from.with_tag(&tag),
            selector: tag.clone().into(),
            target: target.with_tag(&tag),
            tag: Some(tag),
        });
        let mut items: Vec<PlannedCopy> = stream::iter(images)
            .map(|image| planned(&copier, &*source, options, image))
            .buffered(PARALLEL)
            .try_collect()
            .await?;
        let with_others: HashSet<Tag> = items
            .iter()
            .flat_map(|item| item.copy.digest_tags.iter().map(|planned| planned.tag.clone()))
            .collect();
        // The copies of other tags set these tags, with the signatures of their manifests.
        items.retain(|item| item.copy.tag.as_ref().is_none_or(|tag| !with_others.contains(tag)));
        for item in items {
            let blocked = match item.moved_digest_tag() {
                Some(tag) => copier.blocked_digest_tag(tag).await?,
                None => None,
            };
            match blocked {
                Some(left) => plan.left_behind.push(left),
                None => plan.items.push(item),
            }
        }
        for (name, digest) in entries {
            let [from, to] = [from, target].map(|place| place.with_name(Some(name.clone())));
            let copier = self.copier(options, Arc::clone(&source), &to).await?;
            // This view of the layout selects the entry by its name for every tag.
            let tag = to.tag();
            let image = Image { source: from, selector: digest.into(), target: to, tag };
            plan.items.push(planned(&copier, &*source, options, image).await?);
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// Carries out one copy of a plan.
    ///
    /// - `known`: the content that the plan lists.
    async fn apply(
        &self,
        item: &PlannedCopy,
        known: &HashSet<&Digest>,
        reads: Option<Arc<SharedReads>>,
    ) -> Result<Copied> {
        let located = self.stores.locate(&item.source).await?;
        let found = located.source.resolve(&located.selector).await;
        let found = found.map_err(|e| e.on(Side::Source))?.digest;
        if found != item.source_digest {
            let planned = &item.source_digest;
            return Err(Error::new(ErrorKind::Conflict)
                .at(&item.source)
                .on(Side::Source)
                .detail(format!("the plan is for {planned}, but the source has {found}")));
        }
        let copier = self.copier(&item.guarded(), located.source, &item.target, reads).await?;
        let selector = item.source_digest.clone().into();
        item.check_again(&copier.plan(&selector, item.copy.tag.as_ref()).await?, known)?;
        let summary = copier.copy(&selector, item.copy.tag.as_ref()).await?;
        self.used(item.target.place());
        Ok(Copied::new(&item.target, summary))
    }
}

async fn planned(
    copier: &Copier,
    source: &dyn Source,
    options: &CopyOptions,
    image: Image,
) -> Result<PlannedCopy> {
    let found = source.resolve(&image.selector).await.map_err(|e| e.on(Side::Source))?;
    let copy = copier.plan(&image.selector, image.tag.as_ref()).await?;
    let is_whole = copy.root.digest == found.digest;
    if !is_whole && copy.selected_from.as_ref() != Some(&found.digest) {
        return Err(Error::new(ErrorKind::Conflict)
            .at(&image.source)
            .on(Side::Source)
            .detail("the tag moved while the copy was planned"));
    }
    let mut options = options.clone();
    // Applying the plan checks the tag in any case.
    options.guard = None;
    if is_whole {
        // The platforms do not apply to this manifest, such as a signature among all tags.
        options.platforms.clear();
    }
    Ok(PlannedCopy {
        source: portable(&image.source)?,
        source_digest: found.digest,
        target: portable(&image.target)?,
        options,
        copy,
    })
}

/// Returns a location at a registry with the tag or digest that was selected by default.
fn with_selector(location: &Location, selector: &TagOrDigest) -> Location {
    match (location.place(), location.selector(), selector) {
        (Place::Registry(_), None, TagOrDigest::Tag(tag)) => location.with_tag(tag),
        _ => location.clone(),
    }
}

/// Returns a location with an absolute path, which has the same meaning in every folder.
fn portable(location: &Location) -> Result<Location> {
    let invalid = |reason| Error::from(ParseError::new("location", &location.to_string(), reason));
    if location.place().is_stream() {
        return Err(invalid("a plan cannot contain standard input or output"));
    }
    let absolute = location.absolute()?;
    match absolute.to_string().parse() {
        Ok(parsed) if absolute == parsed => Ok(absolute),
        _ => Err(invalid("the path cannot be written in a plan; rename the file or folder")),
    }
}

/// Removes the steps for content that an earlier copy to the same place already lists.
fn list_steps_once(items: &mut [PlannedCopy]) {
    let mut listed = HashSet::new();
    for PlannedCopy { target, copy, .. } in items {
        let place = target.place().clone();
        copy.steps.retain(|step| listed.insert((place.clone(), step.content.digest.clone())));
    }
}

fn from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Location, D::Error> {
    let text = String::deserialize(deserializer)?;
    Location::from_str(&text).map_err(serde::de::Error::custom)
}

/// The version of the format of plans.
const VERSION: u32 = 1;
/// The number of tags that are planned at the same time. Each takes a few small requests.
const PARALLEL: usize = 16;
