//! Outgoing response bodies.
//!
//! Owns the resources held for a slow client: content of a store is opened when the client first
//! has room for it, and can be closed and reopened. `serve` enforces the client's pace.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body::{Frame, SizeHint};
use longshore_core::{BlobStream, Error, ErrorKind, Result};

use crate::answered::Telling;
use crate::budget::{Budget, SMALL};

/// The body of a response: a document, or a blob that is read as it is sent.
pub struct Body {
    content: Content,
    /// The report on the request, which ends with the body.
    telling: Option<Box<Telling>>,
}

enum Content {
    Bytes(Bytes),
    /// Read once, with an unknown size.
    Stream(BlobStream),
    Opened(Opened),
}

/// Content that can be opened at any offset.
struct Opened {
    open: Box<dyn Fn(Range<u64>) -> BoxFuture<'static, Result<BlobStream>> + Send>,
    left: Range<u64>,
    state: State,
}

enum State {
    Closed,
    InitialAuth(BoxFuture<'static, Result<BlobStream>>),
    Open(BlobStream),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new())
    }

    pub(crate) fn of(bytes: Bytes) -> Self {
        Self { content: Content::Bytes(bytes), telling: None }
    }

    pub(crate) fn stream(stream: BlobStream) -> Self {
        Self { content: Content::Stream(stream), telling: None }
    }

    /// Returns a body that is opened when first polled, and possibly reopened later at the offset
    /// that it had reached.
    pub(crate) fn opened(
        range: Range<u64>,
        open: impl Fn(Range<u64>) -> BoxFuture<'static, Result<BlobStream>> + Send + 'static,
    ) -> Self {
        let opened = Opened { open: Box::new(open), left: range, state: State::Closed };
        Self { content: Content::Opened(opened), telling: None }
    }

    /// Returns a document. A large one is dropped until the client has room for it, then made
    /// again.
    pub(crate) fn document<F>(
        bytes: Bytes,
        budget: &Budget,
        make: impl Fn() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let size = bytes.len() as u64;
        if size <= SMALL {
            return Self::of(bytes);
        }
        let budget = budget.clone();
        Self::opened(0..size, move |range| {
            let (made, budget) = (make(), budget.clone());
            Box::pin(async move {
                let permit = budget.sending(size).await?;
                let making = budget.making().await?;
                let bytes = made.await?;
                drop(making);
                if bytes.len() as u64 != size {
                    return Err(Error::new(ErrorKind::Conflict).detail("it changed meanwhile"));
                }
                Ok(permit.held_by(in_pieces(bytes, range.start)))
            })
        })
    }

    /// Returns the body with a report on its request, sent when the body ends.
    pub(crate) fn telling(self, telling: Option<Telling>) -> Self {
        Self { telling: telling.map(Box::new), ..self }
    }

    /// Closes content that can be reopened.
    ///
    /// Takes back the last unsent bytes, or returns them if it cannot read them again.
    pub(crate) fn close(&mut self, unsent: Bytes) -> Bytes {
        let Content::Opened(opened) = &mut self.content else {
            return unsent;
        };
        opened.state = State::Closed;
        opened.left.start -= unsent.len() as u64;
        if let Some(telling) = &mut self.telling {
            telling.answered.sent -= unsent.len() as u64;
        }
        Bytes::new()
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Stream(stream) => stream.poll_next_unpin(cx),
            Content::Opened(opened) => opened.poll_piece(cx),
        }
    }
}

impl Opened {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = ready!(self.poll_open(cx));
        match &piece {
            Ok(piece) => self.left.start += piece.len() as u64,
            Err(_) => self.left.start = self.left.end,
        }
        if self.left.is_empty() {
            // A store may verify the content at the end of its stream.
            if let State::Open(stream) = &mut self.state {
                let _ = stream.poll_next_unpin(cx);
            }
            self.state = State::Closed;
        }
        Poll::Ready(Some(piece))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        loop {
            match &mut self.state {
                State::Closed => self.state = State::InitialAuth((self.open)(self.left.clone())),
                State::InitialAuth(opening) => {
                    self.state = State::Open(ready!(opening.poll_unpin(cx))?)
                }
                State::Open(stream) => {
                    let piece = ready!(stream.poll_next_unpin(cx));
                    let short = || Error::new(ErrorKind::SizeMismatch).detail("it ends too soon");
                    return Poll::Ready(piece.unwrap_or_else(|| Err(short())));
                }
            }
        }
    }
}

/// Returns the rest of a document. Each chunk is a copy, so that the last one does not keep the
/// whole document in memory.
fn in_pieces(mut bytes: Bytes, start: u64) -> BlobStream {
    bytes.advance(usize::try_from(start).map_or(bytes.len(), |start| start.min(bytes.len())));
    BlobStream::new(stream::iter(std::iter::from_fn(move || {
        let size = bytes.len().min(CHUNK_SIZE);
        (size > 0).then(|| Ok(Bytes::copy_from_slice(&bytes.split_to(size))))
    })))
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let piece = ready!(self.poll_piece(cx));
        if let (Some(Ok(piece)), Some(telling)) = (&piece, &mut self.telling) {
            telling.answered.sent += piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream(_) => SizeHint::default(),
            Content::Opened(opened) => SizeHint::with_exact(opened.left.end - opened.left.start),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(..)")
    }
}

/// 64 KiB.
const CHUNK_SIZE: usize = 64 << 10;
