//! The natural order of tags that are versions: `v1.9` before `v1.10`, and `2.0-rc1` before `2.0`.

use std::cmp::Ordering;

/// Returns true if a tag looks like a version: a number, after an optional `v`.
pub(crate) fn is_version(tag: &str) -> bool {
    number_after_v(tag).starts_with(|c: char| c.is_ascii_digit())
}

/// Compares two tags in their natural order.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    parts(a).cmp(&parts(b)).then_with(|| a.cmp(b))
}

fn number_after_v(tag: &str) -> &str {
    tag.strip_prefix(['v', 'V']).unwrap_or(tag)
}

/// A part of a version, in the order in which parts are sorted.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'a> {
    /// A word such as `rc`, which precedes the version without it.
    PreRelease(&'a str),
    End,
    Text(&'a str),
    /// The number of digits and the digits, without leading zeros.
    Number(usize, &'a str),
}

fn parts(tag: &str) -> Vec<Part<'_>> {
    let mut rest = number_after_v(tag);
    let mut parts = Vec::new();
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let same = |c: char| c.is_ascii_alphanumeric() && c.is_ascii_digit() == is_digit;
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end.max(first.len_utf8()));
        rest = after;
        if is_digit {
            let digits = part.trim_start_matches('0');
            parts.push(Part::Number(digits.len(), digits));
        } else if first.is_ascii_alphabetic() {
            let is_pre_release = PRE_RELEASES.iter().any(|word| part.eq_ignore_ascii_case(word));
            parts.push(if is_pre_release { Part::PreRelease(part) } else { Part::Text(part) });
        }
    }
    parts.push(Part::End);
    parts
}

const PRE_RELEASES: [&str; 9] =
    ["a", "alpha", "b", "beta", "dev", "pre", "preview", "rc", "snapshot"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_their_natural_order() {
        let ordered = [
            "v0.9",
            "1",
            "1.0-alpha.2",
            "1.0-beta",
            "1.0-rc.2",
            "1.0-rc.10",
            "1.0",
            "1.0-slim",
            "1.0.1",
            "v1.9",
            "1.10",
            "1.010.1",
            "2",
            "99999999999999999999",
        ];
        let mut sorted = ordered;
        sorted.reverse();
        sorted.sort_by(|a, b| compare(a, b));
        assert_eq!(sorted, ordered);
        assert_eq!(compare("v1", "1"), Ordering::Greater, "equal versions are ordered as text");
        for (tag, expected) in [("1", true), ("v2.x", true), ("latest", false), ("version", false)]
        {
            assert_eq!(is_version(tag), expected, "{tag}");
        }
    }
}
