//! Finds what is attached to a manifest, and decides what of it is copied.

use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use tokio::try_join;

use super::digest_tags::is_refusal;
use super::plan::{self, TagStep};
use super::run::{Run, canceled};
use super::{LeftBehind, LeftBehindReason, ReferrerSelection};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::page::Pages;
use crate::reference::Tag;
use crate::select::Selection;
use crate::store::SourceExt as _;
use crate::tag_guard::TagGuard;

/// What is attached to a manifest, after the decisions of the copy.
#[derive(Default)]
pub(super) struct Attached {
    /// The referrers to copy.
    pub(super) referrers: Vec<Descriptor>,
    /// The digest tags to copy.
    pub(super) digest_tags: Vec<DigestTag>,
    pub(super) left_behind: Vec<LeftBehind>,
}

/// A digest tag, with its manifest at the source.
pub(super) struct DigestTag {
    pub(super) tag: Tag,
    pub(super) manifest: RawManifest,
    /// What the tag points at at the target.
    pub(super) existing: TagAtTarget,
}

impl DigestTag {
    /// Returns true if the tag points at this manifest at the target.
    pub(super) fn is_current(&self) -> bool {
        self.existing.manifest().is_some_and(|found| found.digest() == self.manifest.digest())
    }
}

/// What a tag points at at the target.
pub(super) enum TagAtTarget {
    Nothing,
    Manifest(Box<RawManifest>),
    /// A manifest with this digest that cannot be read, and may be replaced.
    Unreadable(Digest),
}

impl TagAtTarget {
    pub(super) fn manifest(&self) -> Option<&RawManifest> {
        match self {
            Self::Manifest(manifest) => Some(manifest),
            Self::Nothing | Self::Unreadable(_) => None,
        }
    }

    /// Returns the digest that the tag points at.
    pub(super) fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Nothing => None,
            Self::Manifest(manifest) => Some(manifest.digest()),
            Self::Unreadable(digest) => Some(digest),
        }
    }

    /// Returns the condition that the tag did not change.
    pub(super) fn guard(&self) -> TagGuard {
        self.digest().map_or(TagGuard::Absent, |digest| TagGuard::PointsAt(digest.clone()))
    }
}

impl Run {
    /// Returns true if attached content is to be found. Within one repository, everything attached
    /// is already there.
    pub(super) fn finds_attached(&self) -> bool {
        let is_same_repository =
            self.source.origin().is_some_and(|source| Some(source) == self.target.origin());
        self.options.referrers != ReferrerSelection::None && !is_same_repository
    }

    /// Finds what is attached to a manifest, and decides what is copied.
    pub(super) async fn attached_to(&self, subject: &Digest) -> Result<Attached> {
        let Found { referrers, digest_tags, left_behind } = self.find_attached(subject).await?;
        let mut attached = Attached { left_behind, ..Attached::default() };
        let (selection, takes) = (&self.options.referrers, self.target.takes_artifacts());
        for referrer in referrers {
            let types: Vec<_> = referrer.artifact_type.iter().collect();
            match plan::left_behind(selection, takes, &types) {
                None => attached.referrers.push(referrer),
                Some(reason) => {
                    attached.left_behind.push(LeftBehind::referrer(subject, &referrer, reason));
                }
            }
        }
        let tags = digest_tags.into_iter().map(|tag| self.examine(subject, tag));
        for tag in try_join_all(tags).await?.into_iter().flatten() {
            match tag {
                Ok(tag) => attached.digest_tags.push(tag),
                Err(left) => attached.left_behind.push(left),
            }
        }
        Ok(attached)
    }

