//! HTTP/2: the streams of a connection, and their resources.
//!
//! Owns the polling of bodies. hyper would read a chunk before the client's window has room for it,
//! so a client that reads nothing would hold a file and memory for each stream. Here, a body is
//! polled only when the window is open, and closed if the window stays closed for 100 ms.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream, server};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::connection::Exchange;
use crate::pace::Pace;
use crate::response_body::Body;

/// Serves the requests of a connection until it ends or the server shuts down.
pub(super) async fn run<S>(stream: S, exchange: Exchange, closed: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Err(e) = accept(stream, exchange, closed).await {
        tracing::debug!(error = %e, "a connection failed");
    }
}

async fn accept<S>(
    stream: S,
    exchange: Exchange,
    mut closed: watch::Receiver<()>,
) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = tokio::select! {
        connection = server().handshake::<_, Bytes>(stream) => connection?,
        _ = closed.changed() => return Ok(()),
    };
    let mut is_closing = false;
    loop {
        tokio::select! {
            request = connection.accept() => match request.transpose()? {
                Some((request, respond)) => {
                    tokio::spawn(answer(request, respond, exchange.clone()));
                }
                None => return Ok(()),
            },
            _ = closed.changed(), if !is_closing => {
                is_closing = true;
                connection.graceful_shutdown();
            }
        }
    }
}

fn server() -> server::Builder {
    let mut server = server::Builder::new();
    server
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_SIZE)
        .max_frame_size(FRAME_SIZE)
        .max_send_buffer_size(SEND_BUFFER)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    server
}

/// Answers one request.
async fn answer(
    mut request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    exchange: Exchange,
) {
    let _active_request = exchange.begin(&mut request);
    let size =
        request.headers().get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    let request = request.map(|stream| Received { stream, size });
    let response = tokio::select! {
        response = exchange.registry.answer(request) => response,
        // The client canceled the request or disconnected.
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    let (mut parts, body) = response.into_parts();
    complete(&mut parts.headers, &body);
    let response = Response::from_parts(parts, ());
    let stream = match respond.send_response(response, body.is_end_stream()) {
        Ok(stream) => stream,
        Err(e) => return tracing::debug!(error = %e, "a response was not sent"),
    };
    if !body.is_end_stream() {
        Sending { stream, body, unsent: Bytes::new(), pace: exchange.pace() }.run().await;
    }
}

/// Adds the headers that hyper adds to HTTP/1.1 responses.
fn complete(headers: &mut HeaderMap, body: &Body) {
    #[expect(clippy::disallowed_methods, reason = "the Date header needs the wall clock")]
    let now = SystemTime::now();
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now)) {
        headers.insert(DATE, date);
    }
    if let Some(size) = body.size_hint().exact().filter(|size| *size > 0) {
        headers.entry(CONTENT_LENGTH).or_insert_with(|| size.into());
    }
}

/// A body being sent to a client.
struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    /// Bytes that were read but not sent yet.
    unsent: Bytes,
    pace: Pace,
}

impl Sending {
    async fn run(mut self) {
        if let Err(reason) = self.send().await {
            self.stream.send_reset(reason);
        }
    }

    async fn send(&mut self) -> Result<(), Reason> {
        let is_sized = self.body.size_hint().exact().is_some();
        loop {
            if self.unsent.is_empty() {
                self.wait_for_capacity().await?;
                if !self.read().await? {
                    let end = self.stream.send_data(Bytes::new(), true);
                    return end.map_err(|_| Reason::INTERNAL_ERROR);
                }
            }
            let available = self.wait_for_capacity().await?;
            if self.unsent.is_empty() {
                // The body took the bytes back in the meantime.
                continue;
            }
            let part = self.unsent.split_to(available.min(self.unsent.len()));
            // Detect the end now, because the next turn of the loop would wait for a window, which
            // the end does not need. If the size is unknown, only a read can detect the end.
            let is_last = self.unsent.is_empty()
                && if is_sized { self.body.is_end_stream() } else { !self.read().await? };
            self.pace.passed(Duration::ZERO, part.len());
            self.stream.send_data(part, is_last).map_err(|_| Reason::INTERNAL_ERROR)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Reads the next chunk. Returns false at the end.
    async fn read(&mut self) -> Result<bool, Reason> {
        while self.unsent.is_empty() {
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                _ = poll_fn(|cx| self.stream.poll_reset(cx)) => return Err(Reason::CANCEL),
            };
            match frame {
                Some(Ok(frame)) => self.unsent = frame.into_data().unwrap_or_default(),
                Some(Err(e)) => {
                    tracing::debug!(error = %e, "a body was interrupted");
                    return Err(Reason::INTERNAL_ERROR);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the client accepts at least one byte. Returns how many bytes it accepts.
    async fn wait_for_capacity(&mut self) -> Result<usize, Reason> {
        self.stream.reserve_capacity(self.unsent.len().max(1));
        if self.stream.capacity() > 0 {
            return Ok(self.stream.capacity());
        }
        let (started, left) = (Instant::now(), self.pace.left());
        let available = match timeout(left.min(CLOSE_AFTER), capacity(&mut self.stream)).await {
            Ok(available) => available?,
            Err(_) => {
                self.unsent = self.body.close(std::mem::take(&mut self.unsent));
                let left = left.saturating_sub(CLOSE_AFTER);
                let waited = timeout(left, capacity(&mut self.stream)).await;
                waited.map_err(|_| {
                    tracing::debug!("a stream was reset because its client reads too slowly");
                    Reason::CANCEL
                })??
            }
        };
        self.pace.passed(started.elapsed(), 0);
        Ok(available)
    }
}

async fn capacity(stream: &mut SendStream<Bytes>) -> Result<usize, Reason> {
    match poll_fn(|cx| stream.poll_capacity(cx)).await {
        Some(Ok(size)) => Ok(size),
        Some(Err(_)) | None => Err(Reason::CANCEL),
    }
}

/// The body of a request.
struct Received {
    stream: RecvStream,
    /// The size that the client declared. h2 aborts a body of another size.
    size: Option<u64>,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let data = ready!(self.stream.poll_data(cx)).transpose()?;
        if let Some(data) = &data {
            self.stream.flow_control().release_capacity(data.len())?;
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map(SizeHint::with_exact).unwrap_or_default()
    }
}

/// 32 streams: registry clients fetch four or eight blobs at the same time.
const STREAMS: u32 = 32;
/// 64 KiB, as for HTTP/1.1.
const HEADER_SIZE: u32 = 64 << 10;
/// 1 MiB: with the default of 16 KiB, sending a blob takes nearly three times the CPU time of
/// HTTP/1.1.
const FRAME_SIZE: u32 = 1 << 20;
/// 128 KiB per stream, buffered for the connection. With 64 KiB, sending a blob takes twice the CPU
/// time.
const SEND_BUFFER: usize = 128 << 10;
/// 1 MiB, as in Go's servers: 20 MB/s for a stream with a round-trip time of 50 ms.
const STREAM_WINDOW: u32 = 1 << 20;
/// 2 MiB: the number of bytes that a client can send before the registry reads them. The bytes stay
/// in memory until then. One stream cannot fill the window, so a single waiting request does not
/// block the others.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// 100 ms: a client that reads at full speed opens its window sooner. For a client with a longer
/// round-trip time, the cost of reopening a file does not matter.
const CLOSE_AFTER: Duration = Duration::from_millis(100);
