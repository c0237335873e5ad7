//! Decodes the content codings of replies, although no request permits them.
//!
//! Every request sends `Accept-Encoding: identity`. Some proxies compress replies anyway, and some
//! storage services label content with its own compression, such as a layer that is itself gzip. So
//! the label may be wrong. This module parses the label, decodes gzip as a stream, and
//! distinguishes the two cases if the content allows it. For blobs, the digest distinguishes the
//! two cases (`repository::reading`).

use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use futures_util::{StreamExt as _, stream};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use longshore_core::{BlobStream, Error, ErrorKind, Result};
use serde::de::IgnoredAny;

/// The coding of a body, from its reply's `Content-Encoding`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// No coding, as requested.
    Identity,
    /// Gzip, applied once.
    Gzip,
    /// Another coding, or several codings.
    Other(String),
}

impl Coding {
    /// Returns the coding of a reply.
    ///
    /// Source: RFC 9110, section 8.4; `x-gzip` is another name of gzip (8.4.1.3).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let texts: Vec<_> = values.map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
        let names = texts.iter().flat_map(|text| text.split(','));
        let names = names.map(|name| name.trim().to_ascii_lowercase());
        let names: Vec<_> = names.filter(|n| !n.is_empty() && n != "identity").collect();
        match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Self::Identity,
            ["gzip" | "x-gzip"] => Self::Gzip,
            _ => Self::Other(names.join(", ")),
        }
    }

    /// Returns the document in a body, of at most `limit` bytes. JSON that is only labelled as
    /// encoded is accepted as received.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limit; [`Protocol`](ErrorKind::Protocol) if the
    /// body cannot be decoded.
    pub(crate) async fn document(&self, body: BlobStream, limit: usize) -> Result<Bytes> {
        let Self::Other(name) = self else { return self.decode(body).bytes(limit).await };
        let bytes = body.bytes(limit).await?;
        match self.shows(&bytes) {
            true => Ok(bytes),
            false => Err(unrequested(name)),
        }
    }

    /// Returns true if `bytes`, the output of [`decode`](Self::decode), are readable: they had no
    /// coding, were decoded from gzip, or are JSON with a wrong label.
    pub(crate) fn shows(&self, bytes: &[u8]) -> bool {
        let is_json = || serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        !matches!(self, Self::Other(_)) || is_json()
    }

    /// Returns the body, decoded if it is gzip and is labelled as gzip. Memory use is constant.
    ///
    /// # Errors
    /// As the stream's last item: [`Transport`](ErrorKind::Transport) if the body ends too early,
    /// [`Protocol`](ErrorKind::Protocol) if it is damaged.
    pub(crate) fn decode(&self, body: BlobStream) -> BlobStream {
        match self {
            Self::Gzip => gunzip(body),
            Self::Identity | Self::Other(_) => body,
        }
    }
}

/// Returns the error for a coding that cannot be decoded.
pub(crate) fn unrequested(name: &str) -> Error {
    Error::new(ErrorKind::Protocol)
        .detail(format!("the reply has the content coding \"{name}\", which was not requested"))
        .with_hint(
            "A proxy probably added it. Configure the proxy to pass on replies to \
             \"Accept-Encoding: identity\" unchanged.",
        )
}

fn gunzip(body: BlobStream) -> BlobStream {
    let start = (body, Bytes::new(), Gunzip::new());
    BlobStream::new(stream::try_unfold(start, |(mut body, mut input, mut gunzip)| async move {
        loop {
            let chunk = gunzip.decode(&mut input)?;
            if !chunk.is_empty() {
                return Ok(Some((chunk, (body, input, gunzip))));
            }
            match body.next().await {
                Some(next) => input = next?,
                None => return gunzip.finish().map(|()| None),
            }
        }
    }))
}

/// Decodes gzip chunk by chunk, including all members of a multi-member stream. Only zeros may
/// follow the last member, such as the padding of a tape. Content that does not begin like gzip is
/// not changed.
pub(crate) struct Gunzip {
    place: Place,
    consumed: u64,
    produced: u64,
    chunk: Vec<u8>,
}

enum Place {
    Start,
    Plain,
    Member(Decompress),
    AfterMember,
    Padding,
}

impl Gunzip {
    pub(crate) fn new() -> Self {
        Self { place: Place::Start, consumed: 0, produced: 0, chunk: vec![0; CHUNK_SIZE] }
    }

    /// Consumes a part of `input`, and returns at most 64 KiB of decoded output. Returns all of
    /// `input` if the content is not gzip. Returns no output if more input is needed.
    pub(crate) fn decode(&mut self, input: &mut Bytes) -> Result<Bytes> {
        loop {
            let before = input.len();
            let chunk = self.step(input)?;
            self.consumed += (before - input.len()) as u64;
            self.produced += chunk.len() as u64;
            if self.consumed > self.produced.saturating_mul(2).saturating_add(OVERHEAD) {
                return Err(damaged("is more than twice as large as its content"));
            }
            if !chunk.is_empty() || input.is_empty() {
                return Ok(chunk);
            }
        }
    }

    /// Returns an error if the input must not end here.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.place {
            Place::Member(_) => Err(Error::new(ErrorKind::Transport)
                .detail("the reply ended in the middle of its gzip data")),
            _ => Ok(()),
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Bytes> {
        match (&mut self.place, input.first()) {
            (Place::Member(member), _) => {
                let (before_in, before_out) = (member.total_in(), member.total_out());
                let status = member
                    .decompress(input, &mut self.chunk, FlushDecompress::None)
                    .map_err(|e| damaged("is damaged").with_source(e))?;
                let [consumed, produced] =
                    [member.total_in() - before_in, member.total_out() - before_out]
                        .map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                input.advance(consumed);
                if status == Status::StreamEnd {
                    self.place = Place::AfterMember;
                }
                Ok(Bytes::copy_from_slice(&self.chunk[..produced]))
            }
            (Place::Plain, _) => Ok(std::mem::take(input)),
            (_, None) => Ok(Bytes::new()),
            (Place::Start | Place::AfterMember, Some(0x1f)) => {
                self.place = Place::Member(Decompress::new_gzip(WINDOW_BITS));
                Ok(Bytes::new())
            }
            (Place::Start, Some(_)) => {
                self.place = Place::Plain;
                Ok(Bytes::new())
            }
            (Place::AfterMember | Place::Padding, Some(_)) => {
                self.place = Place::Padding;
                match std::mem::take(input).iter().all(|byte| *byte == 0) {
                    true => Ok(Bytes::new()),
                    false => Err(damaged("is followed by other data")),
                }
            }
        }
    }
}

fn damaged(clause: &str) -> Error {
    Error::new(ErrorKind::Protocol)
        .detail(format!("the reply's gzip coding, which was not requested, {clause}"))
}

/// 64 KiB of output at a time: the chunks of a decompression bomb are no larger than others.
const CHUNK_SIZE: usize = 64 << 10;
/// 2^15 bytes: the only window size of gzip.
const WINDOW_BITS: u8 = 15;
/// 256 KiB: headers, and the overhead of a proxy that flushes each chunk. Beyond this overhead, the
/// output must be at least half as large as the input, so that an endless series of empty members
/// is an error.
const OVERHEAD: u64 = 256 << 10;

#[cfg(test)]
mod tests;
