//! HTTP/2: the streams of a connection, and their resources.
//!
//! Owns the polling of bodies. hyper reads a chunk before the client has room for it, so a client
//! that reads nothing would hold a file and memory for each stream. Here a body is polled when
//! there is room, and closed after a while without room.

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

/// Answers the requests of a connection until it ends or the server shuts down.
pub(super) async fn run<S>(stream: S, exchange: Exchange, closed: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Err(e) = accept(stream, exchange, closed).await {
        tracing::debug!(error = %e, "a connection broke");
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
    let _under_way = exchange.begin(&mut request);
    let size =
        request.headers().get(CONTENT_LENGTH).and_then(|size| size.to_str().ok()?.parse().ok());
    let request = request.map(|stream| Received { stream, size });
    let response = tokio::select! {
        response = exchange.registry.answer(request) => response,
        // The client has canceled the request or disconnected.
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
        Sending { stream, body, piece: Bytes::new(), pace: exchange.pace() }.run().await;
    }
}

/// Adds the headers that hyper adds to HTTP/1.1.
fn complete(headers: &mut HeaderMap, body: &Body) {
    #[expect(clippy::disallowed_methods, reason = "the header is the time of day")]
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
    /// Read, but not sent.
    piece: Bytes,
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
            if self.piece.is_empty() {
                self.room().await?;
                if !self.read().await? {
                    let end = self.stream.send_data(Bytes::new(), true);
                    return end.map_err(|_| Reason::INTERNAL_ERROR);
                }
            }
            let room = self.room().await?;
            if self.piece.is_empty() {
                // The body took it back meanwhile.
                continue;
            }
            let part = self.piece.split_to(room.min(self.piece.len()));
            // Read now if only the next read shows the end: an end needs no room.
            let is_last = self.piece.is_empty()
                && if is_sized { self.body.is_end_stream() } else { !self.read().await? };
            self.pace.passed(Duration::ZERO, part.len());
            self.stream.send_data(part, is_last).map_err(|_| Reason::INTERNAL_ERROR)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Reads the next chunk; returns false at the end.
    async fn read(&mut self) -> Result<bool, Reason> {
        while self.piece.is_empty() {
            let frame = tokio::select! {
                frame = self.body.frame() => frame,
                _ = poll_fn(|cx| self.stream.poll_reset(cx)) => return Err(Reason::CANCEL),
            };
            match frame {
                Some(Ok(frame)) => self.piece = frame.into_data().unwrap_or_default(),
                Some(Err(e)) => {
                    tracing::debug!(error = %e, "a body broke off");
                    return Err(Reason::INTERNAL_ERROR);
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the client accepts at least a byte; returns how many it accepts.
    async fn room(&mut self) -> Result<usize, Reason> {
        self.stream.reserve_capacity(self.piece.len().max(1));
        if self.stream.capacity() > 0 {
            return Ok(self.stream.capacity());
        }
        let (started, left) = (Instant::now(), self.pace.left());
        let room = match timeout(left.min(CLOSE_AFTER), capacity(&mut self.stream)).await {
            Ok(room) => room?,
            Err(_) => {
                self.piece = self.body.close(std::mem::take(&mut self.piece));
                let left = left.saturating_sub(CLOSE_AFTER);
                let waited = timeout(left, capacity(&mut self.stream)).await;
                waited.map_err(|_| {
                    tracing::debug!("a stream ends: its client takes too little of it");
                    Reason::CANCEL
                })??
            }
        };
        self.pace.passed(started.elapsed(), 0);
        Ok(room)
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
    /// The size that the client stated; h2 aborts a body of another size.
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

/// 32 streams: registry clients fetch four or eight blobs at once.
const STREAMS: u32 = 32;
/// 64 KiB, as for HTTP/1.1.
const HEADER_SIZE: u32 = 64 << 10;
/// 1 MiB: at the default of 16 KiB a blob costs nearly three times the CPU of HTTP/1.1.
const FRAME_SIZE: u32 = 1 << 20;
/// 128 KiB of a stream are buffered for the connection: with 64 KiB a blob costs twice the CPU.
const SEND_BUFFER: usize = 128 << 10;
/// 1 MiB, as in Go's servers: 20 MB/s for a stream over 50 ms.
const STREAM_WINDOW: u32 = 1 << 20;
/// 2 MiB: the client may send this much ahead, and it stays in memory until read. A waiting request
/// does not block the others.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// 100 ms: a client that reads at full speed makes room sooner, or is so far away that reopening a
/// file does not matter.
const CLOSE_AFTER: Duration = Duration::from_millis(100);
