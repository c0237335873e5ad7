//! The decisions of a copy, as pure functions.

use crate::descriptor::Descriptor;
use crate::error::ErrorKind;
use crate::reference::Repository;
use crate::store::Presence;

/// The first step to try with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Do nothing, because the target holds the blob.
    Skip,
    /// Do nothing, because the blob may not be redistributed.
    LeaveOut,
    /// Push the blob. The target first tries to mount it, which needs only one request.
    Push,
    /// Push the blob unless the target holds it. A registry may send a small blob again.
    Ensure,
}

/// Decides how to treat a blob.
pub(super) fn blob_step(
    blob: &Descriptor,
    nondistributable: bool,
    source: Option<&Repository>,
    target: Option<&Repository>,
) -> Step {
    match (source, target) {
        _ if blob.media_type.is_nondistributable() && !nondistributable => Step::LeaveOut,
        (Some(source), Some(target)) if source == target => Step::Skip,
        (Some(source), Some(target)) if source.registry() == target.registry() => Step::Push,
        _ => Step::Ensure,
    }
}

/// The work to do below a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Do nothing, because the target holds the manifest and everything below it.
    Stop,
    /// Check only the layers that may not be redistributed, because registries accept manifests
    /// without them. The manifest itself need not be sent.
    Foreign,
    /// Copy the children of the manifest, then send the manifest.
    Descend,
}

/// Decides whether to descend below a manifest.
pub(super) fn walk(holding: Presence, recheck: bool, nondistributable: bool) -> Walk {
    match holding {
        Presence::Complete if !recheck && nondistributable => Walk::Foreign,
        Presence::Complete if !recheck => Walk::Stop,
        // The target may hold the manifest without listing it. Sending the manifest again ensures
        // that it is listed.
        Presence::Complete | Presence::Partial | Presence::Absent => Walk::Descend,
    }
}

/// The progress of a copy of several tags. Decides whether the next tag is worth trying.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The number of consecutive tags for which a registry could not be reached or limited the rate
    /// of requests.
    unreached: usize,
    /// True if a failure affects all other tags too.
    pub(super) is_over: bool,
}

impl Series {
    /// Adds the outcome of a copy: the kind of its error, if it failed.
    pub(super) fn add(&mut self, failed: Option<ErrorKind>) {
        let is_unreached = matches!(
            failed,
            Some(ErrorKind::Transport | ErrorKind::Timeout | ErrorKind::RateLimited)
        );
        self.unreached = if is_unreached { self.unreached + 1 } else { 0 };
        self.is_over |=
            failed == Some(ErrorKind::Unauthorized) || self.unreached >= UNREACHED_IN_A_ROW;
    }
}

/// 3: a single tag may fail because of a broken connection. Each request was already tried several
/// times, with waits in between.
const UNREACHED_IN_A_ROW: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    #[test]
    fn the_step_for_a_blob_depends_on_its_media_type_and_both_repositories() {
        let blob = Descriptor::from_bytes(MediaType::OCI_LAYER_GZIP, b"a");
        let foreign = MediaType::parse("application/vnd.oci.image.layer.nondistributable.v1.tar");
        let foreign = Descriptor::from_bytes(foreign.unwrap(), b"a");
        let [a, b, other]: [Repository; 3] =
            ["r.example/a", "r.example/b", "s.example/a"].map(|r| r.parse().unwrap());
        for (blob, nondistributable, source, target, step) in [
            (&blob, false, None, None, Step::Ensure),
            (&blob, false, Some(&a), None, Step::Ensure),
            (&blob, false, None, Some(&b), Step::Ensure),
            (&blob, false, Some(&a), Some(&b), Step::Push),
            (&blob, false, Some(&a), Some(&a), Step::Skip),
            (&blob, false, Some(&other), Some(&a), Step::Ensure),
            (&foreign, false, None, None, Step::LeaveOut),
            (&foreign, false, Some(&a), Some(&a), Step::LeaveOut),
            (&foreign, true, None, None, Step::Ensure),
        ] {
            assert_eq!(blob_step(blob, nondistributable, source, target), step);
        }
    }

    #[test]
    fn only_a_complete_manifest_ends_the_walk() {
        for (holding, recheck, nondistributable, decided) in [
            (Presence::Absent, false, false, Walk::Descend),
            (Presence::Partial, false, true, Walk::Descend),
            (Presence::Complete, false, false, Walk::Stop),
            (Presence::Complete, false, true, Walk::Foreign),
            (Presence::Complete, true, true, Walk::Descend),
            (Presence::Complete, true, false, Walk::Descend),
        ] {
            assert_eq!(walk(holding, recheck, nondistributable), decided);
        }
    }

    #[test]
    fn tags_are_tried_until_a_failure_affects_all_of_them() {
        use ErrorKind::{Denied, NotFound, Timeout, Transport, Unauthorized};
        let cases: [(&[Option<ErrorKind>], bool); 7] = [
            (&[], false),
            (&[Some(NotFound); 9], false),
            // A registry may protect a single tag.
            (&[Some(Denied); 9], false),
            (&[None, Some(Unauthorized)], true),
            (&[Some(Transport), Some(Timeout)], false),
            (&[Some(Transport), Some(Timeout), None, Some(Transport)], false),
            (&[Some(Transport), Some(Timeout), Some(Transport), None], true),
        ];
        for (results, is_over) in cases {
            let mut series = Series::default();
            results.iter().for_each(|failed| series.add(*failed));
            assert_eq!(series.is_over, is_over, "{results:?}");
        }
    }
}
