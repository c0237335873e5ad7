//! Threads of this crate in the interpreter, and its end.
//!
//! An interpreter that ends kills each thread that enters it, and with it the process, because a
//! thread with Rust code cannot be unwound from outside. So no thread enters it after [`finish`].

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use pyo3::prelude::{Python, pyfunction};

/// Calls a function with the interpreter, from a thread that is not Python's. Returns `None` if the
/// interpreter ends.
pub(crate) fn enter<R>(call: impl FnOnce(Python<'_>) -> R) -> Option<R> {
    let _inside = Inside::new();
    match IS_ENDING.load(Ordering::SeqCst) {
        true => None,
        false => Python::try_attach(call),
    }
}

/// Waits without the interpreter. If it ends meanwhile, a thread of Python does not return to it,
/// unless it is the thread that ends it.
pub(crate) fn leave<R: Send>(py: Python<'_>, wait: impl FnOnce() -> R + Send) -> R {
    py.detach(|| {
        let result = wait();
        if IS_ENDING.load(Ordering::SeqCst) && LAST.get() != Some(&thread::current().id()) {
            loop {
                thread::park();
            }
        }
        result
    })
}

/// Notes that an operation was canceled. Requests in the background then cancel its upload sessions.
pub(crate) fn note_cancellation() {
    *CANCELED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
}

/// Prepares the end of the interpreter: waits until no thread of this crate is inside. Gives the
/// requests that cancel upload sessions time to be sent.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>) {
    LAST.get_or_init(|| thread::current().id());
    IS_ENDING.store(true, Ordering::SeqCst);
    py.detach(|| {
        let begin = Instant::now();
        while THREADS_INSIDE.load(Ordering::SeqCst) > 0 && begin.elapsed() < LONGEST_CALL {
            thread::sleep(Duration::from_millis(1));
        }
        let canceled = *CANCELED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = canceled.and_then(|at| GIVING_UP.checked_sub(at.elapsed())) {
            thread::sleep(left);
        }
    });
}

/// Forgets the threads of the parent process, which do not exist after a `fork`.
pub(crate) fn forget_threads() {
    THREADS_INSIDE.store(0, Ordering::SeqCst);
}

/// A thread that is inside the interpreter, or about to enter it.
struct Inside;

impl Inside {
    fn new() -> Self {
        THREADS_INSIDE.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        THREADS_INSIDE.fetch_sub(1, Ordering::SeqCst);
    }
}

static IS_ENDING: AtomicBool = AtomicBool::new(false);
static THREADS_INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The thread that ends the interpreter.
static LAST: OnceLock<ThreadId> = OnceLock::new();
/// The time of the last cancellation.
static CANCELED: Mutex<Option<Instant>> = Mutex::new(None);

/// 1 s, because a function for credentials may take longer than a process that ends can wait.
const LONGEST_CALL: Duration = Duration::from_secs(1);
/// 300 ms after a cancellation, as the program waits after an interrupt.
const GIVING_UP: Duration = Duration::from_millis(300);
