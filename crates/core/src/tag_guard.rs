//! Conditions on a tag that must hold when the tag is set.
//!
//! Owns the condition and its check. The stores decide how a change is protected from other
//! writers.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::error::{Error, ErrorKind, Result};

/// A condition on a tag. If it is not met, the tag is not set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TagGuard {
    /// The tag does not exist.
    Absent,
    /// The tag points at the manifest with this digest.
    PointsAt(Digest),
}

/// How a store protected a guarded change of a tag from other writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GuardMethod {
    /// The guard was checked before the change, and the tag after it. A change by another writer
    /// between the first check and the change is not detected.
    Checked,
    /// The store checked the guard and changed the tag in one step.
    Atomic,
}

impl TagGuard {
    /// Checks the guard.
    ///
    /// - `found`: the digest that the tag points at, or `None` if the tag does not exist.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) with the expected and the found state of the tag.
    pub fn check(&self, found: Option<&Digest>) -> Result<()> {
        let problem = match (self, found) {
            (Self::Absent, None) => return Ok(()),
            (Self::Absent, Some(found)) => format!("the tag already exists and points at {found}"),
            (Self::PointsAt(digest), Some(found)) if found == digest => return Ok(()),
            (Self::PointsAt(digest), Some(found)) => {
                format!("expected the tag to point at {digest}, but it points at {found}")
            }
            (Self::PointsAt(digest), None) => {
                format!("expected the tag to point at {digest}, but it does not exist")
            }
        };
        Err(Error::new(ErrorKind::Conflict).detail(problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn a_guard_states_what_it_expected_and_what_it_found() {
        let [a, b] = [b"a", b"b"].map(|bytes| Algorithm::Sha256.digest(bytes));
        let at = |digest: &Digest| TagGuard::PointsAt(digest.clone());
        for (guard, found, problem) in [
            (TagGuard::Absent, None, None),
            (TagGuard::Absent, Some(&a), Some(format!("the tag already exists and points at {a}"))),
            (at(&a), Some(&a), None),
            (at(&a), Some(&b), Some(format!("the tag to point at {a}, but it points at {b}"))),
            (at(&a), None, Some(format!("the tag to point at {a}, but it does not exist"))),
        ] {
            match (guard.check(found), problem) {
                (Ok(()), None) => {}
                (Err(error), Some(problem)) => {
                    assert_eq!(error.kind(), ErrorKind::Conflict);
                    assert!(error.to_string().contains(&problem), "{error}");
                }
                (result, problem) => panic!("{guard:?}: {result:?}, expected {problem:?}"),
            }
        }
    }
}
