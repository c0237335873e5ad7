//! Downloads the parts of a large blob over several connections, if that is faster.
//!
//! Some registries and storage services limit the rate of each connection, and over a long distance
//! one connection does not fill the line. `download` reads a blob over one connection at first. If
//! the network is the bottleneck, [`Ahead`] requests the next parts beforehand, at first two at a
//! time. The number doubles as long as this pays off. The parts are returned in order, so the blob
//! is verified as usual.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use longshore_core::{CHUNK_SIZE, Descriptor, Error, ErrorKind, Result};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::RemoteRepository;
use super::range::{Mismatch, check_content_range};
use crate::attempts::Series;
use crate::shared::PARTS;

/// The speed of a download, since its start or since the last check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    start: Instant,
    waited: Duration,
    received: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), waited: Duration::ZERO, received: 0 }
    }

    /// Adds a chunk, and the time of the wait for it.
    pub(super) fn add(&mut self, bytes: u64, waited: Duration) {
        self.received += bytes;
        self.waited += waited;
    }

    /// Returns the rate in bytes per second if the network was the bottleneck for a while. Begins a
    /// new measurement after each while.
    pub(super) fn slow_rate(&mut self) -> Option<f64> {
        let elapsed = self.start.elapsed();
        if elapsed < WHILE {
            return None;
        }
        let measured = std::mem::replace(self, Self::new());
        measured.is_slow(elapsed).then(|| measured.rate())
    }

    fn is_slow(&self, elapsed: Duration) -> bool {
        self.waited >= elapsed.mul_f64(0.7)
    }

    fn rate(&self) -> f64 {
        self.received as f64 / self.start.elapsed().as_secs_f64().max(f64::EPSILON)
    }
}

/// A download in parts.
pub(super) struct Ahead {
    repository: RemoteRepository,
    descriptor: Descriptor,
    /// The parts that are being downloaded, in order.
    parts: FuturesOrdered<BoxFuture<'static, Result<Part>>>,
    /// The part that is being returned.
    first: Option<Part>,
    /// The bytes that are not requested yet.
    rest: Range<u64>,
    /// The number of parts that are downloaded at a time. One means that parts bring nothing.
    width: usize,
    /// True once a larger number of parts brought nothing.
    is_final: bool,
    /// The rate with the previous number of parts, in bytes per second.
    before: f64,
    pace: Pace,
}

/// A task that is aborted if its result is no longer needed.
struct AbortOnDrop(JoinHandle<Result<Part>>);

