//! Byte ranges in headers. Ranges of downloads are parsed strictly. Ranges of uploads are parsed
//! leniently, because registries write them in several ways.

use std::ops::Range;

use http::HeaderMap;
use http::header::{CONTENT_RANGE, CONTENT_TYPE};

use crate::coding::Coding;
use crate::transport::header;

/// Returns the value of a `Range` header for part of a blob.
///
/// Source: RFC 9110, section 14.2.
pub(crate) fn range_value(range: &Range<u64>) -> String {
    format!("bytes={}-{}", range.start, range.end.saturating_sub(1))
}

/// A defect of the reply to a range request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The blob has this size instead of the expected size.
    Size(u64),
    /// A defect of the range, described by this text.
    Range(&'static str),
}

/// Checks that a 206 reply has exactly the requested range of a blob of `size` bytes.
///
/// # Errors
/// The defect of the reply. The error for an encoded reply has no size, because its range may count
/// encoded bytes.
///
/// Source: RFC 9110, section 14.4.
pub(crate) fn check_content_range(
    headers: &HeaderMap,
    requested: &Range<u64>,
    size: u64,
) -> Result<(), Mismatch> {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if kind.starts_with("multipart/") {
        return Err(Mismatch::Range("has several parts"));
    }
    if Coding::of(headers) != Coding::Identity {
        return Err(Mismatch::Range("has a content coding"));
    }
    let Some(value) = header(headers, CONTENT_RANGE.as_str()) else {
        return Err(Mismatch::Range("does not have exactly one Content-Range"));
    };
    let parse = |text: &str| {
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let total = match total {
            "*" => None,
            total => Some(number(total)?),
        };
        Some((number(first)?, number(last)?, total))
    };
    match parse(value) {
        None => Err(Mismatch::Range("has an unreadable Content-Range")),
        Some((_, _, Some(total))) if total != size => Err(Mismatch::Size(total)),
        Some((first, last, _))
            if first == requested.start && Some(last) == requested.end.checked_sub(1) =>
        {
            Ok(())
        }
        Some(_) => Err(Mismatch::Range("is not the requested range")),
    }
}

/// Returns the reason why a range of a blob of `size` bytes was refused with 416.
///
/// Source: RFC 9110, section 15.5.17.
pub(crate) fn refused(headers: &HeaderMap, size: u64) -> Mismatch {
    let coded = Coding::of(headers) != Coding::Identity;
    let value = header(headers, CONTENT_RANGE.as_str()).filter(|_| !coded);
    match value.and_then(|text| number(text.strip_prefix("bytes */")?)) {
        Some(total) if total != size => Mismatch::Size(total),
        _ => Mismatch::Range("was refused"),
    }
}

/// Returns the number of bytes that an upload session has, from its `Range` header. Returns `None`
/// if the header is ambiguous or malformed.
///
/// `0-0` usually means one byte, but distribution sends it for an empty session, so it is
/// ambiguous. `0--1` means zero bytes (zot). Some values begin with `bytes=` (zot).
///
/// Source: distribution-spec v1.1.1, "Pushing a blob in chunks".
pub(crate) fn upload_offset(text: &str) -> Option<u64> {
    let text = text.trim();
    let last = text.strip_prefix("bytes=").unwrap_or(text).strip_prefix("0-")?;
    match last {
        "-1" => Some(0),
        last => number(last).filter(|last| *last > 0)?.checked_add(1),
    }
}

/// Returns the smallest chunk size that a registry accepts, from its `OCI-Chunk-Min-Length` header.
/// Ignores invalid values, and reduces values above 1 GiB to 1 GiB.
pub(crate) fn min_chunk_size(text: &str) -> Option<u64> {
    let stated = number(text.trim()).filter(|size| *size > 0);
    if stated.is_none_or(|size| size > CHUNK_LIMIT) {
        tracing::warn!(stated = %longshore_core::EscapedText(text), "invalid OCI-Chunk-Min-Length");
    }
    stated.map(|size| size.min(CHUNK_LIMIT))
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// 1 GiB: the maximum of a registry's minimum chunk size.
const CHUNK_LIMIT: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use http::header::CONTENT_ENCODING;
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn check(lines: &[(HeaderName, &'static str)]) -> Result<(), Mismatch> {
        check_content_range(&headers(lines), &(5..10), 10)
    }

    #[test]
    fn only_the_exact_requested_range_is_accepted() {
        assert_eq!(range_value(&(5..10)), "bytes=5-9");
        for (value, good) in [
            ("bytes 5-9/10", true),
            ("bytes 5-9/*", true),
            ("bytes 7-9/10", false),
            ("bytes 5-8/10", false),
            ("bytes 5-10/10", false),
            ("bytes 9-5/10", false),
            ("bytes 5-9/11", false),
            ("bytes */10", false),
            ("bytes 5-18446744073709551616/10", false),
            ("bytes +5-9/10", false),
            ("items 5-9/10", false),
            ("5-9", false),
        ] {
            assert_eq!(check(&[(CONTENT_RANGE, value)]).is_ok(), good, "{value}");
        }
        assert!(check(&[]).is_err());
        assert!(
            check(&[(CONTENT_RANGE, "bytes 5-9/10"), (CONTENT_RANGE, "bytes 5-9/10")]).is_err()
        );
        let parts = (CONTENT_TYPE, "multipart/byteranges; boundary=x");
        assert!(check(&[(CONTENT_RANGE, "bytes 5-9/10"), parts]).is_err());
        let coded = (CONTENT_ENCODING, "gzip");
        assert!(check(&[(CONTENT_RANGE, "bytes 5-9/10"), coded]).is_err());
    }

    #[test]
    fn a_wrong_size_is_distinguished_from_a_wrong_range() {
        let coded = (CONTENT_ENCODING, "gzip");
        for (value, size) in [
            ("bytes 5-9/11", Some(11)),
            ("bytes 5-8/9", Some(9)),
            ("bytes 5-8/10", None),
            ("bytes */11", None),
        ] {
            let found = check(&[(CONTENT_RANGE, value)]).unwrap_err();
            assert_eq!(
                found == Mismatch::Size(size.unwrap_or_default()),
                size.is_some(),
                "{value}"
            );
            let found = check(&[(CONTENT_RANGE, value), coded.clone()]).unwrap_err();
            assert!(matches!(found, Mismatch::Range(_)), "{value}");
        }
        for (value, size) in [("bytes */9", Some(9)), ("bytes */10", None), ("bytes 0-8/9", None)] {
            let found = refused(&headers(&[(CONTENT_RANGE, value)]), 10);
            assert_eq!(
                found == Mismatch::Size(size.unwrap_or_default()),
                size.is_some(),
                "{value}"
            );
            let found = refused(&headers(&[(CONTENT_RANGE, value), coded.clone()]), 10);
            assert!(matches!(found, Mismatch::Range(_)), "{value}");
        }
    }

    #[test]
    fn ambiguous_upload_offsets_are_not_guessed() {
        for (text, offset) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0--1", Some(0)),
            ("0-0", None),
            ("5-9", None),
            ("99", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0-99999999999999999999", None),
        ] {
            assert_eq!(upload_offset(text), offset, "{text}");
        }
    }

    #[test]
    fn the_minimum_chunk_size_is_capped() {
        for (text, size) in [
            ("4096", Some(4096)),
            ("0", None),
            ("-1", None),
            ("junk", None),
            ("99999999999999999999", None),
            ("10737418240", Some(1 << 30)),
        ] {
            assert_eq!(min_chunk_size(text), size, "{text}");
        }
    }
}
