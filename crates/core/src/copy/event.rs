use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::{Repository, Tag};

/// Something that happened in a copy.
///
/// Serialised, it is one JSON object with its name in `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CopyEvent {
    /// A blob is part of what is copied. Comes before anything that happens to it.
    Found {
        /// The blob.
        blob: Descriptor,
    },
    /// An index lists this blob where it should list manifests, as BuildKit's cache does. It is copied
    /// as a blob: [`Found`](Self::Found) and the rest follow.
    ListedBlob {
        /// The blob, with the media type that the index states.
        blob: Descriptor,
    },
    /// The target holds the blob already.
    Skipped {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The blob may not be redistributed, and was left out.
    LeftOut {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The target took the blob over from another repository of its registry.
    Mounted {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// Where from, `registry/name`.
        #[serde(serialize_with = "as_text")]
        from: Repository,
    },
    /// More of a blob was read from the source.
    Progress {
        /// The blob.
        digest: Digest,
        /// How many bytes more.
        bytes: u64,
    },
    /// A blob was sent, and the target holds it now.
    Sent {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The target holds a manifest and all that hangs below it now.
    Manifest {
        /// The manifest.
        manifest: Descriptor,
        /// Whether the target held it before.
        held: bool,
    },
    /// A tag of the target points at the copy now.
    Tagged {
        /// The tag.
        tag: Tag,
        /// What it points at.
        digest: Digest,
    },
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopySummary {
    /// What was copied: the root manifest.
    pub root: Descriptor,
    /// The tag that points at it now, if one was asked for.
    pub tag: Option<Tag>,
    /// The layers that were left out, because they may not be redistributed.
    pub left_out: Vec<Digest>,
    /// What this copy found and did; things shared with other copies of the same copier count once.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What became of one tag of several that were copied.
#[derive(Debug)]
#[non_exhaustive]
pub struct TagOutcome {
    /// The tag, at both ends.
    pub tag: Tag,
    /// What the copy did, or the error that ended it. A tag that failed was not moved.
    pub result: Result<CopySummary, Error>,
}

/// Counts of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Manifests that were sent.
    pub manifests_sent: u64,
    /// Manifests that the target held.
    pub manifests_held: u64,
    /// Blobs that were sent.
    pub blobs_sent: u64,
    /// Blobs that were mounted.
    pub blobs_mounted: u64,
    /// Blobs that the target held.
    pub blobs_held: u64,
    /// Blobs that were left out, because they may not be redistributed.
    pub blobs_left_out: u64,
    /// The bytes of the blobs that were sent.
    pub bytes_sent: u64,
}

fn as_text<S: serde::Serializer>(value: &Repository, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