impl AbortOnDrop {
    async fn result(mut self) -> Result<Part> {
        let result = (&mut self.0).await;
        result.map_err(|e| Error::new(ErrorKind::Canceled).with_source(e))?
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The content of a part. The permit bounds the memory of all parts.
struct Part {
    bytes: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl Ahead {
    /// Begins to download `rest` of a blob in parts.
    ///
    /// - `rate`: the rate over one connection, in bytes per second.
    pub(super) fn begin(
        repository: &RemoteRepository,
        descriptor: &Descriptor,
        rest: Range<u64>,
        rate: f64,
    ) -> Self {
        Self {
            repository: repository.clone(),
            descriptor: descriptor.clone(),
            parts: FuturesOrdered::new(),
            first: None,
            rest,
            width: 2,
            is_final: false,
            before: rate,
            pace: Pace::new(),
        }
    }

    /// Returns the next chunk. Returns `None` if no further part is downloaded: at the end of the
    /// blob, or if parts bring nothing.
    ///
    /// # Errors
    /// The error of a part. The bytes before it were returned.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(part) = &mut self.first
                && !part.bytes.is_empty()
            {
                let size = part.bytes.len().min(CHUNK_SIZE);
                return Ok(Some(part.bytes.split_to(size)));
            }
            self.first = None;
            self.request();
            let Some(part) = self.parts.next().await else { return Ok(None) };
            let part = part?;
            self.measure(part.bytes.len() as u64);
            self.first = Some(part);
        }
    }

    /// Requests parts until enough are being downloaded.
    ///
    /// Never waits for a permit, because another download may hold all permits until its reader
    /// continues.
    fn request(&mut self) {
        while self.width > 1 && self.parts.len() < self.width && !self.rest.is_empty() {
            let permits = Arc::clone(&self.repository.shared().parts);
            let Ok(permit) = permits.try_acquire_owned() else {
                // Rates with fewer parts than intended show nothing.
                self.is_final = true;
                return;
            };
            let end = self.rest.end.min(self.rest.start + PART_SIZE);
            let range = std::mem::replace(&mut self.rest.start, end)..end;
            // The parts have their own counts of failures, because they fail independently.
            let repository = self.repository.in_series(&Series::default());
            let descriptor = self.descriptor.clone();
            // A task makes progress while the reader pauses. Otherwise, a part could hold a permit or
            // the lock of a token that the reader's next request needs.
            let task = tokio::spawn(async move {
                let bytes = repository.part(&descriptor, &range).await?;
                Ok(Part { bytes, _permit: permit })
            });
            let task = AbortOnDrop(task);
            self.parts.push_back(Box::pin(task.result()));
        }
    }

    /// Changes the number of parts after each connection has delivered two of them.
    fn measure(&mut self, received: u64) {
        self.pace.add(received, Duration::ZERO);
        if self.is_final || self.pace.received < 2 * PART_SIZE * self.width as u64 {
            return;
        }
        let rate = self.pace.rate();
        let width = next_width(self.width, self.before, rate);
        tracing::debug!(digest = %self.descriptor.digest, rate, width, "downloading in parts");
        self.is_final = width <= self.width;
        (self.width, self.before, self.pace) = (width, rate, Pace::new());
        if width == 1 {
            self.repository.learn(|known| known.parts_bring_nothing = true);
        }
    }
}

/// Chooses the number of parts from the rates before and with the present number.
fn next_width(width: usize, before: f64, now: f64) -> usize {
    match now >= before * WORTHWHILE {
        true => (2 * width).min(PARTS),
        false => width / 2,
    }
}

impl RemoteRepository {
    /// Downloads a part of a blob.
    async fn part(&self, descriptor: &Descriptor, range: &Range<u64>) -> Result<Bytes> {
        let about = || self.blob_name(&descriptor.digest);
        let reply = self.get_blob(&descriptor.digest, Some(range)).await?;
        let reply = reply.expect(&[206]).await.map_err(|e| e.at(about()))?;
        check_content_range(&reply.headers, range, descriptor.size).map_err(|e| {
            let clause = match e {
                Mismatch::Range(clause) => format!("the partial reply {clause}"),
                Mismatch::Size(size) => format!("the registry has {size} bytes"),
            };
            Error::new(ErrorKind::Protocol).at(about()).detail(clause)
        })?;
        let size = range.end - range.start;
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let mut chunks = reply.body.into_stream().at_most(size);
        let mut bytes = BytesMut::with_capacity(limit);
        while let Some(chunk) = chunks.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let bytes = bytes.freeze();
        match bytes.len() == limit {
            true => Ok(bytes),
            false => {
                Err(Error::new(ErrorKind::Transport).at(about()).detail("the reply ended early"))
            }
        }
    }
}

/// 64 MiB: the smallest rest of a blob that is downloaded in parts.
pub(super) const SMALLEST_REST: u64 = 64 << 20;
/// 4 MiB: large enough that the round trips of a request take little of its time.
const PART_SIZE: u64 = 4 << 20;
/// Twice as many connections must be faster by 30 %.
const WORTHWHILE: f64 = 1.3;
/// Half a second, in which the rate of one connection is measured.
const WHILE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_parts_doubles_while_this_is_faster() {
        for (width, before, now, expected) in [
            (2, 100.0, 200.0, 4),
            (2, 100.0, 131.0, 4),
            (2, 100.0, 129.0, 1),
            (4, 200.0, 400.0, 8),
            (4, 200.0, 210.0, 2),
            (8, 400.0, 800.0, 8),
            (8, 400.0, 400.0, 4),
        ] {
            assert_eq!(next_width(width, before, now), expected, "{width} {before} {now}");
        }
    }

    #[test]
    fn the_network_is_the_bottleneck_if_most_of_the_time_is_spent_in_waits() {
        let pace = |waited| Pace { start: Instant::now(), waited, received: 1 };
        let second = Duration::from_secs(1);
        assert!(pace(Duration::from_millis(700)).is_slow(second));
        assert!(!pace(Duration::from_millis(600)).is_slow(second));
        assert_eq!(Pace::new().slow_rate(), None, "the measurement takes a while");
    }
}
