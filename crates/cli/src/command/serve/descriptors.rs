//! Divides file descriptors between connections and blobs.

use std::num::NonZeroUsize;

use longshore_registry::RegistryLimits;

/// Raises the limit on open files as far as the system allows, and divides it between connections
/// and blobs.
pub(super) fn share(limits: &mut RegistryLimits) {
    if let Some(descriptors) = raise() {
        (limits.connections, limits.open_files) =
            shared(descriptors, limits.connections, limits.open_files);
    }
}

/// Returns the limits for connections and blobs: each is half of the descriptors after a reserve,
/// but at most the given limit.
fn shared(
    descriptors: u64,
    connections: NonZeroUsize,
    files: NonZeroUsize,
) -> (NonZeroUsize, NonZeroUsize) {
    let half = descriptors.saturating_sub(RESERVE.min(descriptors / 2)) / 2;
    let half = usize::try_from(half).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MIN);
    (half.min(connections), half.min(files))
}

/// Raises the soft limit, usually 1,024, to the hard limit, which is usually far higher.
#[cfg(unix)]
fn raise() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // If this fails, the server accepts fewer simultaneous connections.
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
fn raise() -> Option<u64> {
    None
}

/// 128: for files that stay open, and for manifests, tags and finished uploads, which are open only
/// briefly.
const RESERVE: u64 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_divided_after_a_reserve() {
        let wanted = NonZeroUsize::new(4_096).unwrap();
        for (descriptors, half) in [(0, 1), (10, 2), (256, 64), (1_024, 448), (1 << 20, 4_096)] {
            let half = NonZeroUsize::new(half).unwrap();
            assert_eq!(shared(descriptors, wanted, wanted), (half, half), "{descriptors}");
        }
    }
}
