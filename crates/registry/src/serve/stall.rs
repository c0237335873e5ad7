//! Ends connections whose client stops reading or sends no requests.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::idle::Idle;
use crate::pace::Pace;

/// A connection whose writes fail if they are too slow for [`Pace`], and whose reads fail if they
/// wait too long for [`Idle`].
///
/// Buffered writes count as progress, so the system's buffer should be small.
pub(super) struct Stalling<T> {
    inner: T,
    idle: Idle,
    pace: Pace,
    /// The time at which a write started to wait.
    waiting: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl<T> Stalling<T> {
    pub(super) fn new(inner: T, idle: Idle, pace: Pace) -> Self {
        let timer = Box::pin(tokio::time::sleep(pace.left()));
        Self { inner, idle, pace, waiting: None, timer }
    }

    /// Passes on the result of a write. Fails if the write has waited too long.
    fn watch<V>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<V>>,
        size: impl FnOnce(&V) -> usize,
    ) -> Poll<io::Result<V>> {
        if let Poll::Ready(written) = polled {
            let waited = self.waiting.take().map_or(Duration::ZERO, |since| since.elapsed());
            self.pace.passed(waited, written.as_ref().map_or(0, size));
            return Poll::Ready(written);
        }
        if self.waiting.is_none() {
            let now = Instant::now();
            self.waiting = Some(now);
            self.timer.as_mut().reset(now + self.pace.left());
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Stalling<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.idle.watch(cx, polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Stalling<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, polled, |size| *size)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(cx, polled, |size| *size)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, polled, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch(cx, polled, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::limits::RegistryLimits;
    use crate::serve::idle::Activity;

    /// Creates a connection that requires 30 KiB in 30 s.
    fn connection() -> (Stalling<DuplexStream>, DuplexStream) {
        let (near, far) = tokio::io::duplex(1_000);
        let pace = Pace::new(&RegistryLimits::default());
        (Stalling::new(near, Idle::new(Activity::default()), pace), far)
    }

    /// Writes 100,000 bytes to a client that reads `size` bytes per second. Returns the duration
    /// and the result.
    async fn write(size: usize) -> (u64, io::Result<()>) {
        let (mut near, mut far) = connection();
        tokio::spawn(async move {
            let mut buffer = vec![0; size];
            while far.read_exact(&mut buffer).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let started = Instant::now();
        let written = near.write_all(&vec![0; 100_000]).await;
        (started.elapsed().as_secs(), written)
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_times_out_if_the_peer_stops_reading() {
        let (mut near, _far) = connection();
        near.write_all(&[0; 1_000]).await.unwrap();
        let started = Instant::now();
        let e = near.write_all(b"more").await.unwrap_err();
        assert_eq!(e.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_write_times_out_only_below_the_rate() {
        let (seconds, written) = write(500).await;
        assert_eq!((seconds, written.unwrap_err().kind()), (30, io::ErrorKind::TimedOut));
        let (seconds, written) = write(900).await;
        assert_eq!((seconds, written.unwrap_err().kind()), (30, io::ErrorKind::TimedOut));
        let (seconds, written) = write(1_100).await;
        written.unwrap();
        assert!(seconds > 80, "{seconds}");
    }
}
