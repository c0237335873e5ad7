use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use longshore::http::header::CONTENT_LENGTH;
use longshore::{Algorithm, BlobStream, Digest, Digester, Error, ErrorKind, RawReply, Result};

use super::image::ImageJson;
use super::site::header;

/// The layer of a v1 image as pushed: a tar, usually compressed with gzip.
///
/// A gzip content encoding, which a proxy may add, is decoded.
#[derive(Debug)]
pub struct Layer {
    /// Boxed, because [`checked`](Self::checked) may return the layer as its error.
    reply: Box<RawReply>,
}

impl Layer {
    pub(super) fn new(reply: RawReply) -> Self {
        Self { reply: Box::new(reply) }
    }

    /// Returns the layer's size in bytes, if the registry states it and the body has no content
    /// encoding.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.length().filter(|_| !self.reply.is_coded())
    }

    /// Returns the bytes, in order, without verification. See also [`checked`](Self::checked).
    #[must_use]
    pub fn into_stream(self) -> BlobStream {
        self.reply.into_decoded()
    }

    /// Returns the bytes, checked against the checksum that came with the image's JSON.
    ///
    /// The last chunk is withheld until the checksum is verified. If the checksum does not match,
    /// the last item is a [`DigestMismatch`](ErrorKind::DigestMismatch). The registry itself states
    /// the checksum, so the checksum protects against damage but not against a malicious registry.
    ///
    /// # Errors
    /// Returns the layer itself if `json` has no checksum of a supported kind.
    pub fn checked(self, json: &ImageJson) -> Result<BlobStream, Self> {
        let expected = json.checksum.clone().and_then(|sum| Some((sum.algorithm()?, sum)));
        let Some((algorithm, expected)) = expected else { return Err(self) };
        let mut digester = algorithm.digester();
        start(&mut digester, &json.bytes);
        // A storage service may label a gzip layer as encoded without encoding it again. The body
        // then has the size that the registry stated with the JSON.
        let stream = match json.size.is_some() && json.size == self.length() {
            true => self.reply.into_stream(),
            false => self.into_stream(),
        };
        let check = Check { stream, digester, expected, held: None, done: false };
        Ok(BlobStream::new(stream::unfold(check, |mut check| async move {
            let item = check.next().await?;
            Some((item, check))
        })))
    }

    /// Returns the length of the body as received, before decoding.
    fn length(&self) -> Option<u64> {
        header(&self.reply.headers, CONTENT_LENGTH.as_str())?.parse().ok()
    }
}

/// Returns a digester for a checksum over the image's JSON, a line end, and the layer as sent.
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
                Some(Ok(chunk)) => {
                    self.digester.update(&chunk);
                    if let Some(before) = self.held.replace(chunk) {
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
        let clause = format!("the registry states the checksum {}, got {found}", self.expected);
        Some(Err(Error::new(ErrorKind::DigestMismatch).at("layer").detail(clause)))
    }
}
