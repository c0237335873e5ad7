use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;
use crate::digest::Digest;
use crate::error::Error;
use crate::media_type::MediaType;
use crate::reference::{Repository, Tag};
use crate::tag_guard::GuardMethod;

/// An event in a copy.
///
/// An event serializes to a JSON object whose field `event` is the name of the event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CopyEvent {
    /// A manifest of the copied content lists the blob. The first event of this kind precedes all
    /// other events of the blob except [`ListedBlob`](Self::ListedBlob). The event occurs again for
    /// each further manifest that lists the blob.
    Found {
        /// The blob.
        blob: Descriptor,
    },
    /// An index lists this blob as a manifest, as the cache of BuildKit does.
    /// [`Found`](Self::Found) follows.
    ListedBlob {
        /// The blob, with the media type that the index states.
        blob: Descriptor,
    },
    /// The target was found to hold the blob.
    Skipped {
        /// The digest of the blob.
        digest: Digest,
        /// The size of the blob in bytes.
        size: u64,
    },
    /// The blob may not be redistributed and was left out.
    LeftOut {
        /// The digest of the blob.
        digest: Digest,
        /// The size of the blob in bytes.
        size: u64,
    },
    /// The target's registry mounted the blob from another repository.
    Mounted {
        /// The digest of the blob.
        digest: Digest,
        /// The size of the blob in bytes.
        size: u64,
        /// The repository from which the blob was mounted, as `registry/name`.
        #[serde(serialize_with = "as_text")]
        from: Repository,
    },
    /// A chunk of a blob was read from the source.
    Progress {
        /// The digest of the blob.
        digest: Digest,
        /// The size of the chunk in bytes.
        bytes: u64,
        /// The position in the blob after the chunk, in bytes. It is larger than the sum of all
        /// chunks if the copy continues an interrupted one, and smaller if a part is read again.
        done: u64,
    },
    /// A blob was sent to the target.
    Sent {
        /// The digest of the blob.
        digest: Digest,
        /// The size of the blob in bytes.
        size: u64,
    },
    /// The target now holds a manifest and everything below it, except blobs that were left out.
    Manifest {
        /// The manifest.
        manifest: Descriptor,
        /// True if the target was found to hold the manifest.
        held: bool,
    },
    /// A tag of the target now points at the copy.
    Tagged {
        /// The tag.
        tag: Tag,
        /// The digest of the manifest that the tag points at.
        digest: Digest,
    },
}

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopySummary {
    /// The root manifest that was copied.
    pub root: Descriptor,
    /// The tag that now points at the root manifest, if a tag was requested.
    pub tag: Option<Tag>,
    /// How the [guard](crate::CopyOptions::guard) protected the tag when it was set. `None` without a
    /// guard, and if the tag did not have to be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardMethod>,
    /// The layers that were left out because they may not be redistributed. A layer that several
    /// copies of the same copier share is listed by only one of them.
    pub left_out: Vec<Digest>,
    /// The index from which [platforms](super::CopyOptions::platforms) were selected, if the copy
    /// has another digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_from: Option<Digest>,
    /// The referrers and digest tags that were found but not copied. Content that is attached to a
    /// manifest of several copies of the same copier is listed by only one of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
    /// The counts of this copy. Content below the root that several copies of the same copier share
    /// is counted by only one of them.
    #[serde(flatten)]
    pub stats: CopyStats,
}

/// A referrer, digest tag or attestation that was found but not copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeftBehind {
    /// The digest of the manifest to which the content belongs.
    pub subject: Digest,
    /// The digest of the content, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The artifact type of a referrer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The digest tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The reason.
    pub reason: LeftBehindReason,
}

/// The reason why content was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LeftBehindReason {
    /// It is not of one of the selected [types](super::ReferrerSelection::OfTypes).
    OtherType,
    /// The target cannot hold artifacts, or resolves the tag of an index of referrers to the subject.
    Unsupported,
    /// It belongs to the index from which platforms were selected, and the copy is another
    /// manifest.
    OtherManifest,
    /// The target's manifest under the digest tag has content that the source's manifest lacks, or
    /// the two cannot be compared.
    TargetDiffers,
    /// The source refused to list the referrers or the digest tags of the subject.
    NotListed,
    /// The source lists it but does not return it.
    Missing,
}

impl LeftBehind {
    pub(super) fn referrer(
        subject: &Digest,
        referrer: &Descriptor,
        reason: LeftBehindReason,
    ) -> Self {
        Self {
            digest: Some(referrer.digest.clone()),
            artifact_type: referrer.artifact_type.clone(),
            ..Self::unlisted(subject, reason)
        }
    }

    pub(super) fn tag(subject: &Digest, tag: Tag, reason: LeftBehindReason) -> Self {
        Self { tag: Some(tag), ..Self::unlisted(subject, reason) }
    }

    /// Stands for everything that is attached to the subject.
    pub(super) fn unlisted(subject: &Digest, reason: LeftBehindReason) -> Self {
        Self { subject: subject.clone(), digest: None, artifact_type: None, tag: None, reason }
    }
}

/// The outcome of the copy of one of several tags.
#[derive(Debug)]
#[non_exhaustive]
pub struct TagOutcome {
    /// The tag, at both the source and the target.
    pub tag: Tag,
    /// The summary of the copy, or the error that ended it. After an error, the tag is unchanged,
    /// unless the reply to the request that sets the tag was lost.
    pub result: Result<CopySummary, Error>,
}

/// The counts of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CopyStats {
    /// Manifests that were sent.
    pub manifests_sent: u64,
    /// Manifests that the target was found to hold.
    pub manifests_held: u64,
    /// Blobs that were sent.
    pub blobs_sent: u64,
    /// Blobs that were mounted.
    pub blobs_mounted: u64,
    /// Blobs that the target was found to hold.
    pub blobs_held: u64,
    /// Blobs that were left out because they may not be redistributed.
    pub blobs_left_out: u64,
    /// The bytes of these blobs that this copy sent. Bytes that were sent again after a failure
    /// count once.
    pub bytes_sent: u64,
    /// The bytes of these blobs that the target already had from interrupted copies.
    pub bytes_resumed: u64,
    /// The bytes of the blobs that were mounted.
    pub bytes_mounted: u64,
    /// The bytes of the blobs that the target was found to hold.
    pub bytes_held: u64,
}

fn as_text<S: serde::Serializer>(value: &Repository, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
