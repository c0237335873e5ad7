//! Parses JSON from other programs: accepts the output of Go programs, and checks sizes.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the default value, because Go writes nil slices and maps as `null`.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a size in bytes, which must be a whole number that fits in the type `int64` of Go.
///
/// Source: image-spec v1.1.1, descriptor, "size".
pub(crate) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let size = u64::deserialize(deserializer)?;
    if i64::try_from(size).is_err() {
        return Err(serde::de::Error::custom("size is larger than 2^63 - 1"));
    }
    Ok(size)
}
