use std::fmt;
use std::sync::Arc;

use longshore_core::Result;

use crate::random;

/// The id of an upload: 32 random hex digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Arc<str>);

impl UploadId {
    /// Creates a new id from the operating system's random source.
    ///
    /// # Errors
    /// [`Io`](longshore_core::ErrorKind::Io) if the random source fails.
    pub fn random() -> Result<Self> {
        Ok(Self(random::hex()?.into()))
    }

    /// Parses an id. Returns `None` if the text is not an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (hex && text.len() == 32).then(|| Self(text.into()))
    }

    /// Returns the id as text, which is a safe file name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_other_texts_are_not_parsed() {
        let (one, other) = (UploadId::random().unwrap(), UploadId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(UploadId::parse(one.as_str()), Some(one));
        for bad in ["", "../../../../../../../../etc/pass", &"A".repeat(32)] {
            assert_eq!(UploadId::parse(bad), None);
        }
    }
}
