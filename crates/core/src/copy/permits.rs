//! Limits how much of a copy is in progress at the same time.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::blob::SMALL_BLOB;
use super::small_parallel;
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

    /// Waits for a permit for a blob. The semaphores are never closed, so the result is never
    /// `None`.
    pub(super) async fn of(&self, blob: &Descriptor) -> Option<OwnedSemaphorePermit> {
        let permits = if blob.size <= SMALL_BLOB { &self.small } else { &self.large };
        Arc::clone(permits).acquire_owned().await.ok()
    }
}

/// 1,024 large blobs at a time: more connections than any registry serves.
const PARALLEL_LIMIT: usize = 1024;
