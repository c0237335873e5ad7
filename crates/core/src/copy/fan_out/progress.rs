//! The state that all copies with shared reads have in common. Nothing here waits.
//!
//! Decides which copies a read of a blob waits for, and how a copy reads a blob that it opens. A
//! record of a blob or manifest is dropped when every copy has finished it, so that the records do
//! not grow with the number of tags.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OnceCell, mpsc, watch};

use crate::digest::Digest;
use crate::error::Result;
use crate::graph::Successors;
use crate::manifest::RawManifest;
use crate::reference::TagOrDigest;

/// The progress of all copies.
#[derive(Default)]
pub(super) struct State {
    members: Vec<Member>,
    records: HashMap<Digest, Record>,
    /// The blobs that wait for other copies before they are read.
    waiting: HashMap<Digest, Waiting>,
    manifests: HashMap<TagOrDigest, SharedManifest>,
}

/// One of the copies.
#[derive(Clone, Copy, Default)]
struct Member {
    is_done: bool,
    /// True if the copy shares no reads any more.
    is_apart: bool,
}

/// The progress of all copies with one blob or manifest.
#[derive(Default)]
struct Record {
    /// The copies that opened the blob, alone or with other copies.
    opened: HashSet<usize>,
    /// The copies that have finished the blob or manifest.
    finished: HashSet<usize>,
    /// The manifests that list it, as far as they were read.
    parents: HashSet<Digest>,
    /// What the manifest lists.
    children: Vec<Digest>,
}

/// A blob that waits for other copies.
#[derive(Default)]
struct Waiting {
    receivers: Vec<Receiver>,
    /// Changes whenever a copy may no longer be expected.
    changed: watch::Sender<()>,
}

/// A copy that receives the chunks of a blob.
pub(super) struct Receiver {
    pub(super) member: usize,
    pub(super) sender: mpsc::Sender<Result<Bytes>>,
}

/// A manifest that is read once, and the copies that have it.
#[derive(Default)]
struct SharedManifest {
    cell: Arc<OnceCell<RawManifest>>,
    read_by: HashSet<usize>,
}

/// The way in which a copy reads a blob that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// As the first: it starts the read for all copies.
    ForAll,
    /// From the read that the first copy started.
    WithFirst,
    /// By itself, because it opens the blob again after a failure, or shares no reads any more.
    Alone,
}

impl State {
    pub(super) fn new(copies: usize) -> Self {
        Self { members: vec![Member::default(); copies], ..Self::default() }
    }

    /// Returns true if a copy may still open a blob.
    pub(super) fn is_expected(&self, blob: &Digest) -> bool {
        // All copies have finished a blob without a record.
        let Some(record) = self.records.get(blob) else { return false };
        self.members.iter().enumerate().any(|(member, copy)| {
            let may_open = !copy.is_done && !copy.is_apart && !record.opened.contains(&member);
            may_open && !self.has_finished(member, blob)
        })
    }

    /// Returns true if a copy has finished a blob or manifest, or a manifest above it.
    fn has_finished(&self, member: usize, digest: &Digest) -> bool {
        let (mut above, mut seen) = (vec![digest], HashSet::new());
        while let Some(digest) = above.pop() {
            let Some(record) = self.records.get(digest) else { continue };
            if record.finished.contains(&member) {
                return true;
            }
            above.extend(record.parents.iter().filter(|parent| seen.insert(*parent)));
        }
        false
    }

    /// Returns the first copy in the list that opened a blob.
    pub(super) fn first(&self, blob: &Digest) -> Option<usize> {
        self.records.get(blob)?.opened.iter().min().copied()
    }

    /// Records the children of a manifest.
    pub(super) fn add_manifest(&mut self, manifest: &RawManifest) {
        let Ok(children) = Successors::of(manifest) else { return };
        let listed = children.blobs.into_iter().chain(children.manifests);
        let listed = listed.map(|child| child.digest).chain(children.unsized_blobs);
        let (listed, digest): (Vec<_>, _) = (listed.collect(), manifest.digest());
        for child in &listed {
            self.record(child).parents.insert(digest.clone());
        }
        self.record(digest).children = listed;
    }

    /// Adds a copy that opens a blob.
    pub(super) fn join(
        &mut self,
        member: usize,
        blob: &Digest,
        sender: mpsc::Sender<Result<Bytes>>,
    ) -> Reads {
        if !self.open(member, blob) || self.is_apart(member) {
            return Reads::Alone;
        }
        let receivers = &mut self.waiting.entry(blob.clone()).or_default().receivers;
        receivers.push(Receiver { member, sender });
        if receivers.len() == 1 { Reads::ForAll } else { Reads::WithFirst }
    }

    /// Records that a copy opened a blob. Returns false if it had opened the blob before.
    pub(super) fn open(&mut self, member: usize, blob: &Digest) -> bool {
        let is_new = self.record(blob).opened.insert(member);
        self.changed(blob);
        is_new
    }

    /// Records that a copy has finished a blob or manifest.
    pub(super) fn finish(&mut self, member: usize, digest: &Digest) {
        let record = self.record(digest);
        record.finished.insert(member);
        let (is_manifest, finished) = (!record.children.is_empty(), record.finished.len());
        if finished == self.members.len() {
            self.forget(digest);
        }
        match is_manifest {
            true => self.all_changed(),
            false => self.changed(digest),
        }
    }

