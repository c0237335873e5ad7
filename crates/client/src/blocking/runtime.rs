//! The thread that drives connections and timers, and the function that waits for a future.

use std::future::pending;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, ThreadId};

use longshore_core::{Error, ErrorKind, Result};
use tokio::runtime::{Builder, Handle};

/// Runs a future to completion on this thread, and returns its result.
///
/// This function is the basis of this module. With it, every async function of longshore can be
/// used without an async runtime. `wait` may be called within another runtime, where it blocks the
/// calling thread.
///
/// ```
/// use longshore::{Memory, Source as _, blocking};
///
/// let store = Memory::new();
/// let tags = blocking::wait(store.tags(None).all())?;
/// assert!(tags.is_empty());
/// # Ok::<(), longshore::Error>(())
/// ```
///
/// # Errors
/// The future's error; [`Io`](ErrorKind::Io) if the system cannot start a thread for the first
/// call; [`Unsupported`](ErrorKind::Unsupported) on the thread that drives the connections, which
/// would wait for itself.
pub fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let driver = driver()?;
    if thread::current().id() == driver.thread {
        return Err(Error::new(ErrorKind::Unsupported)
            .detail("a blocking call on the thread that drives longshore's connections")
            .with_hint("Make the call on another thread, or use the async API."));
    }
    let _entered = driver.handle.enter();
    // If the caller is a task of another runtime, the cooperative budget of that task must not
    // limit the future.
    let mut future = pin!(tokio::task::unconstrained(future));
    let alarm = Arc::new(Alarm { sleeper: thread::current(), rung: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&alarm));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => alarm.sleep(),
        }
    }
}

/// A waker for a thread. Each wait has its own alarm, so that a nested wait does not consume the
/// wake-ups of the outer wait.
struct Alarm {
    sleeper: Thread,
    rung: AtomicBool,
}

impl Alarm {
    fn sleep(&self) {
        while !self.rung.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.sleeper.unpark();
    }
}

/// The runtime, and the thread that runs it until the process exits.
#[derive(Clone)]
struct Driver {
    handle: Handle,
    thread: ThreadId,
}

static DRIVER: Mutex<Option<Driver>> = Mutex::new(None);

fn driver() -> Result<Driver> {
    let mut driver = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*driver {
        Some(driver) => Ok(driver.clone()),
        None => Ok(driver.insert(start()?).clone()),
    }
}

fn start() -> Result<Driver> {
    let no_thread = |e| {
        let error = Error::new(ErrorKind::Io).with_source(e);
        error.detail("cannot start the thread that drives connections")
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
    let handle = runtime.handle().clone();
    let started = thread::Builder::new()
        .name("longshore".to_owned())
        .spawn(move || runtime.block_on(pending::<()>()))
        .map_err(no_thread)?;
    Ok(Driver { handle, thread: started.thread().id() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn wait_returns_after_timers_and_work_on_other_threads() {
        let slept = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            longshore_core::run_blocking(|| Ok(7)).await
        };
        assert_eq!(wait(slept).unwrap(), 7);
    }

    #[test]
    fn nested_waits_return() {
        let outer = async {
            let inner = wait(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Ok(1)
            })?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(inner + 1)
        };
        assert_eq!(wait(outer).unwrap(), 2);
    }

    #[test]
    fn wait_fails_on_the_driver_thread() {
        let error = wait(async {
            let within = tokio::spawn(async { wait(async { Ok(()) }) });
            within.await.map_err(|e| Error::new(ErrorKind::Canceled).with_source(e))?
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[tokio::test]
    async fn wait_works_within_another_runtime() {
        // This loop polls more often than the budget of a task allows.
        let turns = async {
            for _ in 0..1000 {
                let (say, heard) = tokio::sync::oneshot::channel();
                tokio::spawn(async { say.send(()) });
                heard.await.map_err(|e| Error::new(ErrorKind::Canceled).with_source(e))?;
            }
            Ok(())
        };
        wait(turns).unwrap();
    }
}
