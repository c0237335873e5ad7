//! Copies manifests and everything below them: children before parents, each digest once.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::plan::{self, Walk};
use super::run::{self, Run, Tally};
use super::{CopyEvent, CopyOptions};
use crate::descriptor::Descriptor;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::store::{Node, Presence};

impl Run {
    /// Decides whether to descend below a manifest.
    pub(super) fn walk(&self, holding: Presence) -> Walk {
        let CopyOptions { recheck, nondistributable, .. } = self.options;
        plan::walk(holding, recheck, nondistributable)
    }

    /// Copies a manifest once, without a tag.
    ///
    /// - `holding`: the presence of the manifest at the target, if it is known.
    pub(super) async fn once_below(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        manifest: RawManifest,
        holding: Option<Presence>,
        depth: usize,
    ) -> Result<()> {
        let digest = manifest.digest().clone();
        self.manifests
            .run(&digest, || async {
                let holding = match holding {
                    Some(holding) => holding,
                    None => self.target_holds(Node::Manifest(manifest.descriptor())).await?,
                };
                self.below(tally, &manifest, holding, depth).await?;
                if self.walk(holding) == Walk::Descend {
                    self.send_manifest(tally, &manifest).await?;
                }
                self.arrived(tally, manifest.descriptor(), holding);
                Ok(())
            })
            .await
    }

    /// Copies the content below a manifest, as far as [`walk`](Self::walk) decides.
    ///
    /// - `holding`: the presence of the manifest at the target.
    pub(super) async fn below(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        manifest: &RawManifest,
        holding: Presence,
        depth: usize,
    ) -> Result<()> {
        match self.walk(holding) {
            Walk::Stop => Ok(()),
            walk => self.children(tally, manifest, walk, depth).await,
        }
    }

    /// Copies the children of a manifest in parallel. The number of manifests is limited, because
    /// each manifest is in memory while it is copied. The first failure stops the other copies.
    async fn children(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        manifest: &RawManifest,
        walk: Walk,
        depth: usize,
    ) -> Result<()> {
        let successors = self.successors(manifest, walk, depth)?;
        let mut tasks = JoinSet::new();
        for blob in successors.blobs {
            (self.observer)(&CopyEvent::Found { blob: blob.clone() });
            tasks.spawn(Arc::clone(self).blob(Arc::clone(tally), blob));
        }
        for digest in successors.unsized_blobs {
            tasks.spawn(Arc::clone(self).unsized_blob(Arc::clone(tally), digest));
        }
        let manifests = successors
            .manifests
            .into_iter()
            .map(|child| Arc::clone(self).child(Arc::clone(tally), child, depth + 1));
        run::all_with(tasks, manifests, self.options.parallel.get()).await
    }

    /// Returns the content to be copied below a manifest.
    pub(super) fn successors(
        &self,
        manifest: &RawManifest,
        walk: Walk,
        depth: usize,
    ) -> Result<Successors> {
        if depth >= DEPTH_LIMIT {
            return Err(Error::new(ErrorKind::TooLarge)
                .at(manifest.digest())
                .on(Side::Source)
                .detail(format!("manifests are nested more than {DEPTH_LIMIT} levels deep")));
        }
        let mut successors = Successors::of(manifest).map_err(|e| e.on(Side::Source))?;
        if self.finds_attached() && manifest.media_type().is_index() {
            self.record_entries(manifest)?;
        }
        if walk == Walk::Foreign {
            successors.blobs.retain(|blob| blob.media_type.is_nondistributable());
            successors.unsized_blobs.clear();
        }
        Ok(successors)
    }

    /// Copies an entry of an index. The future is boxed, because an index may list indexes.
    fn child(
        self: Arc<Self>,
        tally: Arc<Tally>,
        child: Descriptor,
        depth: usize,
    ) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            if !self.is_blob(&child).await? {
                return self.listed_manifest(&tally, &child, depth).await;
            }
            (self.observer)(&CopyEvent::ListedBlob { blob: child.clone() });
            (self.observer)(&CopyEvent::Found { blob: child.clone() });
            self.blob(tally, child).await
        })
    }

    /// Copies a manifest that is listed by an index or as a referrer.
    pub(super) async fn listed_manifest(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        child: &Descriptor,
        depth: usize,
    ) -> Result<()> {
        let manifest = self.read_listed(child).await?;
        self.once_below(tally, manifest.clone(), None, depth).await?;
        self.check_name(&manifest).await
    }

    /// Reads a manifest that is listed by an index or as a referrer.
    pub(super) async fn read_listed(&self, child: &Descriptor) -> Result<RawManifest> {
        let manifest = self.read(&child.digest.clone().into()).await?;
        if manifest.descriptor().size != child.size {
            return Err(Error::new(ErrorKind::SizeMismatch)
                .at(&child.digest)
                .on(Side::Source)
                .detail(format!(
                    "expected {} bytes, got {}",
                    child.size,
                    manifest.descriptor().size
                )));
        }
        Ok(manifest)
    }

    /// Checks that the target uses the same digest as the index for a signed schema 1 manifest.
    /// Such a manifest has two digests.
    async fn check_name(&self, child: &RawManifest) -> Result<()> {
        let named = Node::Manifest(child.descriptor());
        if child.by_bytes().digest() == child.digest()
            || self.target_holds(named).await? != Presence::Absent
        {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unsupported).at(child.digest()).on(Side::Target).detail(
            "the target uses the digest of the bytes, but the index lists the payload's digest",
        ))
    }
}

/// Maximum nesting depth. Real indexes nest at most two levels deep.
const DEPTH_LIMIT: usize = 8;
