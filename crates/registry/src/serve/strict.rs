//! Passes on only requests whose framing is unambiguous.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::{self, Framing, Problem};

/// A connection that checks the framing of the incoming bytes.
///
/// A refused head is replaced with a minimal request, and the reason is stored in [`Refused`]. Most
/// bytes of a body are not copied. A body with invalid chunks is aborted. HTTP/2 has its own
/// framing and is passed on unchanged.
pub(super) struct Strict<T> {
    inner: T,
    state: State,
    /// Bytes that were read but not checked.
    inbox: BytesMut,
    /// The number of bytes already searched for the end of a head.
    seen: usize,
    /// Bytes that were checked but not passed on.
    outbox: Bytes,
    /// The number of heads that were passed on.
    heads: usize,
    refused: Refused,
}

/// The reason for refusing the last request of a connection, and the number of requests before it,
/// which may still be unanswered.
#[derive(Clone, Debug, Default)]
pub(super) struct Refused(Arc<OnceLock<(usize, Problem)>>);

enum State {
    /// The HTTP version is not known yet.
    Beginning,
    Http1(Framing),
    /// All further bytes are passed on unchecked.
    PassThrough,
    Ended,
}

impl Refused {
    /// Returns the problem of the request that follows `before` other requests.
    pub(super) fn problem(&self, before: usize) -> Option<Problem> {
        self.0.get().filter(|(good, _)| *good <= before).map(|(_, problem)| *problem)
    }
}

impl<T> Strict<T> {
    pub(super) fn new(inner: T, refused: Refused) -> Self {
        Self {
            inner,
            state: State::Beginning,
            inbox: BytesMut::new(),
            seen: 0,
            outbox: Bytes::new(),
            heads: 0,
            refused,
        }
    }

    /// Detects the version from the first bytes, once there are enough of them.
    fn begin(&mut self) {
        if matches!(self.state, State::Beginning) && !self.inbox.is_empty() {
            if self.inbox.starts_with(HTTP2_PREFACE) {
                self.state = State::PassThrough;
            } else if !HTTP2_PREFACE.starts_with(&self.inbox) {
                self.state = State::Http1(Framing::Head);
            }
        }
    }

    /// Checks the bytes of the inbox and moves them to the outbox, once the inbox contains a whole
    /// head.
    fn check(&mut self) -> Result<(), Problem> {
        self.begin();
        match &mut self.state {
            State::PassThrough => self.outbox = self.inbox.split().freeze(),
            State::Http1(framing) => match framing::head_size(&self.inbox, self.seen)? {
                Some(size) => {
                    *framing = Framing::after(&self.inbox[..size])?;
                    let body = framing.advance(&self.inbox[size..])?;
                    self.outbox = self.inbox.split_to(size + body).freeze();
                    self.seen = 0;
                    self.heads += 1;
                }
                None if self.inbox.len() >= HEAD_LIMIT => {
                    // hyper refuses a head of this size correctly, and reads nothing after it.
                    self.outbox = self.inbox.split().freeze();
                    self.state = State::PassThrough;
                }
                None => self.seen = self.inbox.len(),
            },
            State::Beginning | State::Ended => {}
        }
        Ok(())
    }

    fn refuse(&mut self, problem: Problem) {
        let _ = self.refused.0.set((self.heads, problem));
        self.state = State::Ended;
        self.inbox.clear();
        self.outbox = Bytes::from_static(PLACEHOLDER);
    }
}

impl<T: AsyncRead + Unpin> Strict<T> {
    /// Waits for the bytes that show whether the client uses HTTP/2.
    ///
    /// # Errors
    /// Errors of the connection; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection
    /// ends before these bytes.
    pub(super) async fn is_http2(&mut self) -> io::Result<bool> {
        poll_fn(|cx| {
            loop {
                self.begin();
                match self.state {
                    State::Beginning => {
                        if ready!(self.poll_fill(cx))? == 0 {
                            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                        }
                    }
                    State::PassThrough => return Poll::Ready(Ok(true)),
                    State::Http1(_) | State::Ended => return Poll::Ready(Ok(false)),
                }
            }
        })
        .await
    }

    /// Reads bytes into the inbox. Returns their number.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [0; 8 << 10];
        let mut buffer = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
        self.inbox.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// Reads bytes of a body directly into the caller's buffer.
    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let start = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let State::Http1(framing) = &mut self.state else {
            return Poll::Ready(Ok(()));
        };
        match framing.advance(&buf.filled()[start..]) {
            Ok(size) => {
                self.inbox.extend_from_slice(&buf.filled()[start + size..]);
                buf.set_filled(start + size);
                Poll::Ready(Ok(()))
            }
            Err(problem) => {
                buf.set_filled(start);
                self.state = State::Ended;
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, problem)))
            }
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Strict<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.outbox.is_empty()
                && let Err(problem) = this.check()
            {
                this.refuse(problem);
            }
            if !this.outbox.is_empty() {
                let size = buf.remaining().min(this.outbox.len());
                buf.put_slice(&this.outbox[..size]);
                this.outbox.advance(size);
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::PassThrough => return Pin::new(&mut this.inner).poll_read(cx, buf),
                State::Http1(framing) if framing != Framing::Head => {
                    return this.poll_body(cx, buf);
                }
                State::Beginning | State::Http1(_) => {
                    if ready!(this.poll_fill(cx))? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Ended => {
                    // If the connection were closed with unread bytes, the client could lose the
                    // response.
                    while ready!(this.poll_fill(cx))? > 0 {
                        this.inbox.clear();
                    }
                    return Poll::Pending;
                }
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Strict<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Source: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The request that replaces a refused head.
const PLACEHOLDER: &[u8] = b"GET / HTTP/1.1\r\nHost:\r\n\r\n";
/// 128 KiB per connection: more than the largest accepted head, and enough for full speed with
/// bodies.
pub(super) const HEAD_LIMIT: usize = 128 << 10;
