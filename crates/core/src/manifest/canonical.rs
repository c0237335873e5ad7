//! Writes documents, such as edited manifests, in a canonical form.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{RawManifest, invalid};
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;

/// Writes a document in canonical form: keys ordered by code points, no white space, and only the
/// necessary escapes.
///
/// ```
/// let text = longshore_core::canonical_json(&serde_json::json!({ "b": 1, "a": "é" }))?;
/// assert_eq!(text, r#"{"a":"é","b":1}"#);
/// # Ok::<(), longshore_core::Error>(())
/// ```
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) for a value that has no JSON form, such as a map with keys that
/// are not strings.
pub fn canonical_json(document: &impl Serialize) -> Result<Bytes> {
    let bad = |e| Error::new(ErrorKind::Invalid).detail("not a JSON document").with_source(e);
    let value = serde_json::to_value(document).map_err(bad)?;
    serde_json::to_vec(&sorted(value)).map(Bytes::from).map_err(bad)
}

/// Sorts the keys of all objects. `serde_json` keeps the keys unsorted if any crate enables its
/// feature `preserve_order`.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

impl RawManifest {
    /// Creates a manifest from a document in the form of [`canonical_json`].
    ///
    /// # Errors
    /// Same as [`canonical_json`] and [`RawManifest::from_bytes`].
    pub fn from_document(document: &impl Serialize, media_type: Option<MediaType>) -> Result<Self> {
        Self::from_bytes(canonical_json(document)?, media_type)
    }

    /// Creates a new manifest by applying `edit` to the document of this manifest. The new manifest
    /// is in canonical form and has the digest of its own bytes. This manifest does not change.
    ///
    /// ```
    /// # use longshore_core::RawManifest;
    /// let manifest = RawManifest::from_bytes(r#"{ "schemaVersion": 2, "manifests": [] }"#.into(), None)?;
    /// let edited = manifest.edited(|document| {
    ///     document["annotations"] = serde_json::json!({ "vendor": "example" });
    /// })?;
    /// assert_eq!(
    ///     edited.bytes(),
    ///     r#"{"annotations":{"vendor":"example"},"manifests":[],"schemaVersion":2}"#
    /// );
    /// # Ok::<(), longshore_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if this manifest is not JSON, or if the edited document is
    /// not a manifest.
    pub fn edited(&self, edit: impl FnOnce(&mut Value)) -> Result<Self> {
        let mut document: Value =
            serde_json::from_slice(self.bytes()).map_err(|e| invalid(&e).at(self.digest()))?;
        edit(&mut document);
        let has_type = document.get("mediaType").is_some_and(|own| !own.is_null());
        let media_type = (!has_type).then(|| self.media_type().clone());
        Self::from_document(&document, media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_numbers_stay_the_same_when_they_are_written_again() {
        for number in ["184467440737095516164467440737095516157", "1.5e300", "0.1", "-0"] {
            let first = canonical_json(&serde_json::from_str::<Value>(number).unwrap()).unwrap();
            let read: Value = serde_json::from_slice(&first).unwrap();
            assert_eq!(canonical_json(&read).unwrap(), first, "{number}");
        }
    }
}
