//! Maps of limited size, for state that exists as long as its client.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A map of at most `limit` entries. If the map is full, a new entry replaces the least recently
/// used entry.
#[derive(Debug)]
pub(crate) struct BoundedMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    limit: usize,
    /// The number of uses. Each entry stores the number of its last use.
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), limit, uses: 0 }
    }

    /// Returns an entry. Counts as a use.
    pub(crate) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// Returns an entry, and adds it if it is missing. Counts as a use.
    pub(crate) fn get_or_insert_with(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.make_room(&key);
        self.uses += 1;
        let entry = self.entries.entry(key).or_insert_with(|| Entry { value: new(), used: 0 });
        entry.used = self.uses;
        &mut entry.value
    }

    /// Returns an entry without counting a use.
    pub(crate) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Adds an entry. Returns the key of the entry that was dropped to make room, if any.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<K> {
        let oldest = self.make_room(&key);
        self.uses += 1;
        self.entries.insert(key, Entry { value, used: self.uses });
        oldest
    }

    /// Drops the least recently used entry if a new one would exceed the limit.
    fn make_room(&mut self, key: &K) -> Option<K> {
        if self.entries.len() < self.limit || self.entries.contains_key(key) {
            return None;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used)?.0.clone();
        self.entries.remove(&oldest);
        Some(oldest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        self.entries.retain(|key, entry| keep(key, &entry.value));
    }
}

/// A [`BoundedMap`] that threads share. The keys are registries or origins.
#[derive(Debug)]
pub(crate) struct BoundedCache<K, V>(Mutex<BoundedMap<K, V>>);

impl<K: Clone + Eq + Hash, V: Clone> BoundedCache<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn get_or_insert_with(&self, key: K, new: impl FnOnce() -> V) -> V {
        self.lock().get_or_insert_with(key, new).clone()
    }

    /// Changes an entry, and adds it first if it is missing. Returns the result of the change.
    pub(crate) fn update<R>(
        &self,
        key: K,
        new: impl FnOnce() -> V,
        change: impl FnOnce(&mut V) -> R,
    ) -> R {
        change(self.lock().get_or_insert_with(key, new))
    }

    fn lock(&self) -> MutexGuard<'_, BoundedMap<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash, V> Default for BoundedCache<K, V> {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(CACHED)))
    }
}

/// 1024 registries or origins. The targets of redirects count as origins.
const CACHED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_in_a_full_map_replaces_the_least_recently_used_entry() {
        let mut map = BoundedMap::new(2);
        assert_eq!(map.insert("a", 1), None);
        assert_eq!(map.insert("b", 2), None);
        assert_eq!(map.insert("b", 3), None, "replacing a value drops no other entry");
        assert_eq!(map.get(&"a"), Some(&mut 1));
        assert_eq!(map.peek(&"b"), Some(&3));
        assert_eq!(map.insert("c", 4), Some("b"));
        assert_eq!(map.peek(&"b"), None);
        assert_eq!(map.get_or_insert_with("a", || 5), &1);
        assert_eq!(map.get_or_insert_with("d", || 5), &5);
        assert_eq!(map.peek(&"c"), None);
        let mut left: Vec<_> = map.iter().collect();
        left.sort_unstable();
        assert_eq!(left, [(&"a", &1), (&"d", &5)]);
    }
}
