//! `Content-Range` of a download and `Range` of an upload, as the client parses them.

use http::header::CONTENT_RANGE;
use longshore::fuzzing::{is_content_range, offset_of_upload};

use super::{headers, texts};

/// Checks that an accepted range has the requested numbers, and that a printed offset parses to the
/// same value.
pub fn run(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    if let Some(offset) = offset_of_upload(text) {
        assert_ne!(offset, 1, "0-0 is ambiguous");
        let printed = offset.checked_sub(1).map_or("0--1".to_owned(), |last| format!("0-{last}"));
        assert_eq!(offset_of_upload(&printed), Some(offset), "{printed}");
    }
    let accepted =
        headers(&CONTENT_RANGE, data).is_some_and(|lines| is_content_range(&lines, &(5..10), 10));
    if accepted {
        let separators = [' ', '-', '/'];
        let words: Vec<&str> = text.trim().split(separators).collect();
        let [unit, first, last, size] = words[..] else {
            panic!("{text} is not a range");
        };
        let number = |text: &str| text.parse::<u64>().ok();
        assert_eq!((unit, number(first), number(last)), ("bytes", Some(5), Some(9)), "{text}");
        assert!(size == "*" || number(size) == Some(10), "{text}");
    }
    accepted
}

/// The rows of the parsers' tables.
pub fn seeds() -> Vec<Vec<u8>> {
    texts(&[
        "bytes 5-9/10",
        "bytes 5-9/*",
        "bytes */10",
        "bytes 5-9/10\nbytes 5-9/10",
        "bytes 0-18446744073709551615/10",
        "0-0",
        "0--1",
        "bytes=0-1023",
        "0-18446744073709551615",
    ])
}
