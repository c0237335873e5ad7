//! Downloads that resume after broken connections.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use longshore_core::{BlobStream, Descriptor, Error, ErrorKind, Result};

use super::RemoteRepository;
use super::ahead::{Ahead, Pace, SMALLEST_REST};
use super::blob::whole_size;
use super::range::{Mismatch, check_content_range, refused};
use super::reading::{self, Reading};
use crate::attempts::{Series, is_broken};
use crate::coding::Coding;
use crate::reply::Reply;

/// Starts a download of a blob or a part of it, as a stream that resumes after failures.
///
/// If the connection breaks or stalls, the rest is requested from the registry again, because the
/// signed URL of the last redirect may have expired. A reply that ignores the range is read from
/// its start, and the bytes that were already received are skipped. After a reply with a different
/// range, the whole blob is requested. If the whole blob has a different size, the blob is not
/// requested again, because another reply would have the same size. The reader verifies the content
/// by its digest.
///
/// A reply that is encoded, although no coding was requested, is read as received or decoded. The
/// choice is made before any byte is yielded. Ranges of such a reply may count encoded or decoded
/// bytes, so no range is requested.
pub(super) async fn start(
    repository: &RemoteRepository,
    descriptor: &Descriptor,
    range: Range<u64>,
) -> Result<BlobStream> {
    let series = Series::default();
    let mut download = Download {
        repository: repository.in_series(&series),
        descriptor: descriptor.clone(),
        position: range.start,
        range,
        body: BlobStream::new(stream::empty()),
        skip: 0,
        ends_the_blob: false,
        ranges_fail: false,
        reading: None,
        pace: Pace::new(),
        ahead: None,
        in_parts: true,
        counted: Arc::clone(&repository.shared().downloads),
        series,
    };
    download.open().await?;
    Ok(BlobStream::new(stream::try_unfold(download, |mut download| async move {
        Ok(download.next().await?.map(|chunk| (chunk, download)))
    })))
}

struct Download {
    repository: RemoteRepository,
    descriptor: Descriptor,
    range: Range<u64>,
    /// Offset of the next byte to yield.
    position: u64,
    body: BlobStream,
    /// Number of bytes of the body to skip.
    skip: u64,
    /// True if the body ends only at the end of the blob, as with chunked encoding. False if the
    /// body may end earlier, for example because the connection closes.
    ends_the_blob: bool,
    /// True if the registry answered a range request with a different range or with an encoded
    /// reply.
    ranges_fail: bool,
    /// The way to read encoded replies, if known.
    reading: Option<Reading>,
    /// The speed over one connection.
    pace: Pace,
    /// The download of the rest in parts over several connections.
    ahead: Option<Box<Ahead>>,
    /// False if a download of the rest in parts failed or was not faster.
    in_parts: bool,
    /// Counts this download.
    counted: Arc<()>,
    series: Series,
}

impl Download {
    /// Requests the bytes from the position on.
    async fn open(&mut self) -> Result<()> {
        let rest = self.position..self.range.end;
        let whole = rest == (0..self.descriptor.size);
        let mut reply = match whole || self.ranges_fail {
            true => self.whole().await?,
            false => match self.part(&rest).await? {
                Some(reply) => reply,
                None => return Ok(()),
            },
        };
        while !self.take_whole(reply).await? {
            reply = self.whole().await?;
        }
        Ok(())
    }

    /// Requests the whole blob.
    async fn whole(&mut self) -> Result<Reply> {
        let reply = self.repository.get_blob(&self.descriptor.digest, None).await?;
        reply.expect(&[200]).await.map_err(|e| e.at(self.name()))
    }

    /// Requests a part and uses the reply. Returns the reply if it has the whole blob instead.
    async fn part(&mut self, rest: &Range<u64>) -> Result<Option<Reply>> {
        let (digest, size) = (&self.descriptor.digest, self.descriptor.size);
        let reply = self.repository.get_blob(digest, Some(rest)).await?;
        let refusal = match reply.status.as_u16() {
            200 => return Ok(Some(reply)),
            206 => check_content_range(&reply.headers, rest, size),
            416 => Err(refused(&reply.headers, size)),
            _ => return Err(reply.into_error().await.at(self.name())),
        };
        match refusal {
            Ok(()) => {
                (self.body, self.skip) = (reply.body.into_stream(), 0);
                self.ends_the_blob = false;
                return Ok(None);
            }
            Err(Mismatch::Size(size)) => return Err(self.other_size(size)),
            Err(Mismatch::Range(clause)) => {
                tracing::debug!(%digest, clause, "unusable partial reply");
                self.ranges_fail = true;
            }
        }
        self.whole().await.map(Some)
    }

    /// Uses a reply with the whole blob, and skips the bytes that were already received. Returns
    /// `false` if the blob must be requested again.
    async fn take_whole(&mut self, reply: Reply) -> Result<bool> {
        if reply.coding() != Coding::Identity {
            return self.take_coded(reply).await;
        }
        if let Some(size) = whole_size(&reply).filter(|size| *size != self.descriptor.size) {
            return Err(self.other_size(size));
        }
        self.ends_the_blob = reply.headers.contains_key(TRANSFER_ENCODING);
        (self.body, self.skip) = (reply.body.into_stream(), self.position);
        Ok(true)
    }

