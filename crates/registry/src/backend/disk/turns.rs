//! Whose turn it is to change the manifests of a repository.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use longshore_core::RepositoryName;

use super::locks::Locks;

/// Lets manifests come in side by side, and lets one go alone: between a manifest and its tag, the
/// manifest must stay. Two repositories that share a lock wait for each other's deletes, and seldom.
#[derive(Debug)]
pub(super) struct Turns(Locks<RwLock<()>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Locks::new())
    }

    /// For adding; others may add meanwhile.
    pub(super) fn shared(&self, name: &RepositoryName) -> RwLockReadGuard<'_, ()> {
        self.0.of(name).read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For removing, with nobody else at it.
    pub(super) fn alone(&self, name: &RepositoryName) -> RwLockWriteGuard<'_, ()> {
        self.0.of(name).write().unwrap_or_else(PoisonError::into_inner)
    }
}
