//! An operation that runs on the runtime. Python waits for it, with or without asyncio.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longshore::{Error, ErrorKind, Result};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tokio::time::timeout;

use crate::event_loop::{Convert, EventLoop};
use crate::{failure, interpreter, runtime};

/// The result of an operation that has ended.
type Joined = std::result::Result<Result<Convert>, JoinError>;

/// An operation that has begun. Dropping it cancels it.
///
/// `wait()` blocks, and `await` does not. Either can be used once.
#[pyclass(frozen, module = "longshore._core")]
pub(crate) struct Operation {
    task: Mutex<Option<JoinHandle<Result<Convert>>>>,
    abort: AbortHandle,
}

impl Operation {
    /// Starts a future. `convert` creates the Python value of its result.
    pub(crate) fn start<T: Send + 'static>(
        future: impl Future<Output = Result<T>> + Send + 'static,
        convert: impl for<'py> FnOnce(Python<'py>, T) -> PyResult<Bound<'py, PyAny>> + Send + 'static,
    ) -> PyResult<Self> {
        let handle = runtime::handle().map_err(failure::raise)?;
        let task = handle.spawn(async move {
            let result = future.await?;
            let convert: Convert = Box::new(move |py| convert(py, result));
            Ok(convert)
        });
        Ok(Self { abort: task.abort_handle(), task: Mutex::new(Some(task)) })
    }

    fn take(&self) -> PyResult<JoinHandle<Result<Convert>>> {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.ok_or_else(|| PyRuntimeError::new_err("the operation was already waited for"))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // A task that was taken is canceled by its waiter.
        if self.task.get_mut().is_ok_and(|task| task.is_some()) {
            cancel(&self.abort);
        }
    }
}

#[pymethods]
impl Operation {
    /// Waits for the result without the GIL. Calls `tick`, if given, at most 20 times a second.
    /// An exception of a signal handler, such as `KeyboardInterrupt`, or of `tick` cancels the
    /// operation.
    #[pyo3(signature = (tick=None))]
    fn wait<'py>(
        &self,
        py: Python<'py>,
        tick: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let handle = runtime::handle().map_err(failure::raise)?;
        let mut task = self.take()?;
        loop {
            let joined = interpreter::leave(py, || {
                handle.block_on(async { timeout(TICK, &mut task).await })
            });
            if let Ok(joined) = joined {
                return finish(py, joined);
            }
            let go_on = py.check_signals().and_then(|()| tick.map(|f| f.call0()).transpose());
            if let Err(error) = go_on {
                cancel(&self.abort);
                // The operation has ended when the exception is raised.
                interpreter::leave(py, || handle.block_on(async { (&mut task).await.err() }));
                return Err(error);
            }
        }
    }

    /// Cancels the operation.
    fn cancel(&self) {
        cancel(&self.abort);
    }

    fn __await__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let handle = runtime::handle().map_err(failure::raise)?;
        let task = self.take()?;
        let (event_loop, future) = EventLoop::future(py)?;
        let canceler = Canceler { abort: self.abort.clone() };
        future.call_method1("add_done_callback", (Bound::new(py, canceler)?,))?;
        let waiting = future.clone().unbind();
        handle.spawn(async move {
            let joined = task.await;
            event_loop.complete(waiting, Box::new(move |py| finish(py, joined)));
        });
        future.call_method0("__await__")
    }
}

/// Returns the Python value of a result.
fn finish(py: Python<'_>, joined: Joined) -> PyResult<Bound<'_, PyAny>> {
    match joined {
        Ok(Ok(convert)) => convert(py),
        Ok(Err(error)) => Err(failure::raise(error)),
        Err(e) => Err(failure::raise(Error::new(ErrorKind::Canceled).with_source(e))),
    }
}

/// Cancels the operation when its future is canceled.
#[pyclass(frozen)]
struct Canceler {
    abort: AbortHandle,
}

#[pymethods]
impl Canceler {
    fn __call__(&self, future: &Bound<'_, PyAny>) -> PyResult<()> {
        if future.call_method0("cancelled")?.is_truthy()? {
            cancel(&self.abort);
        }
        Ok(())
    }
}

fn cancel(task: &AbortHandle) {
    if !task.is_finished() {
        task.abort();
        interpreter::note_cancellation();
    }
}

/// The interval at which a wait runs signal handlers and reports progress.
const TICK: Duration = Duration::from_millis(50);

/// Converts a serializable value to Python's lists, dictionaries and texts.
pub(crate) fn document<T: serde::Serialize>(
    py: Python<'_>,
    value: T,
) -> PyResult<Bound<'_, PyAny>> {
    Ok(pythonize::pythonize(py, &value)?)
}

/// Converts the result of an operation that has none.
pub(crate) fn none(py: Python<'_>, (): ()) -> PyResult<Bound<'_, PyAny>> {
    Ok(py.None().into_bound(py))
}
