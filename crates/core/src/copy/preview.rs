//! Plans a copy without writing anything.

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::LeftBehind;
use super::attached::DigestTag;
use super::plan::{Step, Walk};
use super::referrers::Subjects;
use super::run::Run;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Result, Side};
use crate::manifest::RawManifest;
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Node, Presence, SourceExt as _};

/// The steps that a copy would take; see [`Copier::plan`](super::Copier::plan).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CopyPlan {
    /// The root manifest of the copy.
    pub root: Descriptor,
    /// The tag that would point at the root manifest.
    pub tag: Option<Tag>,
    /// The digest that the tag points at now, if the tag exists.
    pub tag_before: Option<Digest>,
    /// The index from which [platforms](super::CopyOptions::platforms) would be selected, if the
    /// copy has another digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_from: Option<Digest>,
    /// The digest tags that would be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digest_tags: Vec<PlannedTag>,
    /// The referrers and digest tags that would not be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
    /// The steps, children before parents, each digest once. Content that the copy does not examine
    /// is not listed. By default, this is everything below a manifest that the target reports as
    /// complete.
    pub steps: Vec<PlannedStep>,
}

/// The planned step for a manifest or blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The manifest or blob.
    pub content: Descriptor,
    /// The action that would be taken.
    pub action: PlannedAction,
}

/// A digest tag that would be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedTag {
    /// The tag.
    pub tag: Tag,
    /// The digest of the manifest at which the tag would point.
    pub digest: Digest,
    /// The digest that the tag points at now, if the tag exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Digest>,
}

/// The action that would be taken for a manifest or blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PlannedAction {
    /// The content would be sent.
    Send,
    /// The target would try to mount the blob from the source's repository. If the registry
    /// declines the mount, the blob would be sent.
    Mount,
    /// The target already holds the content. A manifest may still be sent again, for example to set
    /// the tag.
    Skip,
    /// No action, because the blob may not be redistributed.
    LeaveOut,
}

impl CopyPlan {
    /// Returns the total size in bytes of all blobs and manifests that would be sent.
    #[must_use]
    pub fn bytes_to_send(&self) -> u64 {
        self.bytes(PlannedAction::Send)
    }

    /// Returns the total size in bytes of all blobs and manifests with this action.
    #[must_use]
    pub fn bytes(&self, action: PlannedAction) -> u64 {
        let steps = self.steps.iter().filter(|step| step.action == action);
        steps.map(|step| step.content.size).fold(0, u64::saturating_add)
    }
}

impl Run {
    pub(super) async fn plan(&self, selector: TagOrDigest, tag: Option<Tag>) -> Result<CopyPlan> {
        self.check_guard(tag.as_ref()).await?;
        let tag_before = match &tag {
            Some(tag) => self.target.tagged(tag).await.map_err(|e| e.on(Side::Target))?,
            None => None,
        };
        let selection = self.root(&selector).await?;
        let root = &selection.manifest;
        let (known, steps, digest_tags, left_behind) = Default::default();
        let mut planner = Planner { run: self, known, steps, digest_tags, left_behind };
        planner.manifest(root, 0).await?;
        if self.finds_attached() {
            planner.attachments(root).await?;
            planner.left_behind.extend(self.left_by_selection(&selection).await?);
        }
        Ok(CopyPlan {
            root: root.descriptor().clone(),
            tag,
            tag_before,
            selected_from: selection.index.as_ref().map(|index| index.digest().clone()),
            digest_tags: planner.digest_tags,
            left_behind: planner.left_behind,
            steps: planner.steps,
        })
    }
}

struct Planner<'a> {
    run: &'a Run,
    known: HashSet<Digest>,
    steps: Vec<PlannedStep>,
    digest_tags: Vec<PlannedTag>,
    left_behind: Vec<LeftBehind>,
}

impl Planner<'_> {
    /// Plans everything attached to the root, to the manifests below it, and to other attached
    /// manifests.
    async fn attachments(&mut self, root: &RawManifest) -> Result<()> {
        self.run.record_entries(root)?;
        let mut subjects = Subjects::of(root.descriptor());
        while let Some(subject) = subjects.next() {
            let mut next = self.run.entries(&subject).await?;
            let attached = self.run.attached_to(&subject.digest).await?;
            self.left_behind.extend(attached.left_behind);
            for referrer in attached.referrers {
                match self.run.read_referrer(&subject.digest, &referrer).await? {
                    Ok(manifest) => self.manifest(&manifest, 0).await?,
                    Err(left) => self.left_behind.push(left),
                }
                next.push(referrer);
            }
            for planned in attached.digest_tags {
                let is_current = planned.is_current();
                let DigestTag { tag, manifest, existing } = planned;
                self.manifest(&manifest, 0).await?;
                next.push(manifest.descriptor().clone());
                if !is_current {
                    let before = existing.digest().cloned();
                    let digest = manifest.digest().clone();
                    self.digest_tags.push(PlannedTag { tag, digest, before });
                }
            }
            subjects.add(&next)?;
        }
        Ok(())
    }

    /// Plans a manifest, after everything below it. The future is boxed, because an index may list
    /// indexes.
    fn manifest<'a>(
        &'a mut self,
        manifest: &'a RawManifest,
        depth: usize,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if !self.known.insert(manifest.digest().clone()) {
                return Ok(());
            }
            let holding = self.run.target_holds(Node::Manifest(manifest.descriptor())).await?;
            let walk = self.run.walk(holding);
            if walk != Walk::Stop {
                let below = self.run.successors(manifest, walk, depth)?;
                for blob in below.blobs {
                    self.blob(blob).await?;
                }
                for digest in below.unsized_blobs {
                    self.blob(self.run.with_size(digest).await?).await?;
                }
                for child in below.manifests {
                    if self.run.is_blob(&child).await? {
                        self.blob(child).await?;
                    } else {
                        self.manifest(&self.run.read_listed(&child).await?, depth + 1).await?;
                    }
                }
            }
            self.add(manifest.descriptor().clone(), held(holding));
            Ok(())
        })
    }

    async fn blob(&mut self, blob: Descriptor) -> Result<()> {
        if !self.known.insert(blob.digest.clone()) {
            return Ok(());
        }
        let action = match self.run.step(&blob) {
            Step::Skip => PlannedAction::Skip,
            Step::LeaveOut => PlannedAction::LeaveOut,
            Step::Push => PlannedAction::Mount,
            Step::Ensure => held(self.run.target_holds(Node::Blob(&blob)).await?),
        };
        self.add(blob, action);
        Ok(())
    }

    fn add(&mut self, content: Descriptor, action: PlannedAction) {
        self.steps.push(PlannedStep { content, action });
    }
}

fn held(holding: Presence) -> PlannedAction {
    match holding {
        Presence::Absent => PlannedAction::Send,
        Presence::Partial | Presence::Complete => PlannedAction::Skip,
    }
}
