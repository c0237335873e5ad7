//! Byte ranges of requests.
//!
//! Owns the parsers of `Range` on downloads (RFC 9110) and of `Content-Range` on uploads, which has
//! a different grammar. The blob and upload handlers call these parsers.

use std::ops::Range;

use longshore_core::ParseError;

/// The part of a blob to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The whole blob: 200.
    Whole,
    /// A range of at least one byte within the blob: 206.
    Part(Range<u64>),
    /// No byte of the blob: 416.
    Nothing,
}

impl Wanted {
    /// Parses a `Range` header against a blob of `size` bytes.
    ///
    /// Several ranges, another unit, or invalid text select the whole blob, as RFC 9110 allows. A
    /// range that ends before it starts is unsatisfiable.
    ///
    /// Source: RFC 9110, section 14.2; distribution-spec v1.1.1, "Pulling blobs".
    pub(crate) fn parse(header: &str, size: u64) -> Self {
        let spec = header.split_once('=').and_then(|(unit, spec)| {
            let one = !spec.contains(',');
            (unit.trim().eq_ignore_ascii_case("bytes") && one).then(|| spec.trim())
        });
        let Some((first, last)) = spec.and_then(|spec| spec.split_once('-')) else {
            return Self::Whole;
        };
        match (first, last) {
            ("", suffix) => match number(suffix) {
                Some(length) => Self::of(size.saturating_sub(length)..size),
                None => Self::Whole,
            },
            (first, "") => match number(first) {
                Some(first) => Self::of(first..size),
                None => Self::Whole,
            },
            (first, last) => match (number(first), number(last)) {
                (Some(first), Some(last)) => Self::of(first..last.saturating_add(1).min(size)),
                _ => Self::Whole,
            },
        }
    }

    fn of(range: Range<u64>) -> Self {
        if range.is_empty() { Self::Nothing } else { Self::Part(range) }
    }
}

/// Parses a number without sign or spaces. A number too large for `u64` becomes `u64::MAX`.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Parses the `Content-Range` of an upload's chunk, `first-last`. Returns the bytes that it covers.
///
/// Unlike the header of the same name in RFC 9110, it has no unit at the start and no total at the
/// end.
///
/// Source: distribution-spec v1.1.1, "Pushing a blob in chunks".
pub(crate) fn of_chunk(header: &str) -> Result<Range<u64>, ParseError> {
    let bad = |reason: &'static str| ParseError::new("chunk range", header, reason);
    let (first, last) = header.split_once('-').ok_or_else(|| bad("expected first-last"))?;
    let parse = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse::<u64>().ok()).flatten();
        number.ok_or_else(|| bad("expected two byte positions, first-last"))
    };
    let (first, last) = (parse(first)?, parse(last)?);
    match last.checked_add(1) {
        Some(end) if first < end => Ok(first..end),
        _ => Err(bad("it ends before it starts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_single_byte_range_selects_a_part() {
        let part = |range| Wanted::Part(range);
        for (header, wanted) in [
            ("bytes=500-1499", part(500..1500)),
            ("bytes=500-", part(500..2048)),
            ("bytes=-500", part(1548..2048)),
            ("bytes=-5000", part(0..2048)),
            ("bytes=2000-5000", part(2000..2048)),
            ("bytes=0-0", part(0..1)),
            ("bytes=2047-2047", part(2047..2048)),
            ("Bytes=0-99999999999999999999999", part(0..2048)),
            ("bytes=500-0", Wanted::Nothing),
            ("bytes=5000-10000", Wanted::Nothing),
            ("bytes=2048-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("chars=1-2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=--1", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("nonsense", Wanted::Whole),
        ] {
            assert_eq!(Wanted::parse(header, 2048), wanted, "{header}");
        }
        assert_eq!(Wanted::parse("bytes=0-", 0), Wanted::Nothing);
        assert_eq!(Wanted::parse("bytes=-1", 0), Wanted::Nothing);
        let many = format!("bytes=0-0{}", ",1-1".repeat(1000));
        assert_eq!(Wanted::parse(&many, 2048), Wanted::Whole);
    }

    #[test]
    fn a_chunk_range_is_two_byte_positions_without_unit_or_total() {
        assert_eq!(of_chunk("0-0").unwrap(), 0..1);
        assert_eq!(of_chunk("5-9").unwrap(), 5..10);
        for bad in [
            "",
            "-",
            "5",
            "5-",
            "-5",
            "9-5",
            "-1-3",
            "+1-3",
            "1 - 3",
            "0-18446744073709551615",
            "0-18446744073709551616",
            "bytes=0-3",
            "bytes 0-3/4",
            "0-3/4",
        ] {
            assert!(of_chunk(bad).is_err(), "{bad}");
        }
    }
}
