//! Request boundaries on an HTTP/1.1 connection.
//!
//! Owns the rules for accepted framing: only forms that have a single meaning in the specification.
//! A proxy in front of the registry that follows the specification then finds the same boundaries
//! between requests. hyper is more lenient. `strict` applies these rules to the received bytes.
//!
//! Source: RFC 9112, sections 2.2, 3.2, 5, 6 and 7.1; RFC 9110, section 5.5.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};

use crate::location;

/// The expected content of the next bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The head of a request.
    Head,
    /// This many bytes of a body.
    Body(u64),
    /// A chunked body.
    Chunks(Chunk),
}

/// The reason for refusing a request.
pub(super) type Problem = &'static str;

/// A position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The digits of a size.
    Size { size: u64, digits: u8 },
    /// The extension after a size, with the number of received bytes.
    Extension { size: u64, length: u16 },
    /// The end of a size's line.
    SizeEnd { size: u64 },
    /// This many bytes of data.
    Data(u64),
    /// The carriage return after the data.
    DataReturn,
    /// The line feed after the data.
    DataEnd,
    /// A trailer line, with its own length and the total length of the trailers, in bytes.
    Trailer { length: u16, total: u16 },
    /// The end of a trailer's line.
    TrailerEnd { length: u16, total: u16 },
}

/// Finds the end of a head if the head is complete. The first `seen` bytes were already searched.
///
/// Empty lines before the head count as part of the head.
pub(super) fn head_size(bytes: &[u8], seen: usize) -> Result<Option<usize>, Problem> {
    let begin = bytes.iter().position(|b| !b"\r\n".contains(b)).unwrap_or(bytes.len());
    let mut i = seen.saturating_sub(3);
    while i < bytes.len() {
        match bytes[i] {
            b'\n' if i == 0 || bytes[i - 1] != b'\r' => return Err(BARE_LF),
            b'\n' if i >= begin + 3 && bytes[i - 2] == b'\n' => return Ok(Some(i + 1)),
            b'\r' if bytes.get(i + 1).is_some_and(|next| *next != b'\n') => return Err(BARE_CR),
            0 => return Err("a NUL in the head"),
            _ => i += 1,
        }
    }
    Ok(None)
}

impl Framing {
    /// Returns the framing after a head.
    pub(super) fn after(head: &[u8]) -> Result<Self, Problem> {
        let head = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
        let mut lines =
            head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let request = lines.by_ref().find(|line| !line.is_empty()).unwrap_or_default();
        let [mut hosts, mut lengths, mut encodings] = [const { Vec::new() }; 3];
        for line in lines {
            let (name, value) = field(line)?;
            let known = |header: &str| name.eq_ignore_ascii_case(header.as_bytes());
            match () {
                () if known(HOST.as_str()) => hosts.push(value),
                () if known(CONTENT_LENGTH.as_str()) => lengths.push(value),
                () if known(TRANSFER_ENCODING.as_str()) => encodings.push(value),
                () => {}
            }
        }
        let is_old = request.ends_with(b" HTTP/1.0");
        check_hosts(&hosts, is_old)?;
        match (&lengths[..], &encodings[..]) {
            ([], []) => Ok(Self::Head),
            ([length], []) => Ok(Self::of_length(self::length(length)?)),
            ([], [encoding]) if !is_old && encoding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Self::Chunks(Chunk::START))
            }
            ([], _) => Err("expected Transfer-Encoding once, with the value chunked, in HTTP/1.1"),
            (_, []) => Err("more than one Content-Length header"),
            _ => Err("both Content-Length and Transfer-Encoding"),
        }
    }

    /// Advances over bytes after a head. Returns how many of them belong to the body.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Result<usize, Problem> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = u64::try_from(bytes.len() - at).unwrap_or(u64::MAX);
            let (next, passed) = match *self {
                Self::Head => break,
                Self::Body(left) => (Self::of_length(left.saturating_sub(rest)), left.min(rest)),
                Self::Chunks(Chunk::Data(left)) => {
                    let next = match left.saturating_sub(rest) {
                        0 => Chunk::DataReturn,
                        left => Chunk::Data(left),
                    };
                    (Self::Chunks(next), left.min(rest))
                }
                Self::Chunks(chunk) => (chunk.next(bytes[at])?.map_or(Self::Head, Self::Chunks), 1),
            };
            *self = next;
            at += usize::try_from(passed).unwrap_or(bytes.len());
        }
        Ok(at)
    }

    fn of_length(length: u64) -> Self {
        if length == 0 { Self::Head } else { Self::Body(length) }
    }
}

impl Chunk {
    const START: Self = Self::Size { size: 0, digits: 0 };

