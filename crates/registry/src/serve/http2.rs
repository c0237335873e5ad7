//! HTTP/2: the streams of a connection, and what is held for each.
//!
//! Owns when a body is read on. hyper reads a piece before the client has room for it, so a client that
//! takes nothing would have a file open and memory in use for each stream. Here a body is asked when
//! there is room, and let go of when there is none for a while.

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
use crate::outgoing::Body;
use crate::pace::Pace;

/// Answers the requests of a connection, until it ends or the server does.
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
        // The client gave up, or is gone.
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

/// A body on its way to a client.
struct Sending {
    stream: SendStream<Bytes>,
    body: Body,
    /// Read, and not yet sent.
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
                // It was given back meanwhile.
                continue;
            }
            let part = self.piece.split_to(room.min(self.piece.len()));
            // Where only the next read tells, it comes now: an end needs no room.
            let is_last = self.piece.is_empty()
                && if is_sized { self.body.is_end_stream() } else { !self.read().await? };
            self.pace.passed(Duration::ZERO, part.len());
            self.stream.send_data(part, is_last).map_err(|_| Reason::INTERNAL_ERROR)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Reads the next piece; says whether there is one.
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

    /// Waits until the client takes at least a byte; says how many it takes.
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
    /// What the client says; h2 breaks a body off that has another size.
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

/// 32 streams: clients of registries fetch four or eight blobs at once.
const STREAMS: u32 = 32;
/// 64 KiB, as for HTTP/1.1.
const HEADER_SIZE: u32 = 64 << 10;
/// 1 MiB: at the default of 16 KiB a blob costs nearly three times the CPU of HTTP/1.1.
const FRAME_SIZE: u32 = 1 << 20;
/// 128 KiB of a stream wait for the connection: with 64 KiB a blob costs twice the CPU.
const SEND_BUFFER: usize = 128 << 10;
/// 1 MiB, as Go's servers have it: 20 MB/s of a stream over 50 ms.
const STREAM_WINDOW: u32 = 1 << 20;
/// 2 MiB: a client may send so much ahead, and it is in memory until someone reads it. A request that
/// waits for its turn holds up no other one.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// 100 ms: a client that reads as fast as it can makes room sooner, or is so far away that opening a file
/// once more does not count.
const CLOSE_AFTER: Duration = Duration::from_millis(100);
