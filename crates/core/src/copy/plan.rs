//! What to do with a piece of content: pure, over values.

use crate::descriptor::Descriptor;
use crate::reference::Repository;
use crate::store::Holding;

/// The first thing to try with a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it is where it should be, or should not be copied.
    Skip,
    /// Ask the target's registry to take it over from this repository. If it declines, send it.
    Mount(Repository),
    /// Look whether the target holds it; if not, send it.
    LookThenSend,
}

/// Decides about a blob.
///
/// A mount comes before a look: where it works, the one request does for both.
pub(super) fn blob_step(
    blob: &Descriptor,
    nondistributable: bool,
    source: Option<&Repository>,
    target: Option<&Repository>,
) -> Step {
    match (source, target) {
        _ if blob.media_type.is_nondistributable() && !nondistributable => Step::Skip,
        (Some(source), Some(target)) if source == target => Step::Skip,
        (Some(source), Some(target)) if source.registry() == target.registry() => {
            Step::Mount(source.clone())
        }
        _ => Step::LookThenSend,
    }
}

/// What to do below a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// Nothing below it needs looking at, nor does it need sending.
    Stop,
    /// Deal with what hangs below it, then send it.
    Descend,
}

/// Decides whether to look below a manifest.
pub(super) fn walk(holding: Holding, recheck: bool) -> Walk {
    match holding {
        Holding::Complete if !recheck => Walk::Stop,
        // A store that has the manifest `Alone` may list it too: sending it again settles that.
        Holding::Complete | Holding::Alone | Holding::Absent => Walk::Descend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    #[test]
    fn a_blob_is_skipped_mounted_or_sent() {
        let blob = Descriptor::of(MediaType::OCI_LAYER_GZIP, b"a");
        let foreign = MediaType::parse("application/vnd.oci.image.layer.nondistributable.v1.tar");
        let foreign = Descriptor::of(foreign.unwrap(), b"a");
        let [a, b, other]: [Repository; 3] =
            ["r.example/a", "r.example/b", "s.example/a"].map(|r| r.parse().unwrap());
        for (blob, nondistributable, source, target, step) in [
            (&blob, false, None, None, Step::LookThenSend),
            (&blob, false, Some(&a), None, Step::LookThenSend),
            (&blob, false, None, Some(&b), Step::LookThenSend),
            (&blob, false, Some(&a), Some(&b), Step::Mount(a.clone())),
            (&blob, false, Some(&a), Some(&a), Step::Skip),
            (&blob, false, Some(&other), Some(&a), Step::LookThenSend),
            (&foreign, false, None, None, Step::Skip),
            (&foreign, true, None, None, Step::LookThenSend),
        ] {
            assert_eq!(blob_step(blob, nondistributable, source, target), step);
        }
    }

    #[test]
    fn only_a_complete_manifest_ends_the_walk() {
        for (holding, recheck, decided) in [
            (Holding::Absent, false, Walk::Descend),
            (Holding::Alone, false, Walk::Descend),
            (Holding::Complete, false, Walk::Stop),
            (Holding::Complete, true, Walk::Descend),
        ] {
            assert_eq!(walk(holding, recheck), decided);
        }
    }
}
