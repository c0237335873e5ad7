//! Content digests: parsing, computing and verifying.
//!
//! Owns [`Digest`], the algorithms that can be computed, and [`Verifier`], which checks bytes
//! against a digest without doing I/O. Every store and stream uses this module.

use std::fmt;
use std::sync::Arc;

use sha2::Digest as _;
use sha2::digest::common::hazmat::{SerializableState as _, SerializedState};

use crate::error::{Error, ErrorKind, ParseError, Result, parsed_text};

/// A content address, `algorithm:encoded`.
///
/// A digest of any algorithm can be parsed. If longshore can compute the algorithm ([`Algorithm`]),
/// the encoded part must be lower-case hex of the right length. Both parts are safe as file names.
/// Digests are ordered by their text.
///
/// Source: image-spec v1.1.1, descriptor, "Digests".
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    text: Arc<str>,
    colon: usize,
}

impl Digest {
    /// Computes the sha256 digest of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Algorithm::Sha256.digest(bytes)
    }

    /// Parses `algorithm:encoded`.
    ///
    /// # Errors
    /// [`ParseError`] if the text does not match the grammar, or if the encoded part has the wrong
    /// length or alphabet for a known algorithm, or if the text is longer than 200 bytes.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let bad = |reason: &'static str| ParseError::new("digest", text, reason);
        let Some(colon) = text.find(':') else {
            return Err(bad("no ':' between algorithm and value; expected algorithm:hex"));
        };
        let (algorithm, encoded) = (&text[..colon], &text[colon + 1..]);
        if !algorithm.split(['+', '.', '_', '-']).all(is_component) {
            return Err(bad(
                "the algorithm must be lower-case letters and digits, separated by single '+', \
                 '.', '_' or '-'",
            ));
        }
        if let Some(known) = Algorithm::named(algorithm) {
            let length = known.encoded_length();
            if encoded.len() != length {
                let reason =
                    format!("{algorithm} takes {length} hex digits, found {}", encoded.len());
                return Err(ParseError::new("digest", text, reason));
            }
            if let Some(at) = encoded.find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
                return Err(bad("expected lower-case hex digits").at(colon + 1 + at));
            }
        } else if encoded.is_empty() {
            return Err(bad("nothing follows the ':'"));
        } else if let Some(length) = obsolete(algorithm).filter(|n| *n != encoded.len()) {
            let reason = format!("{algorithm} takes {length} hex digits, found {}", encoded.len());
            return Err(ParseError::new("digest", text, reason));
        } else if let Some(at) =
            encoded.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '=' | '_' | '-')))
        {
            return Err(bad("this character is not allowed").at(colon + 1 + at));
        }
        if text.len() > MAX_LENGTH {
            return Err(bad("longer than 200 characters"));
        }
        Ok(Self { text: text.into(), colon })
    }

    /// Returns the whole text, `algorithm:encoded`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the part before the colon.
    #[must_use]
    pub fn algorithm_name(&self) -> &str {
        &self.text[..self.colon]
    }

    /// Returns the part after the colon.
    #[must_use]
    pub fn encoded(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// Returns a file name for content with this digest, such as `sha256-<hex>`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}-{}", self.algorithm_name(), self.encoded())
    }

    /// Returns the algorithm, if longshore can compute it.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::named(self.algorithm_name())
    }

    /// Returns the algorithm, or an error if longshore cannot compute it.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if longshore cannot compute the algorithm.
    pub fn verifiable(&self) -> Result<Algorithm> {
        self.algorithm().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported).at(self).detail(format!(
                "content with the digest algorithm {} cannot be verified",
                self.algorithm_name()
            ))
        })
    }

    /// Checks that `found` equals this digest.
    ///
    /// # Errors
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) with a [`DigestPair`] if the digests differ.
    pub fn check(&self, found: &Self) -> Result<()> {
        if found == self {
            return Ok(());
        }
        let clause = format!("expected {self}, got {found}");
        let pair = DigestPair { expected: self.clone(), found: found.clone() };
        Err(Error::new(ErrorKind::DigestMismatch).detail(clause).with_data(pair))
    }

    /// Returns the first twelve characters of the encoded part, the usual short form.
    #[must_use]
    pub fn short(&self) -> &str {
        let encoded = self.encoded();
        &encoded[..encoded.len().min(12)]
    }
}

parsed_text!(Digest, serde);

/// The [data](Error::data) of a [`DigestMismatch`](ErrorKind::DigestMismatch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestPair {
    /// The digest that the content should have.
    pub expected: Digest,
    /// The digest of the content.
    pub found: Digest,
}