    /// Returns the state after a byte, or `None` after the last byte.
    fn next(self, byte: u8) -> Result<Option<Self>, Problem> {
        Ok(Some(match (self, byte) {
            (Self::Size { size, digits }, byte) if byte.is_ascii_hexdigit() && digits < 16 => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Self::Size { size: size << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Size { digits: 0, .. }, _) => return Err("a chunk without a size"),
            (Self::Size { size, .. } | Self::Extension { size, .. }, b'\r') => {
                Self::SizeEnd { size }
            }
            (Self::Size { size, .. }, b';') => Self::Extension { size, length: 0 },
            (Self::Size { .. } | Self::Extension { .. } | Self::Trailer { .. }, b'\n') => {
                return Err(BARE_LF);
            }
            (Self::Size { .. }, _) => return Err("unexpected characters after a chunk's size"),
            (Self::Extension { size, length }, byte) if is_text(byte) && length < LINE_LIMIT => {
                Self::Extension { size, length: length + 1 }
            }
            (Self::Extension { .. }, _) => {
                return Err("a chunk's extension is too long or not text");
            }
            (Self::SizeEnd { size: 0 }, b'\n') => Self::Trailer { length: 0, total: 0 },
            (Self::SizeEnd { size }, b'\n') => Self::Data(size),
            (Self::DataReturn, b'\r') => Self::DataEnd,
            (Self::DataEnd, b'\n') => Self::START,
            (Self::Data(_) | Self::DataReturn | Self::DataEnd, _) => {
                return Err("a chunk is longer than its size");
            }
            (Self::Trailer { length, total }, b'\r') => Self::TrailerEnd { length, total },
            (Self::Trailer { length, total }, byte) if is_text(byte) && total < LINE_LIMIT => {
                Self::Trailer { length: length + 1, total: total + 1 }
            }
            (Self::Trailer { .. }, _) => return Err("the trailers are too long or not text"),
            (Self::TrailerEnd { length: 0, .. }, b'\n') => return Ok(None),
            (Self::TrailerEnd { total, .. }, b'\n') => Self::Trailer { length: 0, total },
            (Self::SizeEnd { .. } | Self::TrailerEnd { .. }, _) => return Err(BARE_CR),
        }))
    }
}

/// Splits a header line into name and value.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Problem> {
    let colon = line.iter().position(|b| *b == b':').ok_or("a header without a colon")?;
    let (name, value) = (&line[..colon], trim_blanks(&line[colon + 1..]));
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if name.is_empty() || !name.iter().all(is_token) {
        // A name that starts with whitespace would be a folded line.
        return Err("a header's name is not a token");
    }
    if !value.iter().copied().all(is_text) {
        return Err("a control character in a header");
    }
    Ok((name, value))
}

/// Trims spaces and tabs. `trim_ascii` would also remove other characters.
fn trim_blanks(value: &[u8]) -> &[u8] {
    let is_mark = |b: &u8| !b" \t".contains(b);
    let start = value.iter().position(is_mark).unwrap_or(value.len());
    let end = value.iter().rposition(is_mark).map_or(start, |last| last + 1);
    &value[start..end]
}

fn check_hosts(hosts: &[&[u8]], is_old: bool) -> Result<(), Problem> {
    match hosts {
        [] if is_old => Ok(()),
        [b""] => Ok(()),
        [host] if str::from_utf8(host).is_ok_and(location::is_host) => Ok(()),
        [_] => Err("the Host header is not a host"),
        _ => Err("expected one Host header"),
    }
}

fn length(value: &[u8]) -> Result<u64, Problem> {
    let digits = value.iter().all(u8::is_ascii_digit).then_some(value);
    let number = digits.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    number.ok_or("Content-Length is not a number")
}

/// Returns true if a header value may contain this byte.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

