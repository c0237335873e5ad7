//! Detects compression by the first bytes, and decompresses streams within limits.
//!
//! Owns the rules for which gzip and zstd content is accepted, and for when output is implausibly
//! large. Does not depend on tar or layers. The archives use this module for layers and for whole
//! archives.

use std::fmt;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use longshore_core::{CHUNK_SIZE, Error, ErrorKind, Result};

/// The compression of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// No compression.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Compression {
    /// Detects the compression from the first bytes of content, because media types and file names
    /// can be wrong.
    ///
    /// - `start`: the first ten bytes, or all bytes if there are fewer.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for xz and bzip2, which no image specification
    /// allows.
    ///
    /// Source: RFC 1952, section 2.3.1; RFC 8878, sections 3.1.1 and 3.1.2.
    pub fn detect(start: &[u8]) -> Result<Self> {
        match start {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Self::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(unsupported("xz")),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&', ..] => {
                Err(unsupported("bzip2"))
            }
            _ => Ok(Self::None),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The limits that decompressed content must not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackLimits {
    /// The maximum number of output bytes.
    pub output: u64,
    /// The maximum number of output bytes for each input byte. This limit applies only if the
    /// output exceeds 64 MiB.
    pub ratio: u64,
}

impl Default for UnpackLimits {
    /// Returns limits of 10 GiB and a ratio of 1,000 to 1. Gzip reaches at most about 1,032 to 1,
    /// for content such as long runs of zeros.
    fn default() -> Self {
        Self { output: 10 << 30, ratio: 1_000 }
    }
}

impl UnpackLimits {
    /// Checks the amount of output for this amount of input against the limits.
    fn check(self, input: u64, output: u64) -> Result<()> {
        let too_large = |why: String| Err(Error::new(ErrorKind::TooLarge).detail(why));
        if output > self.output {
            return too_large(format!("unpacks to more than the {} bytes allowed", self.output));
        }
        if output > RATIO_FROM && output / self.ratio > input {
            return too_large(format!("unpacks to more than {} times its size", self.ratio));
        }
        Ok(())
    }
}

/// A reader that detects the compression of its input, and decompresses the input.
///
/// Plain content passes through unchanged. All gzip members and zstd frames are read. Only zeros
/// may follow the last gzip member. A zstd window may have up to 2^27 bytes. Memory use does not
/// grow with the content.
///
/// # Errors
/// [`error_of`] converts each [`io::Error`] to an [`Error`]: [`Invalid`](ErrorKind::Invalid) if the
/// content is damaged or truncated, [`TooLarge`](ErrorKind::TooLarge) beyond the limits, or the
/// error of the input.
pub struct Decoder<R: Read> {
    format: Format<R>,
    limits: UnpackLimits,
    input: Arc<AtomicU64>,
    output: u64,
}

enum Format<R: Read> {
    Plain(Input<R>),
    Gzip(Members<R>),
    Zstd(zstd::Decoder<'static, Input<R>>),
}

impl<R: Read> Decoder<R> {
    /// Reads the first bytes and prepares the decoder.
    ///
    /// # Errors
    /// Same as [`Compression::detect`]; [`Io`](ErrorKind::Io) if the start cannot be read.
    pub fn new(mut reader: R, limits: UnpackLimits) -> Result<Self> {
        let mut start = Vec::with_capacity(START);
        reader.by_ref().take(START as u64).read_to_end(&mut start).map_err(error_of)?;
        let compression = Compression::detect(&start)?;
        let input = Arc::new(AtomicU64::new(0));
        let reader = Input {
            inner: BufReader::with_capacity(CHUNK_SIZE, Cursor::new(start).chain(reader)),
            taken: Arc::clone(&input),
        };
        let format = match compression {
            Compression::None => Format::Plain(reader),
            Compression::Gzip => Format::Gzip(Members::Reading(Box::new(GzDecoder::new(reader)))),
            Compression::Zstd => Format::Zstd(zstd_decoder(reader).map_err(error_of)?),
        };
        Ok(Self { format, limits, input, output: 0 })
    }

    /// Returns the compression of the content.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.format {
            Format::Plain(_) => Compression::None,
            Format::Gzip(_) => Compression::Gzip,
            Format::Zstd(_) => Compression::Zstd,
        }
    }

    /// Names the compression in errors about damaged content. Other errors stay unchanged.
    fn explain(&self, e: io::Error) -> io::Error {
        let damaged = match e.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => true,
            // The `zstd` crate reports all errors of libzstd as `Other`.
            io::ErrorKind::Other => self.compression() == Compression::Zstd,
            _ => false,
        };
        if !damaged || e.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return e;
        }
        let clause = format!("damaged {} content", self.compression());
        io::Error::other(Error::new(ErrorKind::Invalid).detail(clause).with_source(e))
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.format {
            Format::Plain(reader) => return reader.read(buffer),
            Format::Gzip(members) => members.read(buffer),
            Format::Zstd(decoder) => decoder.read(buffer),
        };
        let n = read.map_err(|e| self.explain(e))?;
        self.output += n as u64;
        self.limits
            .check(self.input.load(Ordering::Relaxed), self.output)
            .map_err(io::Error::other)?;
        Ok(n)
    }
}

