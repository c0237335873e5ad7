//! Upload sessions.

use std::sync::Arc;

use longshore::{Error, ErrorKind, Result, Upload as Inner};
use pyo3::prelude::*;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::content::{Content, Sent};
use crate::failure::invalid;
use crate::operation::{Operation, document, none};

/// An upload session.
#[pyclass(frozen, module = "longshore._core")]
pub(crate) struct Upload(Arc<Mutex<Option<Inner>>>);

impl Upload {
    pub(crate) fn new(upload: Inner) -> Self {
        Self(Arc::new(Mutex::new(Some(upload))))
    }

    /// Starts a function with the session.
    fn run<T, F>(
        &self,
        work: impl FnOnce(Session) -> F,
        convert: impl for<'py> FnOnce(Python<'py>, T) -> PyResult<Bound<'py, PyAny>> + Send + 'static,
    ) -> PyResult<Operation>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        Operation::start(work(Session(Arc::clone(&self.0))), convert)
    }
}

/// A session that is not yet locked.
struct Session(Arc<Mutex<Option<Inner>>>);

impl Session {
    async fn lock(self) -> OwnedMutexGuard<Option<Inner>> {
        self.0.lock_owned().await
    }
}

#[pymethods]
impl Upload {
    /// Returns the session's URL and offset.
    fn state(&self) -> PyResult<Operation> {
        self.run(
            |session| async move {
                let mut session = session.lock().await;
                let upload = session.as_mut().ok_or_else(ended)?;
                Ok((upload.location(), upload.offset()))
            },
            document,
        )
    }

    /// Sends a chunk, and returns the new offset.
    fn append(&self, content: Content) -> PyResult<Operation> {
        let content = content.open()?;
        self.run(
            |session| async move {
                let mut session = session.lock().await;
                let upload = session.as_mut().ok_or_else(ended)?;
                match content {
                    Sent::Bytes(bytes) => {
                        let size = bytes.len() as u64;
                        upload.append(bytes.into(), size).await?;
                    }
                    Sent::File(path) => {
                        let size = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
                        let stream = longshore::blob_file::stream(&path, 0).await?;
                        upload.append(stream, size).await?;
                    }
                    Sent::Stream(stream) => {
                        upload.append_stream(stream).await?;
                    }
                }
                Ok(upload.offset())
            },
            document,
        )
    }

    /// Asks the registry for the offset. The result is `None` if the session does not exist.
    fn status(&self) -> PyResult<Operation> {
        self.run(
            |session| async move {
                let mut session = session.lock().await;
                session.as_mut().ok_or_else(ended)?.status().await
            },
            document,
        )
    }

    fn finish(&self, digest: &str) -> PyResult<Operation> {
        let digest = digest.parse().map_err(invalid)?;
        self.run(
            |session| async move {
                let mut session = session.lock().await;
                let upload = session.as_mut().ok_or_else(ended)?;
                upload.finish(&digest).await?;
                let size = upload.offset();
                *session = None;
                Ok(size)
            },
            document,
        )
    }

    fn cancel(&self) -> PyResult<Operation> {
        self.run(
            |session| async move {
                match session.lock().await.take() {
                    Some(upload) => upload.cancel().await,
                    None => Ok(()),
                }
            },
            none,
        )
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Invalid).detail("the upload was finished or canceled")
}
