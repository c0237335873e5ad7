//! What all repositories of a client share beside the transport.

use std::num::NonZeroUsize;

use longshore_core::RegistryName;

use crate::bounded::BoundedCache;
use crate::config::UploadMethod;

/// Settings of operations, and what was learnt of registries.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) page_size: Option<NonZeroUsize>,
    upload_method: UploadMethod,
    /// The forms that registries turned out to want.
    learnt_forms: BoundedCache<RegistryName, UploadMethod>,
    /// Whether registries that say they know subjects list referrers.
    lists_referrers: BoundedCache<RegistryName, bool>,
    /// Held while a fallback index of referrers is read, changed and written.
    pub(crate) referrers_index: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(page_size: Option<NonZeroUsize>, upload_method: UploadMethod) -> Self {
        Self {
            page_size,
            upload_method,
            learnt_forms: BoundedCache::default(),
            lists_referrers: BoundedCache::default(),
            referrers_index: tokio::sync::Mutex::default(),
        }
    }

    /// The form in which a registry takes uploads, as far as is known.
    pub(crate) fn upload_method(&self, registry: &RegistryName) -> UploadMethod {
        self.learnt_forms.get(registry).unwrap_or(self.upload_method)
    }

    /// Whether a registry lists referrers, if that is known.
    pub(crate) fn lists_referrers(&self, registry: &RegistryName) -> Option<bool> {
        self.lists_referrers.get(registry)
    }

    /// Keeps whether a registry lists referrers.
    pub(crate) fn learn_referrers(&self, registry: &RegistryName, lists: bool) {
        self.lists_referrers.insert(registry.clone(), lists);
    }

    /// Keeps the form in which a registry took an upload after all.
    pub(crate) fn learn_upload_form(&self, registry: &RegistryName, form: UploadMethod) {
        self.learnt_forms.insert(registry.clone(), form);
    }
}
