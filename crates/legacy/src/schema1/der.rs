//! The subset of DER that keys use.

/// A reader of DER values, with the input that has not been read yet.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// Returns the content of the next value if it has the given tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&first, rest) = self.0.split_first()?;
        let (&length, rest) = rest.split_first()?;
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                (bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        if first != tag {
            return None;
        }
        self.0 = rest;
        Some(content)
    }

    /// Returns a reader for the content of the next value if it has the given tag.
    pub(super) fn open(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// Returns the next integer, without leading zeros.
    pub(super) fn number(&mut self) -> Option<&'a [u8]> {
        let bytes = self.take(INTEGER)?;
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..)
    }

    /// Returns the next bit string, which must consist of whole bytes.
    pub(super) fn bits(&mut self) -> Option<&'a [u8]> {
        self.take(BIT_STRING)?.strip_prefix(&[0])
    }
}

/// Encodes a value with the given tag.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let size = content.len().to_be_bytes();
    let size = &size[size.iter().take_while(|byte| **byte == 0).count().min(size.len() - 1)..];
    let mut all = vec![tag];
    if content.len() > 0x7f {
        // A length takes at most eight bytes.
        all.push(0x80 | size.len() as u8);
    }
    all.extend(size);
    all.extend(content);
    all
}

/// Encodes an unsigned integer.
pub(super) fn number(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_none_or(|byte| *byte > 0x7f) { &[0] } else { &[] };
    value(INTEGER, &[sign, bytes].concat())
}

/// Encodes a bit string of whole bytes.
pub(super) fn bits(bytes: &[u8]) -> Vec<u8> {
    value(BIT_STRING, &[&[0], bytes].concat())
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const OBJECT: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0]` and `[1]`: the tags of optional fields.
pub(super) const PART_0: u8 = 0xa0;
pub(super) const PART_1: u8 = 0xa1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_values_round_trip_and_truncated_values_are_refused() {
        for size in [0, 1, 127, 128, 255, 256, 70_000] {
            let content = vec![7; size];
            let written = value(OCTETS, &content);
            assert_eq!(Der(&written).take(OCTETS), Some(&*content), "{size}");
            assert_eq!(Der(&written).take(SEQUENCE), None);
            assert_eq!(Der(&written[..written.len() - 1]).take(OCTETS), None);
        }
        assert_eq!(number(&[0x80]), [INTEGER, 2, 0, 0x80]);
        assert_eq!(Der(&number(&[0x80])).number(), Some(&[0x80][..]));
        assert_eq!(Der(&bits(b"x")).bits(), Some(&b"x"[..]));
        // An indefinite length and a length of nine bytes are refused.
        assert_eq!(Der(&[OCTETS, 0x80, 0, 0]).take(OCTETS), None);
        assert_eq!(Der(&[OCTETS, 0x89, 1, 1, 1, 1, 1, 1, 1, 1, 1]).take(OCTETS), None);
    }
}
