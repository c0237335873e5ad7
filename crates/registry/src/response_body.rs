//! Outgoing response bodies.
//!
//! Owns the resources that are held for a slow client. Content of a store is opened when the client
//! is first ready to receive it, and can be closed and reopened later. `serve` enforces the
//! client's pace.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http_body::{Frame, SizeHint};
use longshore_core::{BlobStream, Error, ErrorKind, Result};

use crate::answered::RequestReport;
use crate::budget::{Budget, SMALL};

/// The body of a response: a document, or a blob that is read while it is sent.
pub struct Body {
    content: Content,
    /// The report on the request, sent when the body is dropped.
    report: Option<Box<RequestReport>>,
}

enum Content {
    Bytes(Bytes),
    /// A stream of unknown size, which can be read only once.
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
    Opening(BoxFuture<'static, Result<BlobStream>>),
    Open(BlobStream),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new())
    }

    pub(crate) fn of(bytes: Bytes) -> Self {
        Self { content: Content::Bytes(bytes), report: None }
    }

    pub(crate) fn stream(stream: BlobStream) -> Self {
        Self { content: Content::Stream(stream), report: None }
    }

    /// Returns a body that is opened when it is first polled. It may be closed and later reopened
    /// at the offset that it has reached.
    pub(crate) fn opened(
        range: Range<u64>,
        open: impl Fn(Range<u64>) -> BoxFuture<'static, Result<BlobStream>> + Send + 'static,
    ) -> Self {
        let opened = Opened { open: Box::new(open), left: range, state: State::Closed };
        Self { content: Content::Opened(opened), report: None }
    }

    /// Returns the body for a document. A large document is dropped now, and built again when the
    /// client is ready to receive it.
    pub(crate) fn document<F>(
        bytes: Bytes,
        budget: &Budget,
        build: impl Fn() -> F + Send + 'static,
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
            let (built, budget) = (build(), budget.clone());
            Box::pin(async move {
                let permit = budget.sending(size).await?;
                let building = budget.building().await?;
                let bytes = built.await?;
                drop(building);
                if bytes.len() as u64 != size {
                    return Err(Error::new(ErrorKind::Conflict)
                        .detail("the document has changed in the meantime"));
                }
                Ok(permit.held_by(in_chunks(bytes, range.start)))
            })
        })
    }

    /// Returns the body with a report on its request, which is sent when the body is dropped.
    pub(crate) fn report(self, report: Option<RequestReport>) -> Self {
        Self { report: report.map(Box::new), ..self }
    }

    /// Closes content that can be reopened, and takes back the bytes that were read but not sent.
    ///
    /// Returns the unsent bytes if the content cannot be reopened.
    pub(crate) fn close(&mut self, unsent: Bytes) -> Bytes {
        let Content::Opened(opened) = &mut self.content else {
            return unsent;
        };
        opened.state = State::Closed;
        opened.left.start -= unsent.len() as u64;
        if let Some(report) = &mut self.report {
            report.answered.sent -= unsent.len() as u64;
        }
        Bytes::new()
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Bytes(bytes) => Poll::Ready(Some(Ok(std::mem::take(bytes)))),
            Content::Stream(stream) => stream.poll_next_unpin(cx),
            Content::Opened(opened) => opened.poll_chunk(cx),
        }
    }
}

impl Opened {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = ready!(self.poll_open(cx));
        match &chunk {
            Ok(chunk) => self.left.start += chunk.len() as u64,
            Err(_) => self.left.start = self.left.end,
        }
        if self.left.is_empty() {
            // A store may verify the content when its stream ends, so read up to the end.
            if let State::Open(stream) = &mut self.state {
                let _ = stream.poll_next_unpin(cx);
            }
            self.state = State::Closed;
        }
        Poll::Ready(Some(chunk))
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes>> {
        loop {
            match &mut self.state {
                State::Closed => self.state = State::Opening((self.open)(self.left.clone())),
                State::Opening(opening) => {
                    self.state = State::Open(ready!(opening.poll_unpin(cx))?)
                }
                State::Open(stream) => {
                    let chunk = ready!(stream.poll_next_unpin(cx));
                    let short =
                        || Error::new(ErrorKind::SizeMismatch).detail("the content ends too early");
                    return Poll::Ready(chunk.unwrap_or_else(|| Err(short())));
                }
            }
        }
    }
}

/// Returns the rest of a document in chunks. Each chunk is a copy, so that the last chunk does not
/// keep the whole document in memory.
fn in_chunks(mut bytes: Bytes, start: u64) -> BlobStream {
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
        let chunk = ready!(self.poll_chunk(cx));
        if let (Some(Ok(chunk)), Some(report)) = (&chunk, &mut self.report) {
            report.answered.sent += chunk.len() as u64;
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
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

/// 64 KiB for each chunk of a document.
const CHUNK_SIZE: usize = 64 << 10;
