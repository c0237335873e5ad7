//! Plans a copy without writing anything.

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use serde::Serialize;

use super::plan::{Step, Walk};
use super::referrers::Subjects;
use super::run::Run;
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Result;
use crate::manifest::RawManifest;
use crate::reference::{Tag, TagOrDigest};
use crate::store::{Node, Presence};

/// The steps that a copy would take; see [`Copier::plan`](super::Copier::plan).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyPlan {
    /// The root manifest of the copy.
    pub root: Descriptor,
    /// The tag that would point at the root manifest.
    pub tag: Option<Tag>,
    /// The steps, children before parents, each digest once. Content that the copy does not examine
    /// is not listed. By default, this is everything below a manifest that the target reports as
    /// complete.
    pub steps: Vec<PlannedStep>,
}

/// The planned step for a manifest or blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PlannedStep {
    /// The manifest or blob.
    pub content: Descriptor,
    /// The action that would be taken.
    pub action: PlannedAction,
}

/// The action that would be taken for a manifest or blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
        let sent = self.steps.iter().filter(|step| step.action == PlannedAction::Send);
        sent.map(|step| step.content.size).fold(0, u64::saturating_add)
    }
}

impl Run {
    pub(super) async fn plan(&self, selector: TagOrDigest, tag: Option<Tag>) -> Result<CopyPlan> {
        let root = self.root(&selector).await?;
        let mut planner = Planner { run: self, known: HashSet::new(), steps: Vec::new() };
        planner.manifest(&root, 0).await?;
        if self.options.referrers {
            let mut subjects = Subjects::of(root.digest());
            while let Some(subject) = self.next_subject(&mut subjects) {
                for referrer in self.referrers_of(&subject, &mut subjects).await? {
                    planner.manifest(&self.read_listed(&referrer).await?, 0).await?;
                }
            }
        }
        Ok(CopyPlan { root: root.descriptor().clone(), tag, steps: planner.steps })
    }
}

struct Planner<'a> {
    run: &'a Run,
    known: HashSet<Digest>,
    steps: Vec<PlannedStep>,
}

impl Planner<'_> {
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
