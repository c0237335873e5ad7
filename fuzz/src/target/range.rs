//! `Range` and an upload's `Content-Range`, as the registry parses them.

use longshore_registry::fuzzing::{chunk_range, wanted};

use super::texts;

/// Checks that a range is within the blob, and that its printed form parses to the same range.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    for size in [0, 1, 2048, u64::MAX] {
        let Some(range) = wanted(text, size) else {
            continue;
        };
        assert!(range.end <= size, "{range:?} of {size}");
        if range.is_empty() {
            assert_eq!(range, 0..size, "only an empty blob has an empty range");
            continue;
        }
        let printed = format!("bytes={}-{}", range.start, range.end - 1);
        assert_eq!(wanted(&printed, size), Some(range), "{printed} of {size}");
    }
    let Ok(chunk) = chunk_range(text) else {
        return false;
    };
    assert!(!chunk.is_empty());
    assert_eq!(chunk_range(&format!("{}-{}", chunk.start, chunk.end - 1)), Ok(chunk));
    true
}

/// The rows of the parsers' tables.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "bytes=500-1499",
        "bytes=500-",
        "bytes=-500",
        "Bytes=0-99999999999999999999999",
        "bytes=18446744073709551614-18446744073709551615",
        "bytes=-18446744073709551615",
        "bytes=0-1,3-4",
        "0-0",
        "5-9",
        "0-18446744073709551615",
        "18446744073709551614-18446744073709551614",
    ])
}
