//! JSON documents that are edited in place.
//!
//! Owns objects whose fields keep their order and their exact text until they are set. The text
//! preserves numbers of any precision, times to the nanosecond, and fields unknown to longshore. A
//! parsed view would lose such values.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::error::{Error, ErrorKind, Result};

/// A JSON object: the names of its fields and the text of their values, in the order of the
/// document.
#[derive(Clone, Debug, Default)]
pub struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    /// Parses a document.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the document is not a JSON object, or has a field twice.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|e| invalid(&e))
    }

    /// Returns the value of a field, or `None` if the field is missing or `null`.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the value has another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let Some((_, value)) = self.0.iter().find(|(n, _)| n == name) else {
            return Ok(None);
        };
        parsed(value).map_err(|e| e.at(name))
    }

    /// Sets a field in its position. A new field is added at the end.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the value cannot be written as JSON.
    pub fn set(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let value = raw(value)?;
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, existing)) => *existing = value,
            None => self.0.push((name.to_owned(), value)),
        }
        Ok(())
    }

    /// Removes a field.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| n != name);
    }

    /// Returns the document as JSON.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if the document cannot be written as JSON.
    pub fn bytes(&self) -> Result<Bytes> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|e| invalid(&e))
    }
}

/// Returns the JSON text of a value.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the value cannot be written as JSON.
pub fn raw(value: &impl Serialize) -> Result<Box<RawValue>> {
    serde_json::value::to_raw_value(value).map_err(|e| invalid(&e))
}

/// Parses the JSON text of a value.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the value has another type.
pub fn parsed<T: DeserializeOwned>(text: &RawValue) -> Result<T> {
    serde_json::from_str(text.get()).map_err(|e| invalid(&e))
}

fn invalid(e: &serde_json::Error) -> Error {
    Error::new(ErrorKind::Invalid).detail(format!("unexpected JSON: {e}"))
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if fields.iter().any(|(n, _)| *n == name) {
                        let twice = format!("the field {name:?} occurs twice");
                        return Err(serde::de::Error::custom(twice));
                    }
                    fields.push((name, value));
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_fields_keep_their_order_and_their_text() {
        let text = r#"{"z":1.10,"created":"2015-10-31T22:22:56.015925234Z","big":123456789012345678901234567890,"list":[1 ,2],"a":null}"#;
        let mut object = Object::parse(text.as_bytes()).unwrap();
        assert_eq!(object.bytes().unwrap(), text);
        assert_eq!(object.get::<String>("a").unwrap(), None);
        object.set("list", &["x"]).unwrap();
        object.set("new", &true).unwrap();
        object.remove("z");
        let expected = r#"{"created":"2015-10-31T22:22:56.015925234Z","big":123456789012345678901234567890,"list":["x"],"a":null,"new":true}"#;
        assert_eq!(object.bytes().unwrap(), expected);
    }

    #[test]
    fn documents_that_are_not_objects_or_repeat_a_field_are_refused() {
        for bad in ["[]", "1", "", "{", r#"{"a":1,"a":2}"#] {
            assert_eq!(Object::parse(bad.as_bytes()).unwrap_err().kind(), ErrorKind::Invalid);
        }
    }
}