    /// Reads the manifest of a digest tag, and decides whether it is copied. Returns `None` if
    /// there is nothing to copy.
    async fn examine(
        &self,
        subject: &Digest,
        tag: Tag,
    ) -> Result<Option<Result<DigestTag, LeftBehind>>> {
        let leave = |tag, reason| Ok(Some(Err(LeftBehind::tag(subject, tag, reason))));
        let takes_artifacts = self.target.takes_artifacts();
        if !takes_artifacts {
            return leave(tag, LeftBehindReason::Unsupported);
        }
        let manifest = match self.read(&tag.clone().into()).await {
            // The registry may interpret the tag as the digest.
            Ok(manifest) if manifest.digest() == subject => return Ok(None),
            Ok(manifest) => manifest,
            // The tag was deleted after it was listed.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) if is_refusal(&e) => return leave(tag, LeftBehindReason::Missing),
            Err(e) => return Err(e),
        };
        let types = plan::types_of(&manifest).map_err(|e| e.on(Side::Source))?;
        if let Some(reason) = plan::left_behind(&self.options.referrers, takes_artifacts, &types) {
            return leave(tag, reason);
        }
        let existing = self.at_target(&tag).await?;
        match plan::tag_step(&manifest, existing.manifest())? {
            TagStep::LeaveBehind => leave(tag, LeftBehindReason::TargetDiffers),
            TagStep::Skip | TagStep::Set => Ok(Some(Ok(DigestTag { tag, manifest, existing }))),
        }
    }

