//! A small number of locks for many keys.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// A fixed number of locks. The hash of a key selects its lock. Two keys may share a lock, so a
/// task must never hold two locks of the same set.
#[derive(Debug)]
pub(crate) struct Locks<L>(Vec<L>);

impl<L: Default> Locks<L> {
    pub(crate) fn new() -> Self {
        Self((0..COUNT).map(|_| L::default()).collect())
    }

    pub(crate) fn of(&self, thing: &impl Hash) -> &L {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        let index = hasher.finish() % self.0.len() as u64;
        &self.0[usize::try_from(index).unwrap_or(0)]
    }
}

/// 64 locks: tasks with different keys rarely wait for each other.
const COUNT: usize = 64;
