//! What short names leave out on this machine: the environment says, and is read once.

use std::sync::LazyLock;

use longshore::{Defaults, ManifestReference, ParseError, Reference, Repository};

/// Reads a reference as a user types it.
pub(crate) fn reference(text: &str) -> Result<Reference, ParseError> {
    let defaults = DEFAULTS.as_ref().map_err(Clone::clone)?;
    defaults.parse(text)
}

/// Reads a repository as a user types it.
pub(crate) fn repository(text: &str) -> Result<Repository, ParseError> {
    let defaults = DEFAULTS.as_ref().map_err(Clone::clone)?;
    defaults.repository(text)
}

/// A reference to a manifest: this one, with the default tag if it has neither tag nor digest.
pub(crate) fn tagged(reference: Reference) -> ManifestReference {
    match &*DEFAULTS {
        Ok(defaults) => defaults.tagged(reference),
        // Nothing was read by them, then.
        Err(_) => reference.or_latest(),
    }
}

static DEFAULTS: LazyLock<Result<Defaults, ParseError>> = LazyLock::new(Defaults::from_environment);
