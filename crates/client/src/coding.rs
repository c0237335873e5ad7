//! Content codings of replies, which no request asks for.
//!
//! Every request says `Accept-Encoding: identity`. Some proxies compress replies anyway, and some
//! storage services label content with its own compression: a layer is itself gzip. So the label is
//! only a claim. This module parses it, decodes gzip as a stream, and distinguishes the two cases
//! if the content allows it; blobs are distinguished by their digest (`repository::reading`).

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
    /// Gzip, once.
    Gzip,
    /// Another coding, or several.
    Other(String),
}

impl Coding {
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
    /// coded is accepted as received.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) beyond the limit; [`Protocol`](ErrorKind::Protocol) if it
    /// cannot be decoded.
    pub(crate) async fn document(&self, body: BlobStream, limit: usize) -> Result<Bytes> {
        let Self::Other(name) = self else { return self.undo(body).bytes(limit).await };
        let bytes = body.bytes(limit).await?;
        match self.shows(&bytes) {
            true => Ok(bytes),
            false => Err(unasked(name)),
        }
    }

    /// Returns true if the output of [`undo`](Self::undo) is content, or JSON with a wrong label.
    pub(crate) fn shows(&self, bytes: &[u8]) -> bool {
        let is_json = || serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        !matches!(self, Self::Other(_)) || is_json()
    }

    /// Returns the body, decoded if it is gzip and labelled so. Memory use is constant.
    ///
    /// # Errors
    /// As the stream's last item: [`Transport`](ErrorKind::Transport) if it ends too early,
    /// [`Protocol`](ErrorKind::Protocol) if it is damaged.
    pub(crate) fn undo(&self, body: BlobStream) -> BlobStream {
        match self {
            Self::Gzip => gunzip(body),
            Self::Identity | Self::Other(_) => body,
        }
    }
}

/// Returns the error for a coding that cannot be decoded.
pub(crate) fn unasked(name: &str) -> Error {
    Error::new(ErrorKind::Protocol)
        .detail(format!("the reply has the content coding \"{name}\", which was not requested"))
        .with_hint(
            "Probably a proxy added it: it must pass on replies to \"Accept-Encoding: \
             identity\" unchanged.",
        )
}

fn gunzip(body: BlobStream) -> BlobStream {
    let start = (body, Bytes::new(), Gunzip::new());
    BlobStream::new(stream::try_unfold(start, |(mut body, mut input, mut gunzip)| async move {
        loop {
            let piece = gunzip.undo(&mut input)?;
            if !piece.is_empty() {
                return Ok(Some((piece, (body, input, gunzip))));
            }
            match body.next().await {
                Some(next) => input = next?,
                None => return gunzip.finish().map(|()| None),
            }
        }
    }))
}

/// Decodes gzip, chunk by chunk. All members are decoded. Zeros may follow the last one, like the
/// padding of tapes; other data may not. Content that does not begin like gzip is left unchanged.
pub(crate) struct Gunzip {
    place: Place,
    taken: u64,
    given: u64,
    piece: Vec<u8>,
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
        Self { place: Place::Start, taken: 0, given: 0, piece: vec![0; CHUNK_SIZE] }
    }

    /// Consumes `input`, and returns at most 64 KiB; returns nothing if it needs more input.
    pub(crate) fn undo(&mut self, input: &mut Bytes) -> Result<Bytes> {
        loop {
            let before = input.len();
            let piece = self.step(input)?;
            self.taken += (before - input.len()) as u64;
            self.given += piece.len() as u64;
            if self.taken > self.given.saturating_mul(2).saturating_add(OVERHEAD) {
                return Err(damaged("has next to no content"));
            }
            if !piece.is_empty() || input.is_empty() {
                return Ok(piece);
            }
        }
    }

    /// Checks that the input may end here.
    pub(crate) fn finish(&self) -> Result<()> {
        match self.place {
            Place::Member(_) => Err(Error::new(ErrorKind::Transport)
                .detail("the reply ended early, in the middle of its gzip coding")),
            _ => Ok(()),
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Bytes> {
        match (&mut self.place, input.first()) {
            (Place::Member(member), _) => {
                let (before_in, before_out) = (member.total_in(), member.total_out());
                let status = member
                    .decompress(input, &mut self.piece, FlushDecompress::None)
                    .map_err(|e| damaged("is damaged").with_source(e))?;
                let [taken, given] =
                    [member.total_in() - before_in, member.total_out() - before_out]
                        .map(|n| usize::try_from(n).unwrap_or(usize::MAX));
                input.advance(taken);
                if status == Status::StreamEnd {
                    self.place = Place::AfterMember;
                }
                Ok(Bytes::copy_from_slice(&self.piece[..given]))
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
                    false => Err(damaged("is followed by something else")),
                }
            }
        }
    }
}

fn damaged(clause: &str) -> Error {
    Error::new(ErrorKind::Protocol)
        .detail(format!("the reply's gzip coding, which was not requested, {clause}"))
}

/// 64 KiB of output at a time: a chunk of a decompression bomb is no larger than any other.
const CHUNK_SIZE: usize = 64 << 10;
/// 2^15 bytes: the only window size of gzip.
const WINDOW_BITS: u8 = 15;
/// 256 KiB: headers, and the overhead of a proxy that sends each chunk at once. Beyond it, output
/// must be at least half the size of the input, so that empty members cannot continue forever.
const OVERHEAD: u64 = 256 << 10;

#[cfg(test)]
mod tests;