impl<R: Read> fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decoder({})", self.compression())
    }
}

/// Returns a gzip writer. The output is reproducible: the header has no name and no time.
pub(crate) fn gzip<W: io::Write>(writer: W) -> GzEncoder<W> {
    GzEncoder::new(writer, flate2::Compression::default())
}

/// Extracts the [`Error`] that an [`io::Error`] holds, or wraps the [`io::Error`] in a new
/// [`Error`].
#[must_use]
pub fn error_of(e: io::Error) -> Error {
    e.downcast::<Error>().unwrap_or_else(|e| Error::new(ErrorKind::Io).with_source(e))
}

/// Compressed input that counts the bytes that a decoder consumes.
struct Input<R> {
    inner: BufReader<io::Chain<Cursor<Vec<u8>>, R>>,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.taken.fetch_add(n as u64, Ordering::Relaxed);
        self.inner.consume(n);
    }
}

/// The members of a gzip file, one after another.
enum Members<R: Read> {
    Reading(Box<GzDecoder<Input<R>>>),
    Ended,
}

impl<R: Read> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let Self::Reading(member) = self else {
                return Ok(0);
            };
            let n = member.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            let Self::Reading(member) = std::mem::replace(self, Self::Ended) else {
                return Ok(0);
            };
            let mut rest = member.into_inner();
            if another_member(&mut rest)? {
                *self = Self::Reading(Box::new(GzDecoder::new(rest)));
            }
        }
    }
}

/// Returns true if another member follows. Otherwise, only zeros may follow, because tapes pad
/// content with zeros.
fn another_member(rest: &mut impl BufRead) -> io::Result<bool> {
    if rest.fill_buf()?.first() == Some(&0x1f) {
        return Ok(true);
    }
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        if bytes.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "invalid data follows the last gzip member",
            ));
        }
        let n = bytes.len();
        rest.consume(n);
    }
}

fn zstd_decoder<R: Read>(reader: Input<R>) -> io::Result<zstd::Decoder<'static, Input<R>>> {
    let mut decoder = zstd::Decoder::with_buffer(reader)?;
    decoder.window_log_max(WINDOW_LOG_LIMIT)?;
    Ok(decoder)
}

fn unsupported(name: &str) -> Error {
    Error::new(ErrorKind::Unsupported)
        .detail(format!("compressed with {name}"))
        .with_hint("Decompress it, or compress it with gzip or zstd.")
}

/// A number of bytes that is sufficient to detect each compression.
pub(crate) const START: usize = 10;
/// 64 MiB. Smaller output is harmless at any ratio.
const RATIO_FROM: u64 = 64 << 20;
/// 2^27 bytes, 128 MiB: the default limit of `zstd` itself.
const WINDOW_LOG_LIMIT: u32 = 27;

#[cfg(test)]
mod tests;
