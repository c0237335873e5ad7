//! Parses sizes in bytes.

use std::str::FromStr;

use longshore::ParseError;

/// A size in bytes, such as `1048576`, `500MB` or `10GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wanted = || ParseError::new("size", text, "expected bytes, such as 500MB or 10GiB");
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim_start();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wanted)?;
        let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        size.map(Self).ok_or_else(wanted)
    }
}

const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_with_an_unambiguous_unit() {
        for (text, size) in [
            ("0", Some(0)),
            ("1048576", Some(1_048_576)),
            ("5B", Some(5)),
            ("500MB", Some(500_000_000)),
            ("10GiB", Some(10_737_418_240)),
            ("2 TiB", Some(2_199_023_255_552)),
            ("18446744073709551615", Some(u64::MAX)),
            // Ambiguous: 1,000 or 1,024.
            ("5K", None),
            ("5gb", None),
            ("1.5GB", None),
            ("-1", None),
            ("", None),
            ("GB", None),
            ("18446744073709551616", None),
            ("99999999TiB", None),
        ] {
            assert_eq!(text.parse::<Size>().ok().map(|s| s.0), size, "{text}");
        }
    }
}
