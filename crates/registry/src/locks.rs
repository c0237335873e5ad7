//! A few locks for many things.

use std::hash::{DefaultHasher, Hash, Hasher as _};

/// Locks of a kind. Which one is a thing's, its hash says: two things may share one, so nobody may
/// hold two of them.
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

/// 64: far more than there are threads to hold them.
const COUNT: usize = 64;
