use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::escaped_text::EscapedText;

/// One entry of the error document that registries send.
///
/// Source: distribution-spec v1.1.1, "Error Codes".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryError {
    /// The registry's code, kept even if unknown.
    pub code: ErrorCode,
    /// The registry's message, which may be empty.
    #[serde(default)]
    pub message: String,
    /// Any other details that the registry sent.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", EscapedText(self.code.as_str()).at_most(64))?;
        if !self.message.is_empty() {
            write!(f, ": {}", EscapedText(&self.message).at_most(256))?;
        }
        Ok(())
    }
}

/// A registry's error code. Unknown codes are kept, because the set of codes is open.
///
/// Source: distribution-spec v1.1.1, "Error Codes".
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(Cow<'static, str>);

impl ErrorCode {
    /// Blob unknown to registry.
    pub const BLOB_UNKNOWN: Self = Self(Cow::Borrowed("BLOB_UNKNOWN"));
    /// Blob upload invalid.
    pub const BLOB_UPLOAD_INVALID: Self = Self(Cow::Borrowed("BLOB_UPLOAD_INVALID"));
    /// Blob upload unknown to registry.
    pub const BLOB_UPLOAD_UNKNOWN: Self = Self(Cow::Borrowed("BLOB_UPLOAD_UNKNOWN"));
    /// Requested access to the resource is denied.
    pub const DENIED: Self = Self(Cow::Borrowed("DENIED"));
    /// Provided digest did not match uploaded content.
    pub const DIGEST_INVALID: Self = Self(Cow::Borrowed("DIGEST_INVALID"));
    /// Manifest references a manifest or blob unknown to registry.
    pub const MANIFEST_BLOB_UNKNOWN: Self = Self(Cow::Borrowed("MANIFEST_BLOB_UNKNOWN"));
    /// Manifest invalid.
    pub const MANIFEST_INVALID: Self = Self(Cow::Borrowed("MANIFEST_INVALID"));
    /// Manifest unknown to registry.
    pub const MANIFEST_UNKNOWN: Self = Self(Cow::Borrowed("MANIFEST_UNKNOWN"));
    /// The manifest's signatures are invalid (schema 1).
    pub const MANIFEST_UNVERIFIED: Self = Self(Cow::Borrowed("MANIFEST_UNVERIFIED"));
    /// Invalid repository name.
    pub const NAME_INVALID: Self = Self(Cow::Borrowed("NAME_INVALID"));
    /// Repository name not known to registry.
    pub const NAME_UNKNOWN: Self = Self(Cow::Borrowed("NAME_UNKNOWN"));
    /// The requested page size is not a number, or out of range.
    pub const PAGINATION_NUMBER_INVALID: Self = Self(Cow::Borrowed("PAGINATION_NUMBER_INVALID"));
    /// Provided length did not match content length.
    pub const SIZE_INVALID: Self = Self(Cow::Borrowed("SIZE_INVALID"));
    /// Tag name invalid.
    pub const TAG_INVALID: Self = Self(Cow::Borrowed("TAG_INVALID"));
    /// Too many requests.
    pub const TOOMANYREQUESTS: Self = Self(Cow::Borrowed("TOOMANYREQUESTS"));
    /// Authentication required.
    pub const UNAUTHORIZED: Self = Self(Cow::Borrowed("UNAUTHORIZED"));
    /// An error for which the registry has no code.
    pub const UNKNOWN: Self = Self(Cow::Borrowed("UNKNOWN"));
    /// The operation is unsupported.
    pub const UNSUPPORTED: Self = Self(Cow::Borrowed("UNSUPPORTED"));

    /// Creates a code from the text that a registry sent. Unknown codes are allowed.
    #[must_use]
    pub fn new(code: impl Into<String>) -> Self {
        Self(Cow::Owned(code.into()))
    }

    /// Returns the code as the registry sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_is_kept() {
        let e: RegistryError = serde_json::from_str(r#"{"code":"QUOTA"}"#).unwrap();
        assert_eq!(e.code.as_str(), "QUOTA");
    }
}
