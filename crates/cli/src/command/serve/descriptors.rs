//! How many files the process may have open, and what for.

use std::num::NonZeroUsize;

use longshore_registry::Limits;

/// Lets the process open as many files as the system grants, and shares them among connections and
/// blobs.
pub(super) fn share(limits: &mut Limits) {
    if let Some(descriptors) = raise() {
        (limits.connections, limits.open_files) =
            shared(descriptors, limits.connections, limits.open_files);
    }
}

/// Half of them each, at most as many as there were to be; a reserve is left.
fn shared(
    descriptors: u64,
    connections: NonZeroUsize,
    files: NonZeroUsize,
) -> (NonZeroUsize, NonZeroUsize) {
    let half = descriptors.saturating_sub(RESERVE.min(descriptors / 2)) / 2;
    let half = usize::try_from(half).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    (half.min(connections), half.min(files))
}

/// The usual soft limit, 1,024, is far below the hard one.
#[cfg(unix)]
fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused, it serves fewer connections at once.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}

/// 128: for what is open all the time, and for manifests, tags and finished uploads, which are open for
/// a moment.
const RESERVE: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_shared_with_a_reserve() {
        let wanted = NonZeroUsize::new(4_096).unwrap();
        for (descriptors, half) in [(0, 1), (10, 2), (256, 64), (1_024, 448), (1 << 20, 4_096)] {
            let half = NonZeroUsize::new(half).unwrap();
            assert_eq!(shared(descriptors, wanted, wanted), (half, half), "{descriptors}");
        }
    }
}
