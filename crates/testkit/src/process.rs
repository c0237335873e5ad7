//! Programs that run during a test: started, awaited, and ended by process id.
//!
//! Owns [`Process`], which collects a program's output so that a test can wait for a line. It works
//! with any program. `peer` and the tests of longshore's own program use it.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A running program. Dropping this value kills the program by its process id, and waits until it
/// has ended.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: Arc<Output>,
}

/// The collected output of a program.
#[derive(Debug, Default)]
struct Output {
    printed: Mutex<Printed>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<String>,
    /// The number of output streams that the program has closed, at most two.
    closed: usize,
}

impl Process {
    /// Starts a program with empty standard input.
    ///
    /// # Panics
    /// If the program cannot be started.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let output = Arc::new(Output::default());
        collect(child.stdout.take().unwrap(), &output);
        collect(child.stderr.take().unwrap(), &output);
        Self { child, output }
    }

    /// Returns the process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`, on either stream, and returns the line. Lines from
    /// before the call count, too.
    ///
    /// Returns `None` if the program closes its streams without such a line, or if `limit` passes.
    #[must_use]
    pub fn wait_for(&self, text: &str, limit: Duration) -> Option<String> {
        let deadline = Instant::now() + limit;
        let mut printed = self.output.lock();
        let mut read = 0;
        loop {
            let found = printed.lines[read..].iter().find(|l| l.contains(text));
            if let Some(line) = found {
                return Some(line.clone());
            }
            read = printed.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if printed.closed == 2 || left.is_zero() {
                return None;
            }
            let waited = self.output.news.wait_timeout(printed, left);
            printed = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns the collected output of both streams together, for a test's failure message.
    #[must_use]
    pub fn printed(&self) -> String {
        self.output.lock().lines.join("\n")
    }

    /// Sends SIGTERM, and waits until the program ends.
    ///
    /// # Panics
    /// If the program does not end within `limit`.
    #[cfg(unix)]
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        assert!(asked.unwrap().success(), "kill -TERM {}", self.id());
        self.wait(limit)
    }

    /// Sends SIGKILL, so that the program ends without any cleanup.
    pub fn kill(&mut self) {
        // An error means that the program has already ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Waits until the program ends on its own.
    ///
    /// # Panics
    /// If the program does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "process {} is still running after {limit:?}:\n{}",
                self.id(),
                self.printed()
            );
            thread::sleep(POLL);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    fn lock(&self) -> std::sync::MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a stream to its end on another thread, so that the program never blocks on a pipe.
fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            output.lock().lines.push(line);
            output.news.notify_all();
        }
        output.lock().closed += 1;
        output.news.notify_all();
    });
}

/// 10 ms: the interval for checking whether the program has ended.
const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn wait_for_finds_a_line_on_either_stream() {
        let process = shell("echo one; echo ready at 80 >&2; exec sleep 60");
        let line = process.wait_for("ready", LONG).unwrap();
        assert_eq!(line, "ready at 80");
        assert!(process.wait_for("one", LONG).is_some());
    }

    #[test]
    fn wait_for_returns_when_the_program_ends() {
        let mut process = shell("echo gone; exit 3");
        assert_eq!(process.wait_for("ready", LONG), None);
        assert_eq!(process.wait(LONG).code(), Some(3));
    }

    #[test]
    fn dropping_a_process_kills_the_program() {
        let process = shell("echo up; exec sleep 600");
        process.wait_for("up", LONG).unwrap();
        let id = process.id().to_string();
        drop(process);
        let alive = Command::new("kill").args(["-0", &id]).output().unwrap();
        assert!(!alive.status.success());
    }

    #[test]
    fn terminate_waits_until_the_program_ends() {
        let mut process = shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done");
        process.wait_for("up", LONG).unwrap();
        assert_eq!(process.terminate(LONG).code(), Some(0));
    }
}
