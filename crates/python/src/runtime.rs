//! The runtime that drives connections and timers.
//!
//! Each process has one runtime, which starts with the first operation. After a `fork`, the child
//! has none of the parent's threads, so it starts its own runtime.

use std::mem;
use std::process;
use std::sync::{Mutex, PoisonError};

use longshore::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::interpreter;

/// Returns the runtime of this process.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the system cannot start its threads.
pub(crate) fn handle() -> Result<Handle> {
    let mut current = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    match &*current {
        Some((process, runtime)) if *process == process::id() => Ok(runtime.handle().clone()),
        _ => {
            let runtime = start()?;
            let handle = runtime.handle().clone();
            let before = current.replace((process::id(), runtime));
            if before.is_some() {
                interpreter::forget_threads();
            }
            // A runtime from before a fork is leaked: to drop it would wait for threads that this
            // process does not have.
            mem::forget(before);
            Ok(handle)
        }
    }
}

fn start() -> Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(WORKERS).thread_name("longshore").enable_all().build().map_err(|e| {
        let error = Error::new(ErrorKind::Io).with_source(e);
        error.detail("cannot start the threads that drive connections")
    })
}

static RUNTIME: Mutex<Option<(u32, Runtime)>> = Mutex::new(None);

/// Two, so that one can hash while the other drives connections.
const WORKERS: usize = 2;
