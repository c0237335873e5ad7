//! What registries support, as far as their replies have shown it.

use std::sync::{Mutex, PoisonError};

use longshore_core::RegistryName;

use crate::bounded::BoundedMap;
use crate::config::UploadMethod;

/// What a registry supports. `None` means that no reply has shown it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// The upload method that the registry accepted after it refused another method.
    pub(crate) upload_method: Option<UploadMethod>,
    /// True if the registry stores the content of a single `POST`.
    pub(crate) single_post: Option<bool>,
    /// True if the registry answers a mount from the target repository itself with 201 if the
    /// repository has the blob.
    pub(crate) mounts_own: Option<bool>,
    /// True once a request that determines `mounts_own` was begun.
    pub(crate) probed: bool,
    /// True if the registry lists referrers. Only determined for registries that answer
    /// `OCI-Subject`.
    pub(crate) lists_referrers: Option<bool>,
}

/// The abilities of all registries of a client.
#[derive(Debug)]
pub(crate) struct AllAbilities(Mutex<BoundedMap<RegistryName, Abilities>>);

impl AllAbilities {
    /// Returns what is known about a registry.
    pub(crate) fn of(&self, registry: &RegistryName) -> Abilities {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(registry).copied().unwrap_or_default()
    }

    /// Changes what is known about a registry.
    pub(crate) fn learn(&self, registry: &RegistryName, change: impl FnOnce(&mut Abilities)) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.get_or_insert_with(registry.clone(), Abilities::default));
    }
}

impl Default for AllAbilities {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(REGISTRIES)))
    }
}

/// 1024 registries.
const REGISTRIES: usize = 1024;
