//! Copies an index of referrers under its tag, the fallback of registries without a listing of
//! referrers.
//!
//! The index is not replaced as a whole: its entries are added to those of the target, so that the
//! target keeps the referrers that only it has.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::plan::{self, IndexStep};
use super::run::{Run, Tally};
use super::{CopySummary, LeftBehind, LeftBehindReason, ReferrerSelection};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{ErrorKind, Result, Side};
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::reference::Tag;
use crate::select::Selection;
use crate::store::Presence;
use crate::tag_guard::GuardMethod;

impl Run {
    /// Copies the referrers that an index of referrers lists, and adds them to the index of the
    /// target. The guard of the copy was checked before. It does not apply to the final change,
    /// because the copy of a referrer may already have changed the index, and nothing is lost.
    pub(super) async fn copy_index(
        self: &Arc<Self>,
        tally: Arc<Tally>,
        selection: Selection,
        tag: &Tag,
    ) -> Result<CopySummary> {
        let index = selection.manifest.clone();
        let copied = self.copy_listed(&tally, tag, &index).await?;
        if self.finds_attached() {
            Arc::clone(self).attachments(Arc::clone(&tally), index.clone()).await?;
        }
        let added = match copied {
            Some(copied) => self.add_to_index(&tally, tag, &copied).await?,
            None => None,
        };
        let Some((index, guard)) = added else {
            return Ok(tally.summary(&index, &selection, None));
        };
        Ok(CopySummary { guard, ..tally.summary(&index, &selection, Some(tag.clone())) })
    }

    /// Copies the listed referrers. Returns the index of those that were copied, or `None` if none
    /// was. Leaves behind those that are missing or of another type.
    async fn copy_listed(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        tag: &Tag,
        index: &RawManifest,
    ) -> Result<Option<RawManifest>> {
        let subject = tag.subject().unwrap_or_else(|| index.digest().clone());
        self.record_entries(index)?;
        let listed = Successors::of(index).map_err(|e| e.on(Side::Source))?.manifests;
        // Each future owns its parts. With references, the future of the copy would not be `Send`.
        let copied: Vec<Option<Digest>> = stream::iter(listed.clone())
            .map(|referrer| {
                let (run, tally) = (Arc::clone(self), Arc::clone(tally));
                run.copy_one_listed(tally, subject.clone(), referrer)
            })
            .buffered(self.options.parallel.get())
            .try_collect()
            .await?;
        let copied: Vec<Digest> = copied.into_iter().flatten().collect();
        if copied.len() == listed.len() {
            return Ok(Some(index.clone()));
        }
        if copied.is_empty() {
            return Ok(None);
        }
        let is_copied = |entry: &serde_json::Value| {
            let digest = entry.get("digest").and_then(serde_json::Value::as_str);
            copied.iter().any(|copied| Some(copied.as_str()) == digest)
        };
        let rest = index.edited(|document| {
            if let Some(serde_json::Value::Array(entries)) = document.get_mut("manifests") {
                entries.retain(is_copied);
            }
        });
        rest.map(Some).map_err(|e| e.on(Side::Source))
    }

    /// Copies a listed referrer. Returns its digest, unless it was left behind.
    async fn copy_one_listed(
        self: Arc<Self>,
        tally: Arc<Tally>,
        subject: Digest,
        referrer: Descriptor,
    ) -> Result<Option<Digest>> {
        let types: Vec<_> = referrer.artifact_type.iter().collect();
        // Without referrers, the tag is copied as any other.
        let selection = match &self.options.referrers {
            ReferrerSelection::None => &ReferrerSelection::All,
            selection => selection,
        };
        let takes_artifacts = self.target.takes_artifacts();
        if let Some(reason) = plan::left_behind(selection, takes_artifacts, &types) {
            tally.leave_behind(vec![LeftBehind::referrer(&subject, &referrer, reason)])?;
            return Ok(None);
        }
        match self.read_referrer(&subject, &referrer).await? {
            Ok(manifest) => self.once_below(&tally, manifest, None, 0).await?,
            Err(left) => {
                tally.leave_behind(vec![left])?;
                return Ok(None);
            }
        }
        Ok(Some(referrer.digest))
    }

    /// Adds the entries of an index of referrers to the index at the target's tag, so that the
    /// target keeps the referrers that only it has. Returns the index at which the tag then points,
    /// with the method of the guard if the tag was changed. Returns `None` if the index was left
    /// behind.
    ///
    /// The copy of the referrers may have added the entries already, because a target without the
    /// referrers API keeps them in this index.
    async fn add_to_index(
        &self,
        tally: &Tally,
        tag: &Tag,
        new: &RawManifest,
    ) -> Result<Option<(RawManifest, Option<GuardMethod>)>> {
        let mut attempt = 1;
        loop {
            let existing = self.at_target(tag).await?;
            let step = plan::index_step(tag, new, existing.manifest());
            let (index, guard, presence) = match step.map_err(|e| e.on(Side::Target))? {
                IndexStep::LeaveBehind(subject) => {
                    let reason = LeftBehindReason::Unsupported;
                    tally.leave_behind(vec![LeftBehind::tag(&subject, tag.clone(), reason)])?;
                    return Ok(None);
                }
                IndexStep::Keep(index) => (index, None, Presence::Complete),
                IndexStep::Send(index) => {
                    match self.send_tagged(tally, &index, tag, Some(&existing.guard())).await {
                        // Another client changed the index in between.
                        Err(e) if e.kind() == ErrorKind::Conflict && attempt < INDEX_ATTEMPTS => {
                            attempt += 1;
                            continue;
                        }
                        sent => (index, sent?, Presence::Absent),
                    }
                }
            };
            self.arrived(tally, index.descriptor(), presence);
            self.tagged_now(tag, &index);
            return Ok(Some((index, guard)));
        }
    }
}

/// 3 attempts to add entries to an index of referrers that other clients change at the same time.
const INDEX_ATTEMPTS: usize = 3;
