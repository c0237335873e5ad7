//! Defaults for the missing parts of short names, read once from the environment.

use std::sync::LazyLock;

use longshore::{Defaults, Location, ParseError, Reference, Repository, Tag};

/// Parses a reference from the command line.
pub(crate) fn reference(text: &str) -> Result<Reference, ParseError> {
    defaults()?.parse(text)
}

/// Parses a repository from the command line.
pub(crate) fn repository(text: &str) -> Result<Repository, ParseError> {
    defaults()?.repository(text)
}

/// Parses a location from the command line.
pub(crate) fn location(text: &str) -> Result<Location, ParseError> {
    Location::parse_with(text, defaults()?)
}

/// Returns the default tag, for references without tag or digest.
pub(crate) fn tag() -> Tag {
    // If the environment is invalid, the parsing of any name fails, so `latest` is then never used.
    defaults().map_or_else(|_| Tag::latest(), |defaults| defaults.tag.clone())
}

fn defaults() -> Result<&'static Defaults, ParseError> {
    DEFAULTS.as_ref().map_err(Clone::clone)
}

static DEFAULTS: LazyLock<Result<Defaults, ParseError>> = LazyLock::new(Defaults::from_environment);
