//! Content that Python sends: bytes in memory, a file, or pieces that Python produces.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream;
use longshore::{BlobStream, CopyEvent, Error, ErrorKind, Progress, Result};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use tokio::sync::mpsc;

use crate::failure::raise;
use crate::operation::Operation;

/// The content of a blob.
#[derive(FromPyObject)]
pub(crate) enum Content {
    /// Sent without a copy: the `bytes` object is kept until it is sent.
    #[pyo3(transparent)]
    Bytes(PyBackedBytes),
    #[pyo3(transparent)]
    File(File),
    #[pyo3(transparent)]
    Feed(Feed),
}

/// Content with known bytes, or a stream.
pub(crate) enum Sent {
    Bytes(Bytes),
    File(PathBuf),
    Stream(BlobStream),
}

impl Content {
    pub(crate) fn open(self) -> PyResult<Sent> {
        Ok(match self {
            Self::Bytes(bytes) => Sent::Bytes(Bytes::from_owner(bytes)),
            Self::File(File { path }) => Sent::File(path),
            Self::Feed(feed) => Sent::Stream(feed.stream()?),
        })
    }
}

/// A file whose content is sent.
#[pyclass(frozen, from_py_object, module = "longshore._core")]
#[derive(Clone, Debug)]
pub(crate) struct File {
    path: PathBuf,
}

#[pymethods]
impl File {
    #[new]
    fn new(path: PathBuf) -> Self {
        Self { path }
    }
}

impl File {
    pub(crate) fn into_path(self) -> PathBuf {
        self.path
    }
}

type Piece = Result<Bytes>;

/// Content that Python passes piece by piece, while an operation sends it. At most four pieces
/// wait.
#[pyclass(frozen, from_py_object, module = "longshore._core")]
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    pieces: Arc<Mutex<Option<mpsc::Sender<Piece>>>>,
    sent: Arc<Mutex<Option<mpsc::Receiver<Piece>>>>,
}

#[pymethods]
impl Feed {
    #[new]
    fn new() -> Self {
        let (pieces, sent) = mpsc::channel(PIECES);
        Self { pieces: Arc::new(Mutex::new(Some(pieces))), sent: Arc::new(Mutex::new(Some(sent))) }
    }

    /// Passes a piece on when there is room for it. The result is false if the operation ended.
    fn put(&self, piece: PyBackedBytes) -> PyResult<Operation> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let sending = async move {
            let Some(pieces) = pieces else { return Ok(false) };
            Ok(pieces.send(Ok(Bytes::from_owner(piece))).await.is_ok())
        };
        Operation::start(sending, |py, is_open| {
            Ok(is_open.into_pyobject(py)?.to_owned().into_any())
        })
    }

    /// Ends the content.
    fn close(&self) {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Ends the content early, so that the operation fails.
    fn fail(&self) {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(pieces) = pieces {
            let canceled = Error::new(ErrorKind::Canceled);
            // If the queue is full, the operation is aborted instead, by its owner.
            pieces.try_send(Err(canceled.detail("the source of the content failed"))).ok();
        }
    }
}

impl Feed {
    fn stream(&self) -> PyResult<BlobStream> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sent) = sent else {
            return Err(raise(
                Error::new(ErrorKind::Invalid).detail("this content was already sent"),
            ));
        };
        Ok(BlobStream::new(stream::unfold(sent, |mut sent| async move {
            sent.recv().await.map(|piece| (piece, sent))
        })))
    }
}

/// Counts the bytes of an operation, which Python reads while it waits.
#[pyclass(frozen, from_py_object, module = "longshore._core")]
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    total: AtomicU64,
}

#[pymethods]
impl Meter {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Returns the bytes transferred, and all bytes that are known, or 0.
    fn read(&self) -> (u64, u64) {
        (self.0.done.load(Ordering::Relaxed), self.0.total.load(Ordering::Relaxed))
    }
}

impl Meter {
    /// Counts the progress of one blob.
    pub(crate) fn set(&self, progress: Progress) {
        self.0.done.store(progress.done, Ordering::Relaxed);
        self.0.total.store(progress.size.unwrap_or_default(), Ordering::Relaxed);
    }

    /// Counts the events of a copy.
    pub(crate) fn add(&self, event: &CopyEvent) {
        match event {
            CopyEvent::Found { blob } => self.0.total.fetch_add(blob.size, Ordering::Relaxed),
            CopyEvent::Progress { bytes, .. } => self.0.done.fetch_add(*bytes, Ordering::Relaxed),
            CopyEvent::Skipped { size, .. } | CopyEvent::Mounted { size, .. } => {
                self.0.done.fetch_add(*size, Ordering::Relaxed)
            }
            _ => 0,
        };
    }
}

/// The number of pieces that wait to be sent.
const PIECES: usize = 4;
