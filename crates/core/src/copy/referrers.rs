//! Finds the referrers of the copied content, including referrers of referrers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::TryStreamExt as _;

use super::run::{Run, Tally};
use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result, Side};

impl Run {
    /// Copies all referrers of the root and of the manifests below it, including referrers of
    /// referrers.
    pub(super) async fn referrers(
        self: &Arc<Self>,
        tally: &Arc<Tally>,
        root: &Digest,
    ) -> Result<()> {
        let mut subjects = Subjects::of(root);
        while let Some(subject) = self.next_subject(&mut subjects) {
            for referrer in self.referrers_of(&subject, &mut subjects).await? {
                self.listed_manifest(tally, &referrer, 0).await?;
            }
        }
        Ok(())
    }

    /// Returns the next manifest whose referrers are to be found, and adds its children as
    /// subjects.
    ///
    /// The children come from the records of all copies, because another copy may have sent a
    /// shared manifest and failed afterwards. A blob that an index lists has no record and is
    /// skipped.
    pub(super) fn next_subject(&self, subjects: &mut Subjects) -> Option<Digest> {
        let listed = self.listed();
        loop {
            let subject = subjects.waiting.pop_front()?;
            if let Some(children) = listed.get(&subject) {
                children.iter().for_each(|child| {
                    subjects.add(child);
                });
                return Some(subject);
            }
        }
    }

    /// Returns the referrers of a subject that were not found before, and adds them as subjects.
    pub(super) async fn referrers_of(
        &self,
        subject: &Digest,
        subjects: &mut Subjects,
    ) -> Result<Vec<Descriptor>> {
        let (mut listed, mut new) = (0, Vec::new());
        let mut referrers = self.source.referrers(subject, None).items();
        while let Some(referrer) = referrers.try_next().await.map_err(|e| e.on(Side::Source))? {
            listed += 1;
            if listed > REFERRER_LIMIT || subjects.known.len() > MANIFEST_COUNT_LIMIT {
                return Err(too_many(subject, listed));
            }
            if subjects.add(&referrer.digest) {
                new.push(referrer);
            }
        }
        Ok(new)
    }

    pub(super) fn listed(&self) -> MutexGuard<'_, HashMap<Digest, Vec<Digest>>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The manifests whose referrers are still to be found.
pub(super) struct Subjects {
    known: HashSet<Digest>,
    waiting: VecDeque<Digest>,
}

impl Subjects {
    pub(super) fn of(root: &Digest) -> Self {
        Self { known: HashSet::from([root.clone()]), waiting: VecDeque::from([root.clone()]) }
    }

    fn add(&mut self, digest: &Digest) -> bool {
        let is_new = self.known.insert(digest.clone());
        if is_new {
            self.waiting.push_back(digest.clone());
        }
        is_new
    }
}

/// Builds the error for a subject with too many referrers, or a copy with too many manifests.
fn too_many(subject: &Digest, of_subject: usize) -> Error {
    let detail = match of_subject > REFERRER_LIMIT {
        true => format!("the manifest has more than {REFERRER_LIMIT} referrers"),
        false => {
            format!("the copy has more than {MANIFEST_COUNT_LIMIT} manifests, including referrers")
        }
    };
    Error::new(ErrorKind::TooLarge).at(subject).on(Side::Source).detail(detail)
}

/// 1,000 referrers per subject. A larger number is probably an attack.
const REFERRER_LIMIT: usize = 1_000;
/// 100,000 manifests in one copy with referrers. Referrers can have referrers, so a malicious
/// registry could list an endless chain.
const MANIFEST_COUNT_LIMIT: usize = 100_000;
