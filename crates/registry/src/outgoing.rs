//! The body of a response, as it goes out.
//!
//! Owns what is held for a client that takes its time: content of a store is opened when the client
//! first has room for it, and can be let go and opened again. `serve` sees to the client's pace.

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
    /// Ends with the body.
    telling: Option<Box<Telling>>,
}

enum Content {
    Bytes(Bytes),
    /// Read once, of a size that is not known.
    Stream(BlobStream),
    Opened(Opened),
}

/// Bytes of something that can be opened anywhere.
struct Opened {
    open: Box<dyn Fn(Range<u64>) -> BoxFuture<'static, Result<BlobStream>> + Send>,
    left: Range<u64>,
    state: State,
}

enum State {
    Closed,
    Opening(BoxFuture<'static, Result<BlobStream>>),
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

    /// Bytes that are opened when they are first asked for, and perhaps again later, from where they
    /// were left.
    pub(crate) fn opened(
        range: Range<u64>,
        open: impl Fn(Range<u64>) -> BoxFuture<'static, Result<BlobStream>> + Send + 'static,
    ) -> Self {
        let opened = Opened { open: Box::new(open), left: range, state: State::Closed };
        Self { content: Content::Opened(opened), telling: None }
    }

    /// A document. A large one is not held until the client has room for it: it is made again then.
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

    /// The same, which tells of its request when it ends.
    pub(crate) fn telling(self, telling: Option<Telling>) -> Self {
        Self { telling: telling.map(Box::new), ..self }
    }

    /// Lets go of what can be opened again.
    ///
    /// Takes back the last bytes that it gave, or returns them if it cannot read them again.
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
            // A store may learn from the end of its stream that the content was right.
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
                State::Closed => self.state = State::Opening((self.open)(self.left.clone())),
                State::Opening(opening) => {
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

/// What is left of a document. Each piece is a copy, so that the last one does not hold the whole.
fn in_pieces(mut bytes: Bytes, start: u64) -> BlobStream {
    bytes.advance(usize::try_from(start).map_or(bytes.len(), |start| start.min(bytes.len())));
    BlobStream::new(stream::iter(std::iter::from_fn(move || {
        let size = bytes.len().min(PIECE);
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
const PIECE: usize = 64 << 10;