    /// Drops the record of content that all copies have finished, with the content below it.
    fn forget(&mut self, digest: &Digest) {
        let Some(record) = self.records.remove(digest) else { return };
        for child in &record.children {
            self.forget(child);
        }
    }

    /// Records that a copy ended.
    pub(super) fn end(&mut self, member: usize) {
        self.members[member].is_done = true;
        for manifest in self.manifests.values_mut() {
            manifest.read_by.insert(member);
        }
        let copies = self.members.len();
        self.manifests.retain(|_, manifest| manifest.read_by.len() < copies);
        self.all_changed();
    }

    /// Excludes a copy from all further reads that are shared.
    pub(super) fn set_apart(&mut self, member: usize) {
        self.members[member].is_apart = true;
        self.all_changed();
    }

    pub(super) fn is_apart(&self, member: usize) -> bool {
        self.members[member].is_apart
    }

    /// Returns true if other copies than this one share reads.
    pub(super) fn has_others(&self, member: usize) -> bool {
        let shares =
            |(other, copy): (usize, &Member)| other != member && !copy.is_done && !copy.is_apart;
        self.members.iter().enumerate().any(shares)
    }

    /// Returns the cell in which all copies read a manifest. After the last copy, the manifest is
    /// dropped.
    pub(super) fn cell(
        &mut self,
        member: usize,
        selector: &TagOrDigest,
    ) -> Arc<OnceCell<RawManifest>> {
        let ended = || {
            let ended = self.members.iter().enumerate().filter(|(_, copy)| copy.is_done);
            let read_by = ended.map(|(ended, _)| ended).collect();
            SharedManifest { read_by, ..SharedManifest::default() }
        };
        let shared = self.manifests.entry(selector.clone()).or_insert_with(ended);
        shared.read_by.insert(member);
        let (cell, is_last) =
            (Arc::clone(&shared.cell), shared.read_by.len() == self.members.len());
        if is_last {
            self.manifests.remove(selector);
        }
        cell
    }

    /// Returns the changes that the wait for a blob depends on. `None` if the blob does not wait.
    pub(super) fn subscribe(&self, blob: &Digest) -> Option<watch::Receiver<()>> {
        self.waiting.get(blob).map(|waiting| waiting.changed.subscribe())
    }

    /// Ends the wait for a blob, and returns the copies that receive it.
    pub(super) fn take_waiting(&mut self, blob: &Digest) -> Vec<Receiver> {
        self.waiting.remove(blob).map(|waiting| waiting.receivers).unwrap_or_default()
    }

    fn record(&mut self, digest: &Digest) -> &mut Record {
        self.records.entry(digest.clone()).or_default()
    }

    fn changed(&self, blob: &Digest) {
        if let Some(waiting) = self.waiting.get(blob) {
            waiting.changed.send_replace(());
        }
    }

    fn all_changed(&self) {
        for waiting in self.waiting.values() {
            waiting.changed.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COPIES: usize = 2;

    fn digests() -> [Digest; 4] {
        [b"b", b"i", b"x", b"o"].map(|bytes: &[u8; 1]| Digest::sha256(bytes))
    }

    /// Returns the state after the blob was listed by an image, and the image by an index.
    fn state() -> State {
        let [blob, image, index, _] = digests();
        let mut state = State::new(COPIES);
        for (parent, child) in [(&index, &image), (&image, &blob)] {
            state.record(child).parents.insert(parent.clone());
            state.record(parent).children.push(child.clone());
        }
        state
    }

    #[test]
    fn a_copy_is_expected_until_it_opens_the_blob_or_finishes_it_or_a_manifest_above_it() {
        let [blob, image, index, other] = digests();
        let expected_after = |change: &dyn Fn(&mut State)| {
            let mut state = state();
            state.open(0, &blob);
            change(&mut state);
            state.is_expected(&blob)
        };
        assert!(expected_after(&|_| {}));
        assert!(expected_after(&|s| _ = s.open(1, &other)));
        assert!(expected_after(&|s| s.finish(1, &other)));
        assert!(!expected_after(&|s| s.end(1)));
        assert!(!expected_after(&|s| s.set_apart(1)));
        assert!(!expected_after(&|s| _ = s.open(1, &blob)));
        for finished in [&blob, &image, &index] {
            assert!(!expected_after(&|s| s.finish(1, finished)));
        }
    }

    #[test]
    fn a_record_is_dropped_when_all_copies_have_finished() {
        let [blob, image, index, _] = digests();
        let mut state = state();
        for member in 0..COPIES {
            assert_eq!(state.records.len(), 3);
            state.open(member, &blob);
            state.finish(member, &blob);
        }
        assert_eq!(state.records.len(), 2);
        // The copies of one target skip everything below the index.
        state.finish(0, &image);
        state.finish(0, &index);
        state.finish(1, &index);
        assert!(state.records.is_empty());
        assert!(!state.is_expected(&blob));
    }

    #[test]
    fn a_manifest_is_dropped_when_every_copy_that_has_not_ended_has_read_it() {
        let mut state = State::new(3);
        let selector = TagOrDigest::from(digests()[0].clone());
        state.cell(0, &selector);
        state.cell(0, &selector);
        state.end(1);
        assert_eq!(state.manifests.len(), 1);
        state.cell(2, &selector);
        assert!(state.manifests.is_empty());
        state.cell(0, &selector);
        state.end(2);
        assert!(state.manifests.is_empty());
    }
}
