use std::borrow::Cow;
use std::fmt;

use crate::escaped_text::EscapedText;

/// An error for a string that cannot be parsed, with the reason and, if known, the position.
///
/// `Display` quotes the input with control characters made visible, so it is safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    noun: &'static str,
    input: String,
    reason: Cow<'static, str>,
    position: Option<usize>,
}

impl ParseError {
    /// Creates an error for an input that is not a valid `noun`, such as "tag". The `reason` is a
    /// clause.
    #[must_use]
    pub fn new(noun: &'static str, input: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { noun, input: Self::shown(input), reason: reason.into(), position: None }
    }

    /// Escapes and shortens an input for display. An input that may contain a password, as in
    /// `user:password@host`, is replaced with an ellipsis.
    #[must_use]
    pub fn shown(input: &str) -> String {
        if may_hold_password(input) {
            return "…".to_owned();
        }
        EscapedText(input).at_most(INPUT_SHOWN).to_string()
    }

    /// Adds the byte offset of the first error in the input.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// Returns the noun for the expected input, such as "tag" or "digest".
    #[must_use]
    pub fn noun(&self) -> &'static str {
        self.noun
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {} \"{}\": {}", self.noun, self.input, self.reason)?;
        match self.position {
            Some(position) => write!(f, " (at byte {position})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ParseError {}

/// Implements formatting and strict parsing for a type with the methods `parse` and `as_str`. With
/// `serde`, the type is also read and written as a string in documents.
macro_rules! parsed_text {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::error::ParseError;

            fn from_str(text: &str) -> Result<Self, $crate::error::ParseError> {
                Self::parse(text)
            }
        }
    };
    ($type:ty, serde) => {
        $crate::error::parsed_text!($type);

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use parsed_text;

/// Returns true if the text may contain `name:secret@`. In a reference, only a digest may follow
/// the `@`.
fn may_hold_password(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(before, after)| {
        before.contains(':') && !after.is_empty() && !begins_digest(after)
    })
}

/// Returns true if the text can be the beginning of a SHA digest, and false for a host such as
/// `shared.example`.
fn begins_digest(text: &str) -> bool {
    let algorithm = text.split(':').next().unwrap_or(text);
    algorithm.strip_prefix("sha").is_some_and(|bits| bits.bytes().all(|b| b.is_ascii_digit()))
}

/// 600: errors quote at most this many characters of the input. Almost all references are shorter.
const INPUT_SHOWN: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_that_may_contain_a_password_is_not_quoted() {
        for text in [
            "user:hunter2@host/a",
            "https://user:hunter2@host/a",
            "user:hunter2@host:5000",
            "user:hun/ter2@host/a",
            "user:hunter2@shared.example",
        ] {
            assert_eq!(ParseError::shown(text), "…", "{text}");
        }
        for text in ["nginx:v1@sha256:12", "host:5000/a@sha", "a@b", "repo:v1@"] {
            assert_eq!(ParseError::shown(text), text);
        }
    }
}
