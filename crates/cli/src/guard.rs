//! Conditions under which a command sets a tag.

use clap::Args;
use longshore::{Digest, GuardMethod, TagGuard};

/// The condition for setting a tag.
#[derive(Clone, Debug, Args)]
pub(crate) struct Guard {
    /// Set the tag only if it does not exist yet; otherwise, change nothing and exit with code 6.
    #[arg(long, conflicts_with = "if_digest")]
    if_absent: bool,

    /// Set the tag only if it points at this digest; otherwise, change nothing and exit with code 6.
    #[arg(long, value_name = "DIGEST")]
    if_digest: Option<Digest>,
}

impl Guard {
    /// Returns the condition, if there is one.
    pub(crate) fn condition(&self) -> Option<TagGuard> {
        match &self.if_digest {
            Some(digest) => Some(TagGuard::PointsAt(digest.clone())),
            None => self.if_absent.then_some(TagGuard::Absent),
        }
    }
}

/// Describes how a condition protected a tag.
pub(crate) fn described(method: GuardMethod) -> &'static str {
    match method {
        GuardMethod::Atomic => "condition checked and tag set in one step",
        _ => "condition checked before the tag was set, and tag checked afterwards",
    }
}
