//! Whose turn it is to change the manifests of a repository.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use longshore_core::RepositoryName;

/// Lets manifests come in side by side, and lets one go alone: between a manifest and its tag, the
/// manifest must stay.
#[derive(Debug)]
pub(super) struct Turns(Vec<RwLock<()>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self((0..LOCKS).map(|_| RwLock::default()).collect())
    }

    /// For adding; others may add meanwhile.
    pub(super) fn shared(&self, name: &RepositoryName) -> RwLockReadGuard<'_, ()> {
        self.lock(name).read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For removing, with nobody else at it.
    pub(super) fn alone(&self, name: &RepositoryName) -> RwLockWriteGuard<'_, ()> {
        self.lock(name).write().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, name: &RepositoryName) -> &RwLock<()> {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let index = hasher.finish() % self.0.len() as u64;
        &self.0[usize::try_from(index).unwrap_or(0)]
    }
}

/// 64 locks: two repositories that share one wait for each other's deletes, and seldom.
const LOCKS: usize = 64;
