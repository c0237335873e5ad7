//! The event loops of asyncio, which receive the results of operations.

use std::cell::RefCell;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pyo3::prelude::*;

use crate::interpreter;

/// Creates the Python value of a result, or its exception. Runs with the interpreter attached.
pub(crate) type Convert =
    Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Bound<'py, PyAny>> + Send>;

/// An event loop that waits for operations.
///
/// Results that arrive together are passed to it together, because each entry into the interpreter
/// from another thread waits until the thread of the event loop leaves it.
pub(crate) struct EventLoop {
    events: Py<PyAny>,
    /// Futures with their results, which the event loop has not taken yet.
    done: Mutex<Vec<(Py<PyAny>, Convert)>>,
}

impl EventLoop {
    /// Creates a future of the running event loop.
    ///
    /// # Errors
    /// `RuntimeError` if this thread runs no event loop.
    pub(crate) fn future(py: Python<'_>) -> PyResult<(Arc<Self>, Bound<'_, PyAny>)> {
        let events = py.import("asyncio")?.call_method0("get_running_loop")?;
        let future = events.call_method0("create_future")?;
        let known = CURRENT.with_borrow(Weak::upgrade).filter(|this| this.events.is(&events));
        let this = known.unwrap_or_else(|| {
            let this = Arc::new(Self { events: events.unbind(), done: Mutex::default() });
            CURRENT.set(Arc::downgrade(&this));
            this
        });
        Ok((this, future))
    }

    /// Passes the result of a future to the event loop.
    pub(crate) fn complete(self: Arc<Self>, future: Py<PyAny>, result: Convert) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.push((future, result));
        if done.len() > 1 {
            // The event loop was already woken for the first result.
            return;
        }
        drop(done);
        // Entering waits for the GIL, so it must not block a thread that drives connections.
        tokio::task::spawn_blocking(move || interpreter::enter(|py| self.wake(py)));
    }

    fn wake(self: Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let settler = Settler(Arc::clone(&self));
        let woken = self.events.call_method1(py, "call_soon_threadsafe", (settler,));
        if woken.is_err() {
            // The event loop is closed, so nobody waits.
            drop(self.take());
        }
        woken.map(|_| ())
    }

    fn take(&self) -> Vec<(Py<PyAny>, Convert)> {
        mem::take(&mut self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Completes futures, on the thread of their event loop.
#[pyclass(frozen)]
struct Settler(Arc<EventLoop>);

#[pymethods]
impl Settler {
    fn __call__(&self, py: Python<'_>) {
        for (future, result) in self.0.take() {
            let future = future.bind(py);
            if let Err(e) = settle(py, future, result) {
                e.write_unraisable(py, Some(future));
            }
        }
    }
}

fn settle(py: Python<'_>, future: &Bound<'_, PyAny>, result: Convert) -> PyResult<()> {
    // The future is done if its task was canceled.
    if future.call_method0("done")?.is_truthy()? {
        return Ok(());
    }
    match result(py) {
        Ok(value) => future.call_method1("set_result", (value,))?,
        Err(e) => future.call_method1("set_exception", (e.into_value(py),))?,
    };
    Ok(())
}

thread_local! {
    /// The event loop of the last operation that this thread has awaited, while operations run.
    static CURRENT: RefCell<Weak<EventLoop>> = const { RefCell::new(Weak::new()) };
}