const BARE_LF: Problem = "a line feed without a carriage return";
const BARE_CR: Problem = "a carriage return without a line feed";
/// 4 KiB for a chunk's extension, and 4 KiB for all trailers: registry clients send neither.
const LINE_LIMIT: u16 = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(fields: &str) -> Result<Framing, Problem> {
        Framing::after(format!("PUT / HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes())
    }

    const CHUNKS: Framing = Framing::Chunks(Chunk::START);

    #[test]
    fn ambiguous_framing_in_a_head_is_refused() {
        for (fields, follows) in [
            ("", Framing::Head),
            ("Content-Length: 0\r\n", Framing::Head),
            ("content-length:5 \r\n", Framing::Body(5)),
            ("Content-Length: 18446744073709551615\r\n", Framing::Body(u64::MAX)),
            ("Transfer-Encoding: chunked\r\n", CHUNKS),
            ("TRANSFER-ENCODING:\tChunked \r\n", CHUNKS),
            ("X: \x40,\t\u{e9}\r\nX:\r\n", Framing::Head),
        ] {
            assert_eq!(after(fields), Ok(follows), "{fields:?}");
        }
        for fields in [
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked;q=1\r\n",
            "Transfer-Encoding: \"chunked\"\r\n",
            "Transfer-Encoding:\r\n",
            "Transfer-Encoding: \x0bchunked\r\n",
            "Transfer-Encoding: \x0cchunked\r\n",
            "Content-Length: 4\x0c\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Content-Length: 4,4\r\n",
            "Content-Length: 4, 4\r\n",
            "Content-Length: 4\r\nContent-Length: 4\r\n",
            "Content-Length: +4\r\n",
            "Content-Length: -4\r\n",
            "Content-Length: 0x4\r\n",
            "Content-Length: 4 4\r\n",
            "Content-Length:\r\n",
            "Content-Length: 18446744073709551616\r\n",
            "Content-Length : 4\r\n",
            "Content-Length\r\n",
            " folded: 1\r\n",
            "X: 1\r\n\tfolded\r\n",
            ": 1\r\n",
            "X y: 1\r\n",
            "X\x00: 1\r\n",
            "X: \x01\r\n",
            "X: \x7f\r\n",
            "Host: x\r\n",
        ] {
            assert!(after(fields).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn an_http_1_1_request_must_have_one_valid_host_header() {
        for (head, good) in [
            ("GET / HTTP/1.1\r\nHost: a:1", true),
            ("GET / HTTP/1.1\r\nHost: [::1]:1", true),
            ("GET / HTTP/1.1\r\nHost:", true),
            ("\r\nGET / HTTP/1.0", true),
            ("GET / HTTP/1.1", false),
            ("GET / HTTP/1.1\r\nHost: a/b", false),
            ("GET / HTTP/1.1\r\nHost: a@b", false),
            ("GET / HTTP/1.1\r\nHost: a, b", false),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a", false),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked", false),
        ] {
            let framing = Framing::after(format!("{head}\r\n\r\n").as_bytes());
            assert_eq!(framing.is_ok(), good, "{head:?}");
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_even_if_it_arrives_in_parts() {
        for (text, size) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\nbody", Ok(Some(27))),
            ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(22))),
            ("\r\n\r\n", Ok(None)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r", Ok(None)),
            ("GET / HTTP/1.1\nHost: x\r\n\r\n", Err(BARE_LF)),
            ("GET / HTTP/1.1\r\nHost: x\n\r\n", Err(BARE_LF)),
            ("GET / HTTP/1.1\r\nHost: x\r\n\n", Err(BARE_LF)),
            ("\nGET / HTTP/1.1\r\n\r\n", Err(BARE_LF)),
            ("GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n", Err(BARE_CR)),
            ("GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", Err(BARE_CR)),
            ("GET / HTTP/1.1\r\nX: \0\r\n\r\n", Err("a NUL in the head")),
        ] {
            assert_eq!(head_size(text.as_bytes(), 0), size, "{text:?}");
            let in_parts = (0..=text.len())
                .map(|n| head_size(&text.as_bytes()[..n], n.saturating_sub(1)))
                .find(|size| *size != Ok(None));
            assert_eq!(in_parts.unwrap_or(Ok(None)), size, "{text:?} in parts");
        }
    }

    /// Parses the bytes of a chunked body, all together and one by one. Returns the number of bytes
    /// that belong to the body, and whether the body is complete.
    fn chunks(text: &str) -> Result<(usize, bool), Problem> {
        let mut whole = CHUNKS;
        let at_once = whole.advance(text.as_bytes());
        let mut framing = CHUNKS;
        let in_parts = text.bytes().try_fold(0, |sum, b| Ok(sum + framing.advance(&[b])?));
        assert_eq!(at_once, in_parts, "{text:?}");
        Ok((at_once?, whole == Framing::Head))
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
        for (text, belongs, ends) in [
            ("0\r\n\r\nGET", 5, true),
            ("5\r\nhello\r\n0\r\n\r\nnext", 15, true),
            ("00A\r\n0123456789\r\n000\r\n\r\n", 24, true),
            ("3;name=\"v\"\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", 34, true),
            ("5\r\nhel", 6, false),
            ("ffffffffffffffff\r\nabc", 21, false),
        ] {
            assert_eq!(chunks(text), Ok((belongs, ends)), "{text:?}");
        }
        for text in [
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\t\r\nhello\r\n0\r\n\r\n",
            "5 ;x\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "5\r\nhello\r\n0\n\r\n",
            "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\r\nX: y\n\r\n",
            "5\r\nhello!\r\n0\r\n\r\n",
            "5;x\ny\r\nhello\r\n0\r\n\r\n",
            "5;x\ry\r\nhello\r\n0\r\n\r\n",
            "\r\n5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            "-5\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "zz\r\n",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(chunks(text).is_err(), "{text:?}");
        }
        assert!(chunks(&format!("5;{}", "x".repeat(5_000))).is_err());
        assert!(chunks(&format!("0\r\n{}", "x: y\r\n".repeat(2_000))).is_err());
    }

    #[test]
    fn a_body_with_a_length_ends_after_this_number_of_bytes() {
        let mut framing = Framing::Body(5);
        assert_eq!(framing.advance(b"hel"), Ok(3));
        assert_eq!(framing, Framing::Body(2));
        assert_eq!(framing.advance(b"loGET"), Ok(2));
        assert_eq!(framing, Framing::Head);
        assert_eq!(framing.advance(b"GET"), Ok(0));
    }
}
