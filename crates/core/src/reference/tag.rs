use std::sync::Arc;

use crate::error::{ParseError, Result, parsed_text};

/// A name for a manifest within a repository, such as `v1.2`.
///
/// Source: distribution-spec v1.1.1, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Parses a tag.
    ///
    /// # Errors
    /// [`ParseError`] with the reason and, for a character that is not allowed, its position.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("tag", text, reason);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("longer than 128 characters"));
        }
        if text.starts_with(['.', '-']) {
            return Err(bad("a tag starts with a letter, a digit or '_'").at(0));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match text.find(|c| !allowed(c)) {
            Some(at) => Err(bad("only letters, digits, '_', '.' and '-' are allowed").at(at)),
            None => Ok(Self(text.into())),
        }
    }

    /// Returns the tag `latest`, the usual default.
    #[must_use]
    pub fn latest() -> Self {
        Self("latest".into())
    }

    /// Returns the tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

parsed_text!(Tag, serde);

/// 128 characters: the limit of the grammar.
const MAX_LENGTH: usize = 128;
