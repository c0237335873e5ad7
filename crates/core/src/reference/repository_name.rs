use std::sync::Arc;

use crate::error::{ParseError, Result, parsed_text};

/// A repository's name within its registry, such as `library/nginx`.
///
/// A name is safe as a relative path, because no part is `.` or `..`. No part starts with `_`, so a
/// store can use such names for its own files.
///
/// Source: distribution-spec v1.1.1, "Pulling manifests".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(Arc<str>);

impl RepositoryName {
    /// Parses a repository name.
    ///
    /// # Errors
    /// [`ParseError`] with the position and the reason.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("repository name", text, reason);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("longer than 255 characters"));
        }
        let mut start = 0;
        for component in text.split('/') {
            check_component(component).map_err(|(at, reason)| bad(reason).at(start + at))?;
            start += component.len() + 1;
        }
        Ok(Self(text.into()))
    }

    /// Returns `library`, the namespace of Docker Hub's official images.
    #[must_use]
    pub(super) fn official() -> Self {
        Self("library".into())
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the parts between the slashes. There is at least one part.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Returns the text before the last slash, if there is a slash.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(namespace, _)| namespace)
    }

    /// Returns true if the name is in this namespace, or in a namespace below it.
    #[must_use]
    pub fn is_below(&self, namespace: &str) -> bool {
        self.0.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the last part, which is never empty.
    #[must_use]
    pub fn image(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, image)| image)
    }
}

/// Checks that a part matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`. The error contains the offset at
/// which the match ends.
fn check_component(component: &str) -> Result<(), (usize, &'static str)> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    if bytes.is_empty() {
        return Err((0, "an empty part between slashes"));
    }
    let mut at = 0;
    while at < bytes.len() {
        let run = bytes[at..].iter().take_while(|b| alphanumeric(**b)).count();
        if run == 0 {
            return Err((at, wrong_character(bytes[at])));
        }
        at += run;
        let separator: &[u8] = {
            let length = bytes[at..].iter().take_while(|b| matches!(b, b'.' | b'_' | b'-')).count();
            &bytes[at..at + length]
        };
        let allowed =
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-');
        if !allowed {
            return Err((at, "parts are joined by one '.', one or two '_', or any number of '-'"));
        }
        at += separator.len();
        if at == bytes.len() && !separator.is_empty() {
            return Err((at - 1, "a part ends with a letter or digit"));
        }
        if at < bytes.len() && separator.is_empty() {
            return Err((at, wrong_character(bytes[at])));
        }
    }
    Ok(())
}

fn wrong_character(byte: u8) -> &'static str {
    match byte {
        b'A'..=b'Z' => "repository names are lower-case",
        b'.' | b'_' | b'-' => "a part starts with a letter or digit",
        _ => "only a-z, 0-9, '.', '_', '-' and '/' are allowed",
    }
}

parsed_text!(RepositoryName, serde);

/// 255 characters: the limit of distribution-based registries.
const MAX_LENGTH: usize = 255;
