//! What short names leave out on this machine: the environment says, and is read once.

use std::sync::LazyLock;

use longshore::{Defaults, Location, ParseError, Reference, Repository, Tag};

/// Reads a reference as a user types it.
pub(crate) fn reference(text: &str) -> Result<Reference, ParseError> {
    defaults()?.parse(text)
}

/// Reads a repository as a user types it.
pub(crate) fn repository(text: &str) -> Result<Repository, ParseError> {
    defaults()?.repository(text)
}

/// Reads a location as a user types it.
pub(crate) fn location(text: &str) -> Result<Location, ParseError> {
    Location::parse_with(text, defaults()?)
}

/// The tag of an image at a registry that has neither tag nor digest.
pub(crate) fn tag() -> Tag {
    // Where the environment is wrong, no name could be read.
    defaults().map_or_else(|_| Tag::latest(), |defaults| defaults.tag.clone())
}

fn defaults() -> Result<&'static Defaults, ParseError> {
    DEFAULTS.as_ref().map_err(Clone::clone)
}

static DEFAULTS: LazyLock<Result<Defaults, ParseError>> = LazyLock::new(Defaults::from_environment);
