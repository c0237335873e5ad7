//! The digest that a registry states of what it sent or stored, held against the right one.

use longshore_core::{Digest, Result};

use crate::reply::Reply;

/// What a reply's `Docker-Content-Digest` says, if it can be read.
pub(super) fn stated_digest(reply: &Reply) -> Option<Digest> {
    reply.header(DOCKER_CONTENT_DIGEST)?.parse().ok()
}

/// Holds one digest against another that it should be; of another algorithm, it says nothing.
///
/// Source: distribution-spec v1.1.1, "Pulling manifests": the client SHOULD verify it.
pub(super) fn agree(expected: &Digest, found: &Digest) -> Result<()> {
    match expected.algorithm_name() == found.algorithm_name() {
        true => expected.check(found),
        false => Ok(()),
    }
}

const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";
