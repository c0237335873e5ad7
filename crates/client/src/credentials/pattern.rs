//! Patterns of registry addresses.

use std::fmt;

use longshore_core::{ParseError, RegistryName};
use regex_lite::Regex;

/// A pattern of registry addresses, `host[:port]`.
///
/// The pattern must match the whole address, in lower case. Docker Hub's address is `docker.io`.
#[derive(Clone)]
pub struct RegistryPattern {
    shown: String,
    regex: Regex,
}

impl RegistryPattern {
    /// Parses a glob: `*` matches any characters, and `?` matches one character.
    ///
    /// `*.example.com` matches `a.example.com` and `a.b.example.com`, but not `example.com`. A glob
    /// without a port matches any port.
    ///
    /// # Errors
    /// [`ParseError`] if the glob is empty or longer than 1 KiB.
    pub fn glob(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Err(ParseError::new("pattern", text, "the pattern is empty"));
        }
        let mut pattern = String::new();
        for c in text.chars() {
            match c {
                '*' => pattern.push_str(".*"),
                '?' => pattern.push('.'),
                c => pattern.push_str(&regex_lite::escape(&c.to_lowercase().to_string())),
            }
        }
        let has_port = text.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
        let port = if has_port { "" } else { "(:[0-9]+)?" };
        Self::compile(text, &format!("^(?:{pattern}){port}$"))
    }

    /// Parses a regular expression. The expression must match the whole address, even without
    /// anchors.
    ///
    /// # Errors
    /// [`ParseError`] if the expression is malformed, is longer than 1 KiB, or would take too much
    /// memory.
    pub fn regex(text: &str) -> Result<Self, ParseError> {
        Self::compile(text, &format!("^(?:{text})$"))
    }

    /// Returns true if a registry matches the pattern.
    #[must_use]
    pub fn matches(&self, registry: &RegistryName) -> bool {
        self.regex.is_match(registry.as_str())
    }

    fn compile(text: &str, pattern: &str) -> Result<Self, ParseError> {
        if text.len() > LENGTH_LIMIT {
            return Err(ParseError::new("pattern", text, "the pattern is longer than 1 KiB"));
        }
        let regex = Regex::new(pattern)
            .map_err(|_| ParseError::new("pattern", text, "expected a regular expression"))?;
        Ok(Self { shown: text.to_owned(), regex })
    }
}

impl PartialEq for RegistryPattern {
    fn eq(&self, other: &Self) -> bool {
        self.regex.as_str() == other.regex.as_str()
    }
}

impl Eq for RegistryPattern {}

impl fmt::Display for RegistryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for RegistryPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistryPattern({})", self.shown)
    }
}

/// 1 KiB: a host has at most 253 characters.
const LENGTH_LIMIT: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_address() {
        let glob = |text| RegistryPattern::glob(text).unwrap();
        let regex = |text| RegistryPattern::regex(text).unwrap();
        for (pattern, registry, expected) in [
            (glob("*.example.com"), "a.example.com", true),
            (glob("*.example.com"), "a.b.example.com:5000", true),
            (glob("*.example.com"), "example.com", false),
            (glob("*.example.com"), "a.example.com.evil.example", false),
            (glob("*.example.com:5000"), "a.example.com:5000", true),
            (glob("*.example.com:5000"), "a.example.com:5001", false),
            (glob("A?.example"), "ab.example", true),
            (glob("a.example"), "axexample", false),
            (glob("[::1]"), "[::1]:5000", true),
            (regex(r"^.*\.io$"), "quay.io", true),
            (regex(r"^.*\.io$"), "quay.com", false),
            (regex(r"^.*\.io$"), "index.docker.io", true),
            (regex("quay"), "quay.io", false),
        ] {
            assert_eq!(
                pattern.matches(&registry.parse().unwrap()),
                expected,
                "{pattern} {registry}"
            );
        }
        assert!(RegistryPattern::regex("(").is_err());
        assert!(RegistryPattern::glob("").is_err());
        assert!(RegistryPattern::glob(&"a".repeat(2000)).is_err());
    }
}
