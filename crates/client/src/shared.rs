//! What all repositories of a client share beside the transport.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use longshore_core::RegistryName;

use crate::config::{RetryPolicy, UploadForm};

/// Settings of operations, and what was learnt of registries.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) page_size: Option<NonZeroUsize>,
    pub(crate) retry: RetryPolicy,
    upload_form: UploadForm,
    /// The forms that registries turned out to want.
    learnt_forms: Mutex<HashMap<RegistryName, UploadForm>>,
    /// Whether registries that say they know subjects list referrers.
    lists_referrers: Mutex<HashMap<RegistryName, bool>>,
    /// Held while a fallback index of referrers is read, changed and written.
    pub(crate) referrers_index: tokio::sync::Mutex<()>,
}

impl Shared {
    pub(crate) fn new(
        page_size: Option<NonZeroUsize>,
        retry: RetryPolicy,
        upload_form: UploadForm,
    ) -> Self {
        Self {
            page_size,
            retry,
            upload_form,
            learnt_forms: Mutex::default(),
            lists_referrers: Mutex::default(),
            referrers_index: tokio::sync::Mutex::default(),
        }
    }

    /// The form in which a registry takes uploads, as far as is known.
    pub(crate) fn upload_form(&self, registry: &RegistryName) -> UploadForm {
        let learnt = self.learnt_forms.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.get(registry).copied().unwrap_or(self.upload_form)
    }

    /// Whether a registry lists referrers, if that is known.
    pub(crate) fn lists_referrers(&self, registry: &RegistryName) -> Option<bool> {
        let known = self.lists_referrers.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(registry).copied()
    }

    /// Keeps whether a registry lists referrers.
    pub(crate) fn learn_referrers(&self, registry: &RegistryName, lists: bool) {
        let mut known = self.lists_referrers.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(registry.clone(), lists);
    }

    /// Keeps the form in which a registry took an upload after all.
    pub(crate) fn learn_upload_form(&self, registry: &RegistryName, form: UploadForm) {
        let mut learnt = self.learnt_forms.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.insert(registry.clone(), form);
    }
}
