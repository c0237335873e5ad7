//! Refuses manifests that readers could understand differently.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};

use super::{RawManifest, invalid};
use crate::error::{Error, ErrorKind, Result};

impl RawManifest {
    /// Refuses a document that two readers could understand differently.
    ///
    /// No object in the document may have a duplicate key, because some readers use the first value
    /// and others the last. Go readers ignore case, so keys that differ only in case count as
    /// duplicates, except in annotations. If a manifest of version 2 states `schemaVersion`, the
    /// value must be 2.
    ///
    /// The check applies to documents that are created or accepted. Documents that are only read
    /// are not checked.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), with the duplicate key or the wrong version.
    ///
    /// Source: RFC 8259, section 4; image-spec v1.1.1, "Image Manifest" and "Image Index".
    pub fn check_unambiguous(&self) -> Result<()> {
        self.check_keys()?;
        let shape = self.shape();
        let media_type = self.media_type();
        let is_version_2 = !media_type.is_schema1() && (shape.manifests || shape.layers);
        match shape.schema_version {
            Some(version) if is_version_2 && version != 2 => Err(Error::new(ErrorKind::Invalid)
                .at(self.digest())
                .detail(format!("schemaVersion is {version}, not 2, in a {media_type}"))),
            _ => Ok(()),
        }
    }

    /// Refuses duplicate keys.
    pub(super) fn check_keys(&self) -> Result<()> {
        let mut json = serde_json::Deserializer::from_slice(self.bytes());
        let read = Unambiguous { folds_case: true }.deserialize(&mut json);
        read.map_err(|e| invalid(&e).at(self.digest()))
    }
}

/// A JSON value that is parsed only to check that each key occurs once.
#[derive(Clone, Copy)]
struct Unambiguous {
    folds_case: bool,
}

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let folds_case = key != "annotations";
            let folded = if self.folds_case { key.to_lowercase() } else { key.clone() };
            if !keys.insert(folded) {
                return Err(serde::de::Error::custom(format_args!("duplicate key {key:?}")));
            }
            map.next_value_seed(Self { folds_case })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Self { folds_case: true })?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media_type::MediaType;

    fn check(json: &str, media_type: MediaType) -> Result<()> {
        let manifest = RawManifest::from_bytes(json.to_owned().into(), Some(media_type)).unwrap();
        manifest.check_unambiguous()
    }

    #[test]
    fn duplicate_keys_and_wrong_versions_are_refused() {
        let index = |rest: &str| format!(r#"{{"schemaVersion":2,"manifests":[]{rest}}}"#);
        for json in [
            index(""),
            index(r#","annotations":{"a":"1","A":"2"}"#),
            index(r#","x":[{"a":1},{"a":1},null,true,-1,1.5]"#),
            r#"{"manifests":[]}"#.to_owned(),
        ] {
            check(&json, MediaType::OCI_INDEX).unwrap();
        }
        for (json, wrong) in [
            (index(r#","x":1,"x":1"#), "duplicate key \"x\""),
            (index(r#","Manifests":[]"#), "duplicate key \"Manifests\""),
            (index(r#","annotations":{"a":"1","a":"2"}"#), "duplicate key \"a\""),
            (index(r#","annotations":{"a":"1","\u0061":"2"}"#), "duplicate key \"a\""),
            (index(r#","x":[{"y":{"size":1,"Size":2}}]"#), "duplicate key \"Size\""),
            (r#"{"schemaVersion":3,"manifests":[]}"#.to_owned(), "schemaVersion is 3, not 2"),
            (r#"{"schemaVersion":1,"manifests":[]}"#.to_owned(), "schemaVersion is 1, not 2"),
        ] {
            let e = check(&json, MediaType::OCI_INDEX).unwrap_err();
            assert!(e.to_string().contains(wrong), "{json}: {e}");
        }
        let old = r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#;
        check(old, MediaType::DOCKER_SCHEMA1_SIGNED).unwrap();
    }
}
