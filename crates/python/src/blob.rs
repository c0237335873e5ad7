//! Blobs that Python reads.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt as _;
use longshore::{BlobReader, BlobStream, Descriptor, Error, ErrorKind, Result, blob_file};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::sync::Mutex;

use crate::operation::{Operation, none};

/// A blob that is being read. Reading is verified, except for a part of a blob.
#[pyclass(frozen, module = "longshore._core")]
#[derive(Debug)]
pub(crate) struct Reader {
    size: Option<u64>,
    stream: Arc<Mutex<Option<BlobStream>>>,
}

impl Reader {
    pub(crate) fn new(reader: BlobReader) -> Self {
        let size = reader.descriptor().size;
        Self::of(BlobStream::new(reader), Some(size))
    }

    pub(crate) fn of(stream: BlobStream, size: Option<u64>) -> Self {
        Self { size, stream: Arc::new(Mutex::new(Some(stream))) }
    }
}

#[pymethods]
impl Reader {
    /// The number of bytes that the whole read yields, if it is known.
    #[getter]
    fn size(&self) -> Option<u64> {
        self.size
    }

    /// Returns the next bytes, or empty bytes at the end.
    fn next(&self) -> PyResult<Operation> {
        let stream = Arc::clone(&self.stream);
        let next = async move {
            let mut stream = stream.lock().await;
            let Some(open) = &mut *stream else { return Err(closed()) };
            match open.next().await.transpose() {
                Ok(chunk) => Ok(chunk.unwrap_or_default()),
                Err(e) => {
                    // A stream must not be polled after its failure.
                    *stream = None;
                    Err(e)
                }
            }
        };
        Operation::start(next, |py, chunk| Ok(PyBytes::new(py, &chunk).into_any()))
    }

    /// Writes the rest to a file, which appears when it is complete.
    fn save(&self, path: PathBuf) -> PyResult<Operation> {
        let stream = Arc::clone(&self.stream);
        let save = async move {
            let stream = stream.lock().await.take().ok_or_else(closed)?;
            blob_file::write(&path, stream).await
        };
        Operation::start(save, none)
    }

    /// Closes the connection.
    fn close(&self) {
        // Locked only while an operation reads. That operation then ends with the object.
        if let Ok(mut stream) = self.stream.try_lock() {
            *stream = None;
        }
    }
}

fn closed() -> Error {
    Error::new(ErrorKind::Canceled).detail("the blob was closed, or an earlier read failed")
}

/// Returns the blob's reader as a Python object.
pub(crate) fn reader(py: Python<'_>, reader: Reader) -> PyResult<Bound<'_, PyAny>> {
    Ok(Bound::new(py, reader)?.into_any())
}

/// Opens a blob from an offset. Only a whole blob is verified.
pub(crate) async fn open(
    source: &impl longshore::Source,
    blob: Descriptor,
    start: u64,
) -> Result<Reader> {
    if start == 0 {
        return source.blob(&blob).await.map(Reader::new);
    }
    let size = blob.size.saturating_sub(start);
    let stream = source.blob_range(&blob, start..blob.size).await?;
    Ok(Reader::of(stream, Some(size)))
}
