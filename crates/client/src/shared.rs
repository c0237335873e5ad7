//! State that all repositories of a client share, apart from the transport.

use std::num::NonZeroUsize;

use crate::capabilities::CapabilityCache;
use crate::config::UploadMethod;
use crate::upload_journal::UploadJournal;

/// Settings of operations, and properties of registries that the client has detected.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) page_size: Option<NonZeroUsize>,
    pub(crate) upload_method: UploadMethod,
    pub(crate) capabilities: CapabilityCache,
    pub(crate) uploads: UploadJournal,
    /// The lock to hold while a fallback index of referrers is read, changed and written.
    pub(crate) referrers_index: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        page_size: Option<NonZeroUsize>,
        upload_method: UploadMethod,
        capabilities: CapabilityCache,
        uploads: UploadJournal,
    ) -> Self {
        let referrers_index = Default::default();
        Self { page_size, upload_method, capabilities, uploads, referrers_index }
    }
}
