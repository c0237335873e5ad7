//! State that all repositories of a client share, apart from the transport.

use std::num::NonZeroUsize;
use std::sync::Arc;

use longshore_core::RegistryName;
use tokio::sync::Semaphore;

use crate::bounded::BoundedCache;
use crate::capabilities::CapabilityCache;
use crate::config::UploadMethod;
use crate::upload_records::UploadRecords;

/// Settings of operations, and properties of registries that the client has detected.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) page_size: Option<NonZeroUsize>,
    pub(crate) upload_method: UploadMethod,
    pub(crate) capabilities: Arc<CapabilityCache>,
    pub(crate) uploads: UploadRecords,
    /// For each registry, the lock that a push holds while it determines what the registry supports.
    pub(crate) first_contacts: BoundedCache<RegistryName, Arc<tokio::sync::Mutex<()>>>,
    /// Counts the downloads in progress: each of them has a clone.
    pub(crate) downloads: Arc<()>,
    /// The permits to keep parts of blobs in memory.
    pub(crate) parts: Arc<Semaphore>,
    /// The lock to hold while a fallback index of referrers is read, changed and written.
    pub(crate) referrers_index: tokio::sync::Mutex<()>,
    /// The lock to hold while it is determined whether a registry lists referrers.
    pub(crate) referrers_probe: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        page_size: Option<NonZeroUsize>,
        upload_method: UploadMethod,
        capabilities: Arc<CapabilityCache>,
        uploads: UploadRecords,
    ) -> Self {
        let (referrers_index, referrers_probe) = Default::default();
        Self {
            page_size,
            upload_method,
            capabilities,
            uploads,
            first_contacts: BoundedCache::default(),
            downloads: Arc::default(),
            parts: Arc::new(Semaphore::new(PARTS)),
            referrers_index,
            referrers_probe,
        }
    }
}

/// Eight parts of 4 MiB: all downloads of a client keep at most 32 MiB in memory.
pub(crate) const PARTS: usize = 8;
