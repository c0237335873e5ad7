//! What a client calls itself.

use std::str::FromStr;

use http::HeaderValue;
use longshore_core::ParseError;

/// What a client calls itself: the `User-Agent` header of its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAgent(HeaderValue);

impl UserAgent {
    /// Reads the value of the header, such as `tool/1.0 (+https://tool.example)`.
    ///
    /// # Errors
    /// [`ParseError`] if it is empty, or not all printable ASCII.
    ///
    /// Source: RFC 9110, section 10.1.5.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        match HeaderValue::from_str(text) {
            Ok(value) if printable && !text.trim().is_empty() => Ok(Self(value)),
            _ => Err(ParseError::new("user agent", text, "expected printable ASCII characters")),
        }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// `longshore/` and its version.
impl Default for UserAgent {
    fn default() -> Self {
        Self(HeaderValue::from_static(concat!("longshore/", env!("CARGO_PKG_VERSION"))))
    }
}

impl FromStr for UserAgent {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
