//! Shared resources of all requests: open files, and memory for large documents.
//!
//! Owns the amounts in use at once. A permit is held while the file is open or the document is in
//! memory; the pace of a body limits the time that its client may take.

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
    /// Documents being read or made. Clients cannot prolong this.
    making: Arc<Semaphore>,
    /// KiB of documents being sent.
    sending: Arc<Semaphore>,
    /// KiB of documents being received: slow uploads do not block reads.
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
            making: Arc::new(Semaphore::new(MAKING)),
            sending: Arc::new(Semaphore::new(DOCUMENTS_KIB)),
            receiving: Arc::new(Semaphore::new(DOCUMENTS_KIB)),
            patience: limits.body_window,
        }
    }

    /// Waits until a file may be opened for a client.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) after the time that a client has for a body.
    pub(crate) async fn file(&self) -> Result<Permit> {
        self.wait(&self.files, 1).await
    }

    /// Waits until one more document may be read from the store, or made.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn making(&self) -> Result<Permit> {
        self.wait(&self.making, 1).await
    }

    /// Waits until a document of `size` bytes may be held while it is sent. Small ones do not wait.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn sending(&self, size: u64) -> Result<Permit> {
        self.document(&self.sending, size).await
    }

    /// Waits until a document of `size` bytes may be held while it is received.
    ///
    /// # Errors
    /// Same as [`file`](Self::file).
    pub(crate) async fn receiving(&self, size: u64) -> Result<Permit> {
        self.document(&self.receiving, size).await
    }

    async fn document(&self, of: &Arc<Semaphore>, size: u64) -> Result<Permit> {
        if size <= SMALL {
            return Ok(Permit { _permit: None });
        }
        // A document larger than the whole budget takes all of it.
        let size = usize::try_from(size.div_ceil(1 << 10)).unwrap_or(DOCUMENTS_KIB);
        self.wait(of, size.min(DOCUMENTS_KIB)).await
    }

    async fn wait(&self, of: &Arc<Semaphore>, permits: usize) -> Result<Permit> {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX);
        let acquired = Arc::clone(of).acquire_many_owned(permits);
        match tokio::time::timeout(self.patience, acquired).await {
            Ok(Ok(permit)) => Ok(Permit { _permit: Some(permit) }),
            _ => Err(Error::new(ErrorKind::RateLimited)
                .detail("too many large requests at once")
                .with_retry_after(RETRY_AFTER)),
        }
    }
}

impl Permit {
    /// Returns the stream holding this permit; dropping the stream returns the permit.
    pub(crate) fn held_by(self, stream: BlobStream) -> BlobStream {
        BlobStream::new(stream.map(move |piece| {
            let _held = &self;
            piece
        }))
    }
}

/// 64 KiB: few manifests are larger, and longer listings are streamed.
pub(crate) const SMALL: u64 = 64 << 10;
/// 16 MiB: four documents of the largest accepted size.
const DOCUMENTS_KIB: usize = 16 << 10;
/// 4 at once: making one takes three times its size in memory, for some milliseconds.
const MAKING: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_is_waited_for_but_not_for_ever() {
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
    async fn large_documents_share_what_there_is_and_small_ones_do_not_count() {
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
