//! Copies blobs: each digest is skipped, mounted, sent or left out once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use super::CopyEvent;
use super::plan::{self, Step};
use super::run::{Run, Tally};
use crate::blob::{BlobBody, Progress};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::store::{Node, Presence, Pushed, TargetExt as _};

impl Run {
    pub(super) async fn blob(self: Arc<Self>, tally: Arc<Tally>, blob: Descriptor) -> Result<()> {
        let exact = self.options.recheck;
        self.blobs.run(&blob.digest, || self.move_blob(&tally, &blob, exact)).await
    }

    pub(super) async fn unsized_blob(
        self: Arc<Self>,
        tally: Arc<Tally>,
        digest: Digest,
    ) -> Result<()> {
        let blob = self.with_size(digest).await?;
        (self.observer)(&CopyEvent::Found { blob: blob.clone() });
        self.blob(tally, blob).await
    }

    /// Queries the source for the size of a blob. Schema 1 manifests do not state sizes.
    pub(super) async fn with_size(&self, digest: Digest) -> Result<Descriptor> {
        let size = self.blob_size(&digest).await?;
        let size = size.ok_or_else(|| {
            Error::new(ErrorKind::NotFound).at(format!("blob {digest}")).on(Side::Source)
        })?;
        Ok(Descriptor::new(crate::MediaType::DOCKER_LAYER_GZIP, digest, size))
    }

    /// Copies one blob.
    ///
    /// - `exact`: whether to ask the target for the blob even if a push takes no more requests.
    pub(super) async fn move_blob(
        &self,
        tally: &Tally,
        blob: &Descriptor,
        exact: bool,
    ) -> Result<()> {
        let _permit = self.blob_permits.of(blob).await;
        let (digest, size) = (blob.digest.clone(), blob.size);
        let first = Arc::new(AtomicU64::new(size));
        let body = || self.body_of(blob, &first);
        let pushed = match self.step(blob) {
            Step::LeaveOut => {
                tally.count(|t| t.blobs_left_out += 1);
                tally.left_out.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
                (self.observer)(&CopyEvent::LeftOut { digest, size });
                return Ok(());
            }
            Step::Skip => Ok(Pushed::Existing),
            Step::Push => self.target.push_blob(blob, body()).await,
            Step::Ensure if exact => self.target.check_then_push(blob, body()).await,
            Step::Ensure => self.target.ensure_blob(blob, body()).await,
        };
        match (pushed.map_err(|e| e.on(Side::Target))?, self.source.origin()) {
            (Pushed::Existing, _) => {
                tally.count(|t| {
                    t.blobs_held += 1;
                    t.bytes_held += size;
                });
                (self.observer)(&CopyEvent::Skipped { digest, size });
            }
            (Pushed::Mounted, Some(from)) => {
                tally.count(|t| {
                    t.blobs_mounted += 1;
                    t.bytes_mounted += size;
                });
                (self.observer)(&CopyEvent::Mounted { digest, size, from: from.clone() });
            }
            (Pushed::Mounted, None) | (Pushed::Sent, _) => {
                let resumed = first.load(Ordering::Relaxed);
                tally.count(|t| {
                    t.blobs_sent += 1;
                    t.bytes_sent += size - resumed;
                    t.bytes_resumed += resumed;
                });
                (self.observer)(&CopyEvent::Sent { digest, size });
            }
        }
        Ok(())
    }

    /// Sends the blobs that a manifest lists and the target no longer has.
    pub(super) async fn send_missing_blobs(
        &self,
        tally: &Tally,
        manifest: &RawManifest,
    ) -> Result<()> {
        for blob in Successors::of(manifest).map_err(|e| e.on(Side::Source))?.blobs {
            let is_copied = self.step(&blob) != Step::LeaveOut;
            if is_copied && self.target_holds(Node::Blob(&blob)).await? == Presence::Absent {
                self.move_blob(tally, &blob, true).await?;
            }
        }
        Ok(())
    }

    pub(super) fn step(&self, blob: &Descriptor) -> Step {
        let (source, target) = (self.source.origin(), self.target.origin());
        plan::blob_step(blob, self.options.nondistributable, source, target)
    }

    /// Returns a body that reads the blob from the source and reports its progress.
    ///
    /// - `first`: becomes the offset of the first byte that is read. An interrupted copy transferred
    ///   the bytes before.
    fn body_of(&self, blob: &Descriptor, first: &Arc<AtomicU64>) -> BlobBody {
        let (observer, digest) = (Arc::clone(&self.observer), blob.digest.clone());
        let first = Arc::clone(first);
        BlobBody::source(Arc::clone(&self.source)).on_progress(move |progress: Progress| {
            let Progress { chunk: bytes, done, .. } = progress;
            first.fetch_min(done - bytes, Ordering::Relaxed);
            observer(&CopyEvent::Progress { digest: digest.clone(), bytes, done });
        })
    }
}

/// 64 KiB: a blob of this size takes few round trips, and little bandwidth from large blobs.
pub(super) const SMALL_BLOB: u64 = 64 << 10;