    /// Returns what a tag points at at the target.
    pub(super) async fn at_target(&self, tag: &Tag) -> Result<TagAtTarget> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        let selector = tag.clone().into();
        let mut found = self.target.manifest(&selector).await;
        if found.as_ref().is_err_and(is_damaged) {
            // A proxy may have damaged only this reply, and the manifest may list what only the
            // target has.
            found = self.target.manifest(&selector).await;
        }
        match found {
            Ok(manifest) => Ok(TagAtTarget::Manifest(Box::new(manifest))),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(TagAtTarget::Nothing),
            Err(e) if is_damaged(&e) => match self.target.tagged(tag).await {
                Ok(Some(digest)) => Ok(TagAtTarget::Unreadable(digest)),
                Ok(None) => Ok(TagAtTarget::Nothing),
                Err(e) => Err(e.on(Side::Target)),
            },
            Err(e) => Err(e.on(Side::Target)),
        }
    }

    /// Returns what is attached to the index from which platforms were selected, and the
    /// attestations of the selected image. They belong to another manifest than the copy.
    pub(super) async fn left_by_selection(&self, selection: &Selection) -> Result<Vec<LeftBehind>> {
        let Some(index) = &selection.index else { return Ok(Vec::new()) };
        let (subject, reason) = (index.digest(), LeftBehindReason::OtherManifest);
        let found = self.find_attached(subject).await?;
        let mut left = found.left_behind;
        left.extend(found.referrers.iter().map(|r| LeftBehind::referrer(subject, r, reason)));
        left.extend(found.digest_tags.into_iter().map(|t| LeftBehind::tag(subject, t, reason)));
        let image = selection.manifest.digest();
        left.extend(selection.attestations.iter().map(|a| LeftBehind::referrer(image, a, reason)));
        Ok(left)
    }

    /// Finds what is attached to a manifest.
    async fn find_attached(&self, subject: &Digest) -> Result<Found> {
        let tagged = async {
            match self.tagged(subject).await {
                Err(e) if is_refusal(&e) => Ok(None),
                tagged => tagged.map(Some),
            }
        };
        let (tagged, listed) = try_join!(tagged, self.listed_referrers(subject))?;
        let mut found = Found::default();
        let may_have_index = tagged.as_ref().is_none_or(|tagged| tagged.may_have_index);
        let mut is_refused = tagged.is_none();
        match tagged {
            Some(tagged) if tagged.digest_tags.len() > DIGEST_TAG_LIMIT => {
                return Err(too_many(subject, DIGEST_TAG_LIMIT, "digest tags"));
            }
            Some(tagged) => found.digest_tags = tagged.digest_tags,
            None => {}
        }
        self.remove_own(&mut found.digest_tags);
        match listed {
            Listed::Referrers(referrers) => found.referrers = referrers,
            Listed::Nowhere if may_have_index => {
                let _permit = self.small_requests.acquire().await.map_err(canceled)?;
                match limited(subject, self.source.referrers(subject, None)).await {
                    Ok(referrers) => found.referrers = referrers,
                    Err(e) if is_refused_listing(&e) => is_refused = true,
                    Err(e) => return Err(e),
                }
            }
            Listed::Nowhere => {}
            Listed::Refused => is_refused = true,
        }
        if is_refused {
            let unlisted = LeftBehind::unlisted(subject, LeftBehindReason::NotListed);
            found.left_behind.push(unlisted);
        }
        Ok(found)
    }

    async fn listed_referrers(&self, subject: &Digest) -> Result<Listed> {
        let _permit = self.small_requests.acquire().await.map_err(canceled)?;
        let listed = match self.source.listed_referrers(subject).await {
            Ok(Some(pages)) => limited(subject, pages).await.map(Listed::Referrers),
            Ok(None) => Ok(Listed::Nowhere),
            Err(e) => Err(e.on(Side::Source)),
        };
        match listed {
            Err(e) if is_refused_listing(&e) => {
                tracing::debug!(%subject, error = %e, "the referrers are not listed");
                Ok(Listed::Refused)
            }
            listed => listed,
        }
    }

    /// Returns the manifests that a subject lists, if it is an index.
    pub(super) async fn entries(&self, subject: &Descriptor) -> Result<Vec<Descriptor>> {
        if !subject.media_type.is_index() {
            return Ok(Vec::new());
        }
        let known = self.listed().get(&subject.digest).cloned();
        let index = match known {
            Some(entries) => return Ok(entries),
            None => self.read_listed(subject).await,
        };
        match index {
            Ok(index) => self.record_entries(&index),
            // A copy that needs the index reports this error.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
        }
    }

    /// Records and returns the manifests that an index lists. Blobs, which an index may also list,
    /// have other media types and no referrers.
    pub(super) fn record_entries(&self, index: &RawManifest) -> Result<Vec<Descriptor>> {
        let successors = Successors::of(index).map_err(|e| e.on(Side::Source))?;
        let mut entries = successors.manifests;
        entries.retain(|entry| entry.media_type.is_manifest());
        self.listed().insert(index.digest().clone(), entries.clone());
        Ok(entries)
    }

    fn listed(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Descriptor>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns true if a manifest was received, but is not the expected one.
fn is_damaged(error: &Error) -> bool {
    let is_content = matches!(error.kind(), ErrorKind::DigestMismatch | ErrorKind::Invalid);
    is_content && error.status().is_none()
}

/// What the source has for a subject.
#[derive(Default)]
struct Found {
    referrers: Vec<Descriptor>,
    digest_tags: Vec<Tag>,
    left_behind: Vec<LeftBehind>,
}

/// The source's own listing of referrers.
enum Listed {
    Referrers(Vec<Descriptor>),
    /// The source has no listing.
    Nowhere,
    Refused,
}

/// Reads a listing of referrers, each digest once.
async fn limited(subject: &Digest, pages: Pages<Descriptor>) -> Result<Vec<Descriptor>> {
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    let mut items = pages.items();
    while let Some(referrer) = items.try_next().await.map_err(|e| e.on(Side::Source))? {
        if seen.insert(referrer.digest.clone()) {
            found.push(referrer);
        }
        if found.len() > REFERRER_LIMIT {
            return Err(too_many(subject, REFERRER_LIMIT, "referrers"));
        }
    }
    Ok(found)
}

/// Returns true if the source refuses a listing of referrers. Too many referrers are an error.
fn is_refused_listing(error: &Error) -> bool {
    is_refusal(error) && error.kind() != ErrorKind::TooLarge
}

fn too_many(subject: &Digest, limit: usize, what: &str) -> Error {
    let error = Error::new(ErrorKind::TooLarge).at(subject).on(Side::Source);
    error.detail(format!("the manifest has more than {limit} {what}"))
}

/// 100 digest tags per subject, whose manifests are in memory at the same time. Cosign uses three.
const DIGEST_TAG_LIMIT: usize = 100;
/// 10,000 referrers per subject, whose descriptors are in memory at the same time. An index of
/// referrers, which has at most 4 MiB, has room for about as many.
const REFERRER_LIMIT: usize = 10_000;
