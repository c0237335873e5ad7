//! The content of a layer: the uncompressed tar as a stream, and its size and digest.

use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use longshore_core::{
    Algorithm, BlobReader, BlobStream, CHUNK_SIZE, Digest, Error, ErrorKind, Result,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::compression::{Compression, Decoder, UnpackLimits, error_of};
use crate::staging::{ChunkReader, work_over};
use crate::tar_index;

/// The size, digest and compression of a layer's content.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnpackResult {
    /// The compression of the layer.
    pub compression: Compression,
    /// The digest of the uncompressed tar.
    pub diff_id: Digest,
    /// The size of the uncompressed tar in bytes.
    pub size: u64,
}

/// Reads a layer to its end and measures its content.
///
/// Detects the compression from the content, and ignores the media type. Does not keep the content.
///
/// # Errors
/// [`Invalid`](ErrorKind::Invalid) if the compression is damaged;
/// [`Unsupported`](ErrorKind::Unsupported) for xz and bzip2; [`TooLarge`](ErrorKind::TooLarge)
/// beyond the limits; the errors of the reader.
pub async fn measure_layer(reader: BlobReader, limits: UnpackLimits) -> Result<UnpackResult> {
    measure_if(reader, limits, |_| true).await
}

/// Same as [`measure_layer`], for a new layer, which must be a tar.
///
/// # Errors
/// Same as [`measure_layer`]; [`Invalid`](ErrorKind::Invalid) if the content does not begin like a
/// tar.
pub(crate) async fn measure_tar(reader: BlobReader, limits: UnpackLimits) -> Result<UnpackResult> {
    measure_if(reader, limits, tar_index::begins).await
}

async fn measure_if(
    reader: BlobReader,
    limits: UnpackLimits,
    fits: fn(&[u8]) -> bool,
) -> Result<UnpackResult> {
    let digest = reader.descriptor().digest.clone();
    let measured = work_over(reader, move |reader| {
        let mut decoder = Decoder::new(reader, limits)?;
        let compression = decoder.compression();
        let (mut digester, mut start) = (Algorithm::Sha256.digester(), Vec::new());
        decoder.by_ref().take(tar_index::BLOCK).read_to_end(&mut start).map_err(error_of)?;
        if !fits(&start) {
            return Err(Error::new(ErrorKind::Invalid).detail("not a tar, plain or compressed"));
        }
        digester.update(&start);
        let rest = io::copy(&mut decoder, &mut digester).map_err(error_of)?;
        let size = start.len() as u64 + rest;
        Ok(UnpackResult { compression, diff_id: digester.finish(), size })
    });
    measured.await.map_err(|e| e.at(&digest))
}

/// Decompresses a layer while it is read: gzip, zstd or plain.
///
/// - `diff_id`: the required digest of the uncompressed tar, from the image's config.
/// - Chunks come in order. The last chunk is withheld until the layer and its content are
///   verified.
///
/// # Errors
/// As the stream's last item: [`DigestMismatch`](ErrorKind::DigestMismatch) if the content does not
/// match `diff_id`, [`Invalid`](ErrorKind::Invalid) if the compression is damaged,
/// [`Unsupported`](ErrorKind::Unsupported) for xz and bzip2, [`TooLarge`](ErrorKind::TooLarge)
/// beyond the limits, the errors of the reader. Immediately,
/// [`Unsupported`](ErrorKind::Unsupported) if longshore cannot compute digests of the diff ID's
/// algorithm.
///
/// # Cancellation
/// Dropping the stream stops the reading.
pub fn unpack(
    reader: BlobReader,
    diff_id: Option<Digest>,
    limits: UnpackLimits,
) -> Result<BlobStream> {
    let check = diff_id.map(Check::new).transpose()?;
    let digest = reader.descriptor().digest.clone();
    let (sender, receiver) = mpsc::channel(AHEAD);
    let mut work = JoinSet::new();
    work.spawn(async move {
        let unpacked = work_over(reader, move |reader| send(reader, check, limits, &sender));
        unpacked.await.map_err(|e| e.at(&digest))
    });
    Ok(BlobStream::new(stream::try_unfold(
        (receiver, work),
        |(mut receiver, mut work)| async move {
            if let Some(chunk) = receiver.recv().await {
                return Ok(Some((chunk, (receiver, work))));
            }
            match work.join_next().await {
                Some(Ok(result)) => result.map(|()| None),
                Some(Err(e)) => Err(Error::new(ErrorKind::Canceled).with_source(e)),
                None => Ok(None),
            }
        },
    )))
}

/// Sends the content in chunks. The last chunk is sent after the layer and its content have been
/// verified.
fn send(
    reader: &mut ChunkReader,
    mut check: Option<Check>,
    limits: UnpackLimits,
    sender: &mpsc::Sender<Bytes>,
) -> Result<()> {
    let canceled = |_| Error::new(ErrorKind::Canceled);
    let mut held = Bytes::new();
    let mut decoder = Decoder::new(&mut *reader, limits)?;
    loop {
        let mut chunk = BytesMut::zeroed(CHUNK_SIZE);
        let n = decoder.read(&mut chunk).map_err(error_of)?;
        if n == 0 {
            break;
        }
        chunk.truncate(n);
        if let Some(check) = &mut check {
            check.digester.update(&chunk);
        }
        let previous = std::mem::replace(&mut held, chunk.freeze());
        if !previous.is_empty() {
            sender.blocking_send(previous).map_err(canceled)?;
        }
    }
    drop(decoder);
    // Reading to the end of the layer verifies it, before the last chunk is sent.
    io::copy(reader, &mut io::sink()).map_err(error_of)?;
    check.map_or(Ok(()), Check::finish)?;
    sender.blocking_send(held).map_err(canceled)
}

/// The check of the uncompressed content.
struct Check {
    expected: Digest,
    digester: longshore_core::Digester,
}

impl Check {
    fn new(expected: Digest) -> Result<Self> {
        let algorithm = expected.algorithm().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported)
                .at(&expected)
                .detail("digests of this algorithm cannot be computed")
        })?;
        Ok(Self { expected, digester: algorithm.digester() })
    }

    fn finish(self) -> Result<()> {
        let found = self.digester.finish();
        if found == self.expected {
            return Ok(());
        }
        let expected = self.expected;
        Err(Error::new(ErrorKind::DigestMismatch)
            .detail(format!("expected the layer to unpack to {expected}, got {found}")))
    }
}

/// The number of chunks buffered for the reader of the stream.
const AHEAD: usize = 2;
