use std::fmt;
use std::str::FromStr;

use longshore::ParseError;
use serde::{Deserialize, Deserializer, Serialize};

/// The identifier of an image at a v1 registry, usually 64 hex digits or a prefix of them.
///
/// The client that pushes an image chooses its identifier, which need not be a digest of the
/// content. Only letters and digits are allowed, so an identifier is safe in a path.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ImageId(String);

impl ImageId {
    /// Parses an identifier.
    ///
    /// # Errors
    /// [`ParseError`] if the text is empty, is longer than 64 characters, or contains other
    /// characters than ASCII letters and digits.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("image id", text, reason);
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > 64 {
            return Err(bad("it is longer than 64 characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(bad("only letters and digits are allowed"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_id_is_safe_in_a_path() {
        for good in ["a", "abc123", "9e89cc6f", &"f".repeat(64)] {
            assert_eq!(ImageId::parse(good).unwrap().to_string(), good);
        }
        for bad in ["", "..", "a/b", "a b", "a%2fb", "\u{e9}", &"f".repeat(65)] {
            assert!(ImageId::parse(bad).is_err(), "{bad}");
        }
    }
}