/// A digest algorithm that longshore can compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// SHA-256, which every registry supports.
    #[default]
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All algorithms, the canonical one first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns the algorithm with this registered name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name() == name)
    }

    /// Returns the registered name, the part before a digest's colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns the number of hex digits in a digest of this algorithm.
    #[must_use]
    pub const fn encoded_length(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }

    /// Creates a digest of this algorithm from its hex value.
    ///
    /// # Errors
    /// Same as [`Digest::parse`].
    pub fn encoded(self, hex: &str) -> Result<Digest, ParseError> {
        Digest::parse(&format!("{}:{hex}", self.name()))
    }

    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Digest {
        let mut digester = self.digester();
        digester.update(bytes);
        digester.finish()
    }

    /// Creates a digester for bytes that arrive in chunks.
    #[must_use]
    pub fn digester(self) -> Digester {
        Digester(match self {
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
            Self::Sha384 => State::Sha384(sha2::Sha384::new()),
            Self::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }

    /// Resumes a digester from its [state](Digester::state). Returns `None` if the state is invalid
    /// for this algorithm.
    #[must_use]
    pub fn resume(self, state: &[u8]) -> Option<Digester> {
        Some(Digester(match self {
            Self::Sha256 => {
                let state = <&SerializedState<sha2::Sha256>>::try_from(state).ok()?;
                State::Sha256(sha2::Sha256::deserialize(state).ok()?)
            }
            Self::Sha384 => {
                let state = <&SerializedState<sha2::Sha384>>::try_from(state).ok()?;
                State::Sha384(sha2::Sha384::deserialize(state).ok()?)
            }
            Self::Sha512 => {
                let state = <&SerializedState<sha2::Sha512>>::try_from(state).ok()?;
                State::Sha512(sha2::Sha512::deserialize(state).ok()?)
            }
        }))
    }
}

/// Computes a [`Digest`] over bytes that arrive in chunks.
#[derive(Clone)]
pub struct Digester(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Digester {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(h) => h.update(bytes),
            State::Sha384(h) => h.update(bytes),
            State::Sha512(h) => h.update(bytes),
        }
    }

    /// Returns the digest of all added bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha256(h) => Algorithm::Sha256.of_hash(&h.finalize()),
            State::Sha384(h) => Algorithm::Sha384.of_hash(&h.finalize()),
            State::Sha512(h) => Algorithm::Sha512.of_hash(&h.finalize()),
        }
    }

    /// Returns the state, from which [`Algorithm::resume`] continues without the earlier bytes.
    ///
    /// The state has the format of the crate `sha2` 0.11 and at most 209 bytes. The state contains
    /// up to one block of the content.
    #[must_use]
    pub fn state(&self) -> Vec<u8> {
        match &self.0 {
            State::Sha256(h) => h.serialize().to_vec(),
            State::Sha384(h) => h.serialize().to_vec(),
            State::Sha512(h) => h.serialize().to_vec(),
        }
    }

    /// Returns the algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha384(_) => Algorithm::Sha384,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }
}

/// Adds all written bytes to the digest.
impl std::io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({})", self.algorithm().name())
    }
}

impl Algorithm {
    fn of_hash(self, hash: &[u8]) -> Digest {
        let mut text = String::with_capacity(self.name().len() + 1 + self.encoded_length());
        text.push_str(self.name());
        text.push(':');
        for byte in hash {
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
        Digest { text: text.into(), colon: self.name().len() }
    }
}

/// Checks bytes against an expected digest and size. Does no I/O. Its errors do not name the
/// content, because the caller knows where the content came from.
#[derive(Clone, Debug)]
pub struct Verifier {
    digester: Digester,
    digest: Digest,
    size: u64,
    seen: u64,
}

impl Verifier {
    /// Starts a check of `size` bytes against `digest`.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the digest's algorithm cannot be computed.
    pub fn new(digest: &Digest, size: u64) -> Result<Self> {
        let algorithm = digest.verifiable()?;
        Ok(Self { digester: algorithm.digester(), digest: digest.clone(), size, seen: 0 })
    }

    /// Adds the next bytes.
    ///
    /// # Errors
    /// [`SizeMismatch`](ErrorKind::SizeMismatch) as soon as there are more than `size` bytes.
    pub fn update(&mut self, bytes: &[u8]) -> Result<()> {
        self.seen += bytes.len() as u64;
        if self.seen > self.size {
            return Err(self.size_mismatch("at least "));
        }
        self.digester.update(bytes);
        Ok(())
    }

    /// Returns the number of bytes added so far.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Finishes the check.
    ///
    /// # Errors
    /// [`SizeMismatch`](ErrorKind::SizeMismatch) if bytes are missing,
    /// [`DigestMismatch`](ErrorKind::DigestMismatch) if the bytes differ.
    pub fn finish(self) -> Result<()> {
        if self.seen != self.size {
            return Err(self.size_mismatch(""));
        }
        self.digest.check(&self.digester.finish())
    }

    fn size_mismatch(&self, bound: &str) -> Error {
        let detail = format!("expected {} bytes, got {bound}{}", self.size, self.seen);
        Error::new(ErrorKind::SizeMismatch).detail(detail)
    }
}

fn is_component(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Returns the number of hex digits of an obsolete algorithm that is still in use.
fn obsolete(algorithm: &str) -> Option<usize> {
    match algorithm {
        "md5" => Some(32),
        "sha1" => Some(40),
        _ => None,
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// 200 bytes: a sha512 digest has 135 bytes, and a file name may have 255.
const MAX_LENGTH: usize = 200;

#[cfg(test)]
mod tests;
