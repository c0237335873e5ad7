use serde::Serialize;

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::reference::{Repository, Tag};

/// An event in a copy.
///
/// Serialized, it is a JSON object with the name of the event in `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CopyEvent {
    /// A blob belongs to the copied content. Precedes all other events of the blob.
    Found {
        /// The blob.
        blob: Descriptor,
    },
    /// An index lists this blob as if it were a manifest, as BuildKit's cache does. It is copied as
    /// a blob: [`Found`](Self::Found) and the other events follow.
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
    /// The blob may not be redistributed and was left out.
    LeftOut {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The target's registry mounted the blob from another repository.
    Mounted {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The repository it was mounted from, `registry/name`.
        #[serde(serialize_with = "as_text")]
        from: Repository,
    },
    /// More of a blob was read from the source.
    Progress {
        /// The blob.
        digest: Digest,
        /// The number of bytes since the last event.
        bytes: u64,
    },
    /// A blob was sent, and the target holds it now.
    Sent {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
    },
    /// The target now holds a manifest and everything below it.
    Manifest {
        /// The manifest.
        manifest: Descriptor,
        /// True if the target held it before.
        held: bool,
    },
    /// A tag of the target now points at the copy.
    Tagged {
        /// The tag.
        tag: Tag,
        /// The digest of the manifest it points at.
        digest: Digest,
    },
}

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopySummary {
    /// The root manifest that was copied.
    pub root: Descriptor,
    /// The tag that now points at it, if one was requested.
    pub tag: Option<Tag>,
    /// The layers that were left out because they may not be redistributed.
    pub left_out: Vec<Digest>,
    /// The counts of this copy. Content shared with other copies of the same copier counts once.
    #[serde(flatten)]
    pub stats: CopyStats,
}

/// The outcome of one of several tags that were copied.
#[derive(Debug)]
#[non_exhaustive]
pub struct TagOutcome {
    /// The tag, at both ends.
    pub tag: Tag,
    /// The summary of the copy, or the error that ended it. A tag that failed was not moved.
    pub result: Result<CopySummary, Error>,
}

/// The counts of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyStats {
    /// Manifests that were sent.
    pub manifests_sent: u64,
    /// Manifests that the target already held.
    pub manifests_held: u64,
    /// Blobs that were sent.
    pub blobs_sent: u64,
    /// Blobs that were mounted.
    pub blobs_mounted: u64,
    /// Blobs that the target already held.
    pub blobs_held: u64,
    /// Blobs that were left out because they may not be redistributed.
    pub blobs_left_out: u64,
    /// The bytes of the blobs that were sent.
    pub bytes_sent: u64,
}

fn as_text<S: serde::Serializer>(value: &Repository, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