    async fn take_coded(&mut self, reply: Reply) -> Result<bool> {
        self.ranges_fail = true;
        let coding = reply.coding();
        let length = reply.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse().ok());
        let is_framed = length.is_some() || reply.headers.contains_key(TRANSFER_ENCODING);
        let body = reply.body.into_stream();
        let by_size = || reading::by_size(&coding, length, self.descriptor.size);
        let known = match self.reading {
            Some(reading) => Some(reading),
            None => by_size().map_err(|e| e.at(self.name()))?,
        };
        let (body, ends_the_blob) = match known {
            Some(Reading::AsItCame) => (body, is_framed),
            Some(Reading::Decoded) => (coding.decode(body), true),
            None => match reading::find(&coding, body, &self.descriptor).await {
                Ok(found) => {
                    self.reading = Some(found.reading);
                    let Some(blob) = found.blob else { return Ok(false) };
                    (blob.into(), true)
                }
                Err(error) => {
                    self.pause_after(error.at(self.name())).await?;
                    return Ok(false);
                }
            },
        };
        (self.body, self.skip, self.ends_the_blob) = (body, self.position, ends_the_blob);
        Ok(true)
    }

    fn other_size(&self, size: u64) -> Error {
        let clause = format!(
            "the manifest states {} bytes, but the registry has {size}",
            self.descriptor.size
        );
        Error::new(ErrorKind::SizeMismatch).at(self.name()).detail(clause)
    }

    /// Returns the next chunk, even beyond the range, because the reader of a whole blob must
    /// detect excess bytes.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.ahead.is_some() {
            if let Some(chunk) = self.next_of_parts().await? {
                return Ok(Some(chunk));
            }
        }
        loop {
            let begun = Instant::now();
            let received = self.body.next().await;
            match received {
                Some(Ok(mut chunk)) => {
                    let skipped = self.skip.min(chunk.len() as u64);
                    self.skip -= skipped;
                    drop(chunk.split_to(usize::try_from(skipped).unwrap_or(usize::MAX)));
                    self.position += chunk.len() as u64;
                    self.pace.add(chunk.len() as u64, begun.elapsed());
                    if !chunk.is_empty() {
                        self.go_ahead();
                        return Ok(Some(chunk));
                    }
                }
                None if self.position >= self.range.end => return Ok(None),
                // If this body is shorter than `position`, its size is smaller by the bytes that
                // could not be skipped.
                None if self.ends_the_blob => {
                    return Err(self.other_size(self.position - self.skip));
                }
                None => {
                    let error = Error::new(ErrorKind::Transport).at(self.name());
                    self.recover(error.detail("the reply ended early")).await?;
                }
                Some(Err(error)) => self.recover(error.at(self.name())).await?,
            }
        }
    }

    /// Downloads the rest in parts, if it is large and the network is slow.
    fn go_ahead(&mut self) {
        let rest = self.position..self.range.end;
        // Several downloads already use several connections.
        let others = Arc::strong_count(&self.counted).saturating_sub(2);
        let has_permits = self.repository.shared().parts.available_permits() >= 2;
        let is_possible = self.in_parts
            && others <= MOST_OTHERS
            && has_permits
            && !self.ranges_fail
            && self.skip == 0;
        if !is_possible || rest.end.saturating_sub(rest.start) < SMALLEST_REST {
            return;
        }
        let Some(rate) = self.pace.slow_rate() else { return };
        if !self.repository.known().parts_bring_nothing {
            self.body = BlobStream::new(stream::empty());
            let ahead = Ahead::begin(&self.repository, &self.descriptor, rest, rate);
            self.ahead = Some(Box::new(ahead));
        }
    }

    /// Returns the next chunk of the parts. After the last part, or after a failure, requests the
    /// rest over one connection and returns `None`.
    async fn next_of_parts(&mut self) -> Result<Option<Bytes>> {
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        let chunk = ahead.next().await;
        if let Ok(Some(chunk)) = chunk {
            self.position += chunk.len() as u64;
            self.series.reach(self.position - self.range.start);
            return Ok(Some(chunk));
        }
        (self.ahead, self.in_parts) = (None, false);
        match chunk {
            Ok(_) if self.position >= self.range.end => {}
            Err(error) if is_broken(&error) => self.recover(error).await?,
            outcome => {
                tracing::debug!(digest = %self.descriptor.digest, ?outcome, "no further parts");
                if outcome.is_err() {
                    // The registry refuses parts, and would refuse those of other blobs too.
                    self.repository.learn(|known| known.parts_bring_nothing = true);
                }
                self.open().await?;
            }
        }
        Ok(None)
    }

    /// Requests the rest after a failure. Fails if the error is not transient, or after the maximum
    /// number of attempts without progress.
    async fn recover(&mut self, error: Error) -> Result<()> {
        // A failure after the last byte does not affect the content.
        if self.position >= self.range.end && is_broken(&error) {
            self.body = BlobStream::new(stream::empty());
            return Ok(());
        }
        self.pause_after(error).await?;
        self.open().await
    }

    /// Waits after a failure that may be transient.
    ///
    /// # Errors
    /// The failure itself, if it is not transient, or after too many failures.
    async fn pause_after(&mut self, error: Error) -> Result<()> {
        self.series.reach(self.position - self.range.start);
        let exchange = self.repository.exchange();
        let wait = match is_broken(&error) {
            true => self.series.fail(exchange.retry(), None),
            false => None,
        };
        let Some(wait) = wait else { return Err(error) };
        tracing::debug!(digest = %self.descriptor.digest, position = self.position, %error, "resuming");
        exchange.pause(wait, None, "the download continues").await;
        Ok(())
    }

    fn name(&self) -> String {
        self.repository.blob_name(&self.descriptor.digest)
    }
}

/// Two other downloads: more of them use enough connections without parts.
const MOST_OTHERS: usize = 2;
