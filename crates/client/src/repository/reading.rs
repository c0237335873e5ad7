//! Decides how to read a blob from a reply that says it is coded.
//!
//! If a proxy compressed it, the blob is the decoded content. If a storage service labelled content
//! that is itself compressed, such as a gzip layer, the blob is the bytes as received. The sizes
//! decide if they can, else the digest does, before any byte is handed out.

use bytes::Bytes;
use futures_util::StreamExt as _;
use longshore_core::{BlobStream, Descriptor, Error, Result, Verifier};

use crate::coding::{Coding, Gunzip, unasked};

/// The ways to read the bytes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    AsItCame,
    /// With gzip decoded.
    Undone,
}

/// Returns the reading if the sizes alone decide it. `length` is the reply's, if it has one.
///
/// A large blob is hardly ever exactly as long as its gzip form; a small one may be.
///
/// # Errors
/// [`Protocol`](longshore_core::ErrorKind::Protocol) if decoding is needed and it is not gzip.
pub(super) fn by_size(coding: &Coding, length: Option<u64>, size: u64) -> Result<Option<Reading>> {
    match (length, coding) {
        (Some(length), Coding::Other(name)) if length != size => Err(unasked(name)),
        (Some(length), _) if length != size => Ok(Some(Reading::Undone)),
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

/// Reads a reply to its end, and finds out which reading of it is the blob.
///
/// # Errors
/// The error that broke the reply off. If neither reading is the blob, the error of the decoded
/// one.
pub(super) async fn find(
    coding: &Coding,
    mut reply: BlobStream,
    descriptor: &Descriptor,
) -> Result<Found> {
    let (mut as_it_came, mut undone) = (Candidate::new(descriptor)?, Candidate::new(descriptor)?);
    let mut gunzip = Gunzip::new();
    if let Coding::Other(name) = coding {
        undone.failed = Some(unasked(name));
    }
    while let Some(piece) = reply.next().await {
        let piece = piece?;
        as_it_came.take(&piece);
        undone.take_undone(&mut gunzip, piece);
        if as_it_came.failed.is_some() && undone.failed.is_some() {
            break;
        }
    }
    if let Ok(blob) = as_it_came.verdict() {
        return Ok(Found { reading: Reading::AsItCame, blob });
    }
    // Another attempt may deliver missing bytes, but does not correct wrong ones.
    let cut_short = gunzip.finish().err().filter(|_| undone.failed.is_none());
    match undone.verdict() {
        Ok(blob) => Ok(Found { reading: Reading::Undone, blob }),
        Err(error) => Err(cut_short.unwrap_or(error)),
    }
}

/// One reading that may turn out to be the blob.
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
    fn take(&mut self, piece: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.check.update(piece).err();
        }
        if let (None, Some(kept)) = (&self.failed, &mut self.kept) {
            kept.extend_from_slice(piece);
        }
    }

    fn take_undone(&mut self, gunzip: &mut Gunzip, mut coded: Bytes) {
        while self.failed.is_none() {
            match gunzip.undo(&mut coded) {
                Ok(piece) if piece.is_empty() => return,
                Ok(piece) => self.take(&piece),
                Err(error) => self.failed = Some(error),
            }
        }
    }

    fn verdict(self) -> Result<Option<Bytes>> {
        match self.failed {
            Some(error) => Err(error),
            None => self.check.finish().map(|()| self.kept.map(Bytes::from)),
        }
    }
}

/// 64 KiB: a blob up to this size is kept while its digest is computed; a larger one is requested
/// again.
const KEPT_LIMIT: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_decide_where_they_can() {
        let (small, large) = (100, 1 << 20);
        for (length, size, expected) in [
            (Some(large), large, Some(Reading::AsItCame)),
            (Some(large - 1), large, Some(Reading::Undone)),
            (Some(large + 1), large, Some(Reading::Undone)),
            (Some(small + 1), small, Some(Reading::Undone)),
            (Some(small), small, None),
            (None, small, None),
            (None, large, None),
        ] {
            let found = by_size(&Coding::Gzip, length, size).unwrap();
            assert_eq!(found, expected, "{length:?} {size}");
            let other = by_size(&Coding::Other("br".to_owned()), length, size);
            assert_eq!(other.ok(), (expected != Some(Reading::Undone)).then_some(expected));
        }
    }
}
