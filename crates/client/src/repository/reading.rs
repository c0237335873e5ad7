//! Decides how to read a blob from a reply with a content coding.
//!
//! If a proxy compressed the reply, the blob is the decoded content. If a storage service labelled
//! content that is itself compressed, such as a gzip layer, the blob is the bytes as received. The
//! sizes determine the reading if possible. Otherwise the digest determines it. The reading is
//! determined before any byte is yielded.

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_core::{BlobStream, Descriptor, Error, Result, Verifier};

use crate::coding::{Coding, Gunzip, unrequested};

/// A way to read the bytes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    AsItCame,
    /// Decode gzip.
    Decoded,
}

/// Returns the reading if the sizes alone determine it. `length` is the `Content-Length` of the
/// reply, if stated.
///
/// A large blob almost never has exactly the length of its gzip form, but a small blob may.
///
/// # Errors
/// [`Protocol`](longshore_core::ErrorKind::Protocol) if the reply must be decoded and is not gzip.
pub(super) fn by_size(coding: &Coding, length: Option<u64>, size: u64) -> Result<Option<Reading>> {
    match (length, coding) {
        (Some(length), Coding::Other(name)) if length != size => Err(unrequested(name)),
        (Some(length), _) if length != size => Ok(Some(Reading::Decoded)),
        (Some(_), _) if size > KEPT_LIMIT => Ok(Some(Reading::AsItCame)),
        _ => Ok(None),
    }
}

/// The result of checking both readings against the digest.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) reading: Reading,
    /// The blob, if it is small enough to be kept.
    pub(super) blob: Option<Bytes>,
}

/// Reads a reply to its end, and determines which reading of it matches the digest.
///
/// # Errors
/// The error that interrupted the reply. If no reading matches, the error of the decoded reading.
pub(super) async fn find(
    coding: &Coding,
    mut reply: BlobStream,
    descriptor: &Descriptor,
) -> Result<Found> {
    let (mut as_received, mut decoded) = (Candidate::new(descriptor)?, Candidate::new(descriptor)?);
    let mut gunzip = Gunzip::new();
    if let Coding::Other(name) = coding {
        decoded.failed = Some(unrequested(name));
    }
    while let Some(chunk) = reply.next().await {
        let chunk = chunk?;
        as_received.take(&chunk);
        decoded.take_decoded(&mut gunzip, chunk);
        if as_received.failed.is_some() && decoded.failed.is_some() {
            break;
        }
    }
    if let Ok(blob) = as_received.result() {
        return Ok(Found { reading: Reading::AsItCame, blob });
    }
    // Another attempt may deliver missing bytes, but it does not correct wrong bytes.
    let cut_short = gunzip.finish().err().filter(|_| decoded.failed.is_none());
    match decoded.result() {
        Ok(blob) => Ok(Found { reading: Reading::Decoded, blob }),
        Err(error) => Err(cut_short.unwrap_or(error)),
    }
}

/// One of the two readings of a reply, while it is checked.
struct Candidate {
    check: Verifier,
    failed: Option<Error>,
    kept: Option<Vec<u8>>,
}

impl Candidate {
    fn new(descriptor: &Descriptor) -> Result<Self> {
        let check = Verifier::new(&descriptor.digest, descriptor.size)?;
        let kept = (descriptor.size <= KEPT_LIMIT).then(Vec::new);
        Ok(Self { check, failed: None, kept })
    }

    /// Adds the next bytes; ignores them after a failure.
    fn take(&mut self, chunk: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.check.update(chunk).err();
        }
        if let (None, Some(kept)) = (&self.failed, &mut self.kept) {
            kept.extend_from_slice(chunk);
        }
    }

    fn take_decoded(&mut self, gunzip: &mut Gunzip, mut coded: Bytes) {
        while self.failed.is_none() {
            match gunzip.decode(&mut coded) {
                Ok(chunk) if chunk.is_empty() => return,
                Ok(chunk) => self.take(&chunk),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn result(self) -> Result<Option<Bytes>> {
        match self.failed {
            Some(error) => Err(error),
            None => self.check.finish().map(|()| self.kept.map(Bytes::from)),
        }
    }
}

/// 64 KiB: a blob up to this size is kept while its digest is computed. A larger blob is requested
/// again.
const KEPT_LIMIT: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_decide_the_reading_if_possible() {
        let (small, large) = (100, 1 << 20);
        for (length, size, expected) in [
            (Some(large), large, Some(Reading::AsItCame)),
            (Some(large - 1), large, Some(Reading::Decoded)),
            (Some(large + 1), large, Some(Reading::Decoded)),
            (Some(small + 1), small, Some(Reading::Decoded)),
            (Some(small), small, None),
            (None, small, None),
            (None, large, None),
        ] {
            let found = by_size(&Coding::Gzip, length, size).unwrap();
            assert_eq!(found, expected, "{length:?} {size}");
            let other = by_size(&Coding::Other("br".to_owned()), length, size);
            assert_eq!(other.ok(), (expected != Some(Reading::Decoded)).then_some(expected));
        }
    }
}
