//! Limits how much of a copy is in progress at the same time.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blob::SMALL_BLOB;
use crate::descriptor::Descriptor;

/// Permits for large blobs, and for everything small, so that large blobs do not delay it.
pub(super) struct Permits {
    pub(super) large: Arc<Semaphore>,
    pub(super) small: Arc<Semaphore>,
}

impl Permits {
    /// Creates the permits for this number of large blobs. If it is 1, there is one permit for
    /// everything.
    pub(super) fn new(parallel: NonZeroUsize) -> Self {
        let large = Arc::new(Semaphore::new(parallel.get().min(PARALLEL_LIMIT)));
        let small = match small_parallel(parallel) {
            1 => Arc::clone(&large),
            more => Arc::new(Semaphore::new(more)),
        };
        Self { large, small }
    }

    /// Creates permits that limit nothing.
    pub(super) fn unlimited() -> Self {
        let all = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { large: Arc::clone(&all), small: all }
    }

    /// Waits for a permit for a blob. The semaphores are never closed, so the result is never
    /// `None`.
    pub(super) async fn of(&self, blob: &Descriptor) -> Option<OwnedSemaphorePermit> {
        let permits = if blob.size <= SMALL_BLOB { &self.small } else { &self.large };
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

/// Returns the number of manifests, small blobs and checks that are in progress at the same time.
///
/// - `parallel`: the number of large blobs.
pub(super) fn small_parallel(parallel: NonZeroUsize) -> usize {
    if parallel == NonZeroUsize::MIN { 1 } else { SMALL_PARALLEL }
}

/// 1,024 large blobs at a time: more connections than any registry serves.
const PARALLEL_LIMIT: usize = 1024;
/// 32 manifests, small blobs and checks: most of their time is the latency of the network.
const SMALL_PARALLEL: usize = 32;
