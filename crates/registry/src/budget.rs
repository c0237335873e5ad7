//! What all requests share: open files, and memory for large documents.
//!
//! Owns how much of it is in use at once. A permit is held for as long as the file is open or the
//! document is in memory; the pace of a body says how long its client may take.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::Limits;

/// Clones share what is left.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    files: Arc<Semaphore>,
    /// Documents that are read or made just now. No client can prolong that.
    making: Arc<Semaphore>,
    /// KiB of documents that are sent.
    sending: Arc<Semaphore>,
    /// KiB of documents that come in: who sends slowly keeps nobody from reading.
    receiving: Arc<Semaphore>,
    patience: Duration,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(limits: &Limits) -> Self {
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
    /// As [`file`](Self::file).
    pub(crate) async fn making(&self) -> Result<Permit> {
        self.wait(&self.making, 1).await
    }

    /// Waits until a document of so many bytes may be held while it is sent. A small one may at once.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub(crate) async fn sending(&self, size: u64) -> Result<Permit> {
        self.document(&self.sending, size).await
    }

    /// The same for a document that comes in.
    ///
    /// # Errors
    /// As [`file`](Self::file).
    pub(crate) async fn receiving(&self, size: u64) -> Result<Permit> {
        self.document(&self.receiving, size).await
    }

    async fn document(&self, of: &Arc<Semaphore>, size: u64) -> Result<Permit> {
        if size <= SMALL {
            return Ok(Permit { _permit: None });
        }
        // One that is larger than the whole budget goes alone.
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
    /// The same stream, which gives the permit back when it is dropped.
    pub(crate) fn held_by(self, stream: BlobStream) -> BlobStream {
        BlobStream::new(stream.map(move |piece| {
            let _held = &self;
            piece
        }))
    }
}

/// 64 KiB: hardly any manifest is larger, and a listing above it is streamed.
pub(crate) const SMALL: u64 = 64 << 10;
/// 16 MiB: four documents of the largest size that is taken.
const DOCUMENTS_KIB: usize = 16 << 10;
/// 4 at once: making one takes three times its size, for some milliseconds.
const MAKING: usize = 4;
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_used_up_is_waited_for_but_not_for_ever() {
        let mut limits = Limits::default();
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
        let budget = Budget::new(&Limits::default());
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
