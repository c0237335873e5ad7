//! A map with a limit. Knows nothing of what is in it.

use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most `limit` entries: a new one replaces the one that was not used for the longest time.
pub(super) struct BoundedMap<K, V> {
    entries: HashMap<K, Entry<V>>,
    limit: usize,
    /// Counts uses; an entry's own count says when it was used last.
    uses: u64,
}

struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    pub(super) fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), limit, uses: 0 }
    }

    /// Uses an entry.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// Reads an entry, which is no use of it.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// Adds an entry; returns the key of the one that it replaced to stay within the limit.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<K> {
        self.uses += 1;
        let entry = Entry { value, used: self.uses };
        let is_new = self.entries.insert(key, entry).is_none();
        if !is_new || self.entries.len() <= self.limit {
            return None;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used)?.0.clone();
        self.entries.remove(&oldest);
        Some(oldest)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|entry| &mut entry.value)
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K, &V) -> bool) {
        self.entries.retain(|key, entry| keep(key, &entry.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_entry_replaces_the_one_not_used_for_the_longest_time() {
        let mut map = BoundedMap::new(2);
        assert_eq!(map.insert("a", 1), None);
        assert_eq!(map.insert("b", 2), None);
        assert_eq!(map.insert("b", 3), None, "the same entry needs no room");
        assert_eq!(map.get(&"a"), Some(&mut 1));
        assert_eq!(map.peek(&"b"), Some(&3));
        assert_eq!(map.insert("c", 4), Some("b"));
        assert_eq!(map.peek(&"b"), None);
        let mut left: Vec<_> = map.iter().collect();
        left.sort_unstable();
        assert_eq!(left, [(&"a", &1), (&"c", &4)]);
    }
}
