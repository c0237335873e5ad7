use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore_core::{Algorithm, BlobStream, Digest, Digester, Error, ErrorKind, Result};

use super::image::ImageJson;

/// The layer of a v1 image on its way: a tar, mostly of gzip.
#[derive(Debug)]
pub struct Layer {
    size: Option<u64>,
    stream: BlobStream,
}

impl Layer {
    pub(super) fn new(size: Option<u64>, stream: BlobStream) -> Self {
        Self { size, stream }
    }

    /// Its size in bytes, where the registry states it.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The bytes, as they come. Nothing tells whether they are right: see [`checked`](Self::checked).
    #[must_use]
    pub fn into_stream(self) -> BlobStream {
        self.stream
    }

    /// The bytes, held against the checksum that came with the image's JSON.
    ///
    /// The last piece is held back until all is right; else the last item is a
    /// [`DigestMismatch`](ErrorKind::DigestMismatch). A checksum is as trustworthy as the registry that
    /// states it: it guards against damage, not against malice.
    ///
    /// # Errors
    /// The layer itself, where no checksum came that can be computed.
    pub fn checked(self, json: &ImageJson) -> Result<BlobStream, Self> {
        let expected = json.checksum.clone().and_then(|sum| Some((sum.algorithm()?, sum)));
        let Some((algorithm, expected)) = expected else { return Err(self) };
        let mut digester = algorithm.digester();
        start(&mut digester, &json.bytes);
        let check = Check { stream: self.stream, digester, expected, held: None, done: false };
        Ok(BlobStream::new(stream::unfold(check, |mut check| async move {
            let item = check.next().await?;
            Some((item, check))
        })))
    }
}

/// What a checksum covers: the image's JSON, a line end, and the layer as it is sent.
///
/// Source: docker-registry 0.9, `checksums.compute_simple`.
pub(super) fn checksum_of(json: &[u8]) -> Digester {
    let mut digester = Algorithm::Sha256.digester();
    start(&mut digester, json);
    digester
}

fn start(digester: &mut Digester, json: &[u8]) {
    digester.update(json);
    digester.update(b"\n");
}

struct Check {
    stream: BlobStream,
    digester: Digester,
    expected: Digest,
    held: Option<Bytes>,
    done: bool,
}

impl Check {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        while !self.done {
            match self.stream.next().await {
                Some(Ok(piece)) => {
                    self.digester.update(&piece);
                    if let Some(before) = self.held.replace(piece) {
                        return Some(Ok(before));
                    }
                }
                Some(Err(e)) => {
                    self.done = true;
                    return Some(Err(e));
                }
                None => {
                    self.done = true;
                    return self.last();
                }
            }
        }
        None
    }

    fn last(&mut self) -> Option<Result<Bytes>> {
        let found = self.digester.clone().finish();
        if found == self.expected {
            return self.held.take().map(Ok);
        }
        let clause = format!("the registry states {}, got {found}", self.expected);
        Some(Err(Error::new(ErrorKind::DigestMismatch).at("layer").detail(clause)))
    }
}
