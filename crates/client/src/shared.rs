//! State that all repositories of a client share, apart from the transport.

use std::num::NonZeroUsize;

use longshore_core::RegistryName;

use crate::bounded::BoundedCache;
use crate::config::UploadMethod;

/// Settings of operations, and properties of registries that the client has detected.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) page_size: Option<NonZeroUsize>,
    upload_method: UploadMethod,
    /// The upload methods that registries accepted after they refused another method.
    learned_methods: BoundedCache<RegistryName, UploadMethod>,
    /// True for registries that list referrers. Only registries that answer `OCI-Subject` have an
    /// entry.
    lists_referrers: BoundedCache<RegistryName, bool>,
    /// The lock to hold while a fallback index of referrers is read, changed and written.
    pub(crate) referrers_index: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(page_size: Option<NonZeroUsize>, upload_method: UploadMethod) -> Self {
        Self {
            page_size,
            upload_method,
            learned_methods: BoundedCache::default(),
            lists_referrers: BoundedCache::default(),
            referrers_index: tokio::sync::Mutex::default(),
        }
    }

    /// Returns the upload method to use at a registry.
    pub(crate) fn upload_method(&self, registry: &RegistryName) -> UploadMethod {
        self.learned_methods.get(registry).unwrap_or(self.upload_method)
    }

    /// Returns whether a registry lists referrers, if known.
    pub(crate) fn lists_referrers(&self, registry: &RegistryName) -> Option<bool> {
        self.lists_referrers.get(registry)
    }

    /// Records whether a registry lists referrers.
    pub(crate) fn learn_referrers(&self, registry: &RegistryName, lists: bool) {
        self.lists_referrers.insert(registry.clone(), lists);
    }

    /// Records the upload method that a registry accepted after refusing another.
    pub(crate) fn learn_upload_method(&self, registry: &RegistryName, method: UploadMethod) {
        self.learned_methods.insert(registry.clone(), method);
    }
}
