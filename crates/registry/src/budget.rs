//! Resources that all requests share: open files, and memory for large documents.
//!
//! Owns the permits for these resources. A request holds a permit while its file is open or its
//! large document is in memory. `pace` limits how long a slow client can hold a permit.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::RegistryLimits;

/// The shared budget. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    files: Arc<Semaphore>,
    /// Documents that are being read or built. A slow client does not prolong this step.
    building: Arc<Semaphore>,
    /// Memory for documents that are being sent, in KiB.
    sending: Arc<Semaphore>,
    /// Memory for documents that are being received, in KiB. This limit is separate so that slow
    /// uploads do not block reads.
    receiving: Arc<Semaphore>,
    patience: Duration,
}

/// A part of the budget, returned on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(limits: &RegistryLimits) -> Self {
        let files = limits.open_files.get().min(Semaphore::MAX_PERMITS);
        Self {
            files: Arc::new(Semaphore::new(files)),
            building: Arc::new(Semaphore::new(BUILDING)),
            sending: Arc::new(Semaphore::new(DOCUMENTS_KIB)),
            receiving: Arc::new(Semaphore::new(DOCUMENTS_KIB)),
            patience: limits.body_window,
        }
    }

    /// Waits until a file may be opened for a client.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) if no permit is free within
    /// [`RegistryLimits::body_window`].
    pub(crate) async fn file(&self) -> Result<Permit> {
        self.wait(&self.files, 1).await
    }

    /// Waits until one more document may be read from the store, or built.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn building(&self) -> Result<Permit> {
        self.wait(&self.building, 1).await
    }

    /// Waits until a document of `size` bytes may be held in memory while it is sent. Small
    /// documents do not wait.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn sending(&self, size: u64) -> Result<Permit> {
        self.document(&self.sending, size).await
    }

    /// Waits until a document of `size` bytes may be held in memory while it is received.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn receiving(&self, size: u64) -> Result<Permit> {
        self.document(&self.receiving, size).await
    }

    async fn document(&self, semaphore: &Arc<Semaphore>, size: u64) -> Result<Permit> {
        if size <= SMALL {
            return Ok(Permit { _permit: None });
        }
        // A document larger than the whole budget takes the whole budget.
        let size = usize::try_from(size.div_ceil(1 << 10)).unwrap_or(DOCUMENTS_KIB);
        self.wait(semaphore, size.min(DOCUMENTS_KIB)).await
    }

    async fn wait(&self, semaphore: &Arc<Semaphore>, permits: usize) -> Result<Permit> {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let acquired = Arc::clone(semaphore).acquire_many_owned(permits);
        match tokio::time::timeout(self.patience, acquired).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: Some(permit) }),
            _ => Err(Error::new(ErrorKind::RateLimited)
                .detail("too many large requests at the same time")
                .with_retry_after(RETRY_AFTER)),
        }
    }
}

impl Permit {
    /// Returns a stream that holds this permit until the stream is dropped.
    pub(crate) fn held_by(self, stream: BlobStream) -> BlobStream {
        BlobStream::new(stream.map(move |chunk| {
            let _held = &self;
            chunk
        }))
    }
}

/// 64 KiB: few manifests are larger, and longer listings are streamed.
pub(crate) const SMALL: u64 = 64 << 10;
/// 16 MiB: four documents of the largest size that is accepted by default.
const DOCUMENTS_KIB: usize = 16 << 10;
/// 4 documents at a time: building a document takes three times its size in memory, for some
/// milliseconds.
const BUILDING: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_permits_for_a_limited_time() {
        let mut limits = RegistryLimits::default();
        limits.open_files = NonZeroUsize::MIN;
        let budget = Budget::new(&limits);
        let stream = BlobStream::from(bytes::Bytes::from_static(b"x"));
        let mut stream = budget.file().await.unwrap().held_by(stream);
        assert_eq!(budget.clone().file().await.unwrap_err().kind(), ErrorKind::RateLimited);
        assert_eq!(stream.next().await.unwrap().unwrap(), "x");
        let (file, ()) = tokio::join!(budget.file(), async { drop(stream) });
        file.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn large_documents_share_the_budget_and_small_ones_do_not_count() {
        let budget = Budget::new(&RegistryLimits::default());
        let all = budget.sending(u64::MAX).await.unwrap();
        budget.sending(SMALL).await.unwrap();
        budget.receiving(SMALL + 1).await.unwrap();
        assert_eq!(budget.sending(SMALL + 1).await.unwrap_err().kind(), ErrorKind::RateLimited);
        drop(all);
        let one = budget.sending(4 << 20).await.unwrap();
        budget.sending(12 << 20).await.unwrap();
        drop(one);
    }
}
