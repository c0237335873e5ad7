//! Runs helpers, with limits on time and output.

use std::io::{ErrorKind as IoErrorKind, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use longshore_core::{Error, ErrorKind, EscapedText, Result};

use crate::credentials::Secret;

/// The outcome of a helper's run.
pub(super) enum Output {
    /// The helper succeeded with this output.
    Success(Secret),
    /// The helper has no credential for this registry.
    NotFound,
}

/// Runs a helper. Kills the helper if it exceeds its limits.
pub(super) fn run(
    program: &Path,
    action: &'static str,
    input: Vec<u8>,
    timeout: Duration,
) -> Result<Output> {
    let deadline = Instant::now() + timeout;
    let mut child = start(program, action)?;
    let read = collect(&mut child);
    write_input(&mut child, input);
    let ended = wait(&mut child, &read, deadline);
    if ended.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let (status, stdout_text, stderr_text) = ended?;
    interpret(status, stdout_text, &stderr_text, action)
}

fn start(program: &Path, action: &'static str) -> Result<Child> {
    let io = |e| Error::new(ErrorKind::Io).detail("the program cannot be run").with_source(e);
    let mut attempts = 0;
    loop {
        let started = Command::new(program)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match started {
            Ok(child) => return Ok(child),
            // The program's file is still open for writing, for example during an update.
            Err(e) if e.kind() == IoErrorKind::ExecutableFileBusy && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(POLL_INTERVAL);
            }
            Err(e) => return Err(io(e)),
        }
    }
}

/// Writes the input from a separate thread, because a helper that does not read its input may still
/// answer, or may have to be killed.
fn write_input(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::spawn(move || stdin.write_all(&input).ok());
    }
}

/// The standard output and standard error of a helper, read to the end or to the limit.
type Streams = [mpsc::Receiver<Vec<u8>>; 2];

/// Reads both streams from separate threads, so that a full pipe never blocks the helper.
fn collect(child: &mut Child) -> Streams {
    fn reader(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
        let (done, read) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stream) = stream {
                // After a read error, the exit status and the output that was read decide the
                // result.
                stream.take(OUTPUT_LIMIT + 1).read_to_end(&mut text).ok();
            }
            done.send(text).ok();
        });
        read
    }
    [reader(child.stdout.take()), reader(child.stderr.take())]
}

/// Waits for the helper's exit and the end of its output.
fn wait(
    child: &mut Child,
    [stdout, stderr]: &Streams,
    deadline: Instant,
) -> Result<(ExitStatus, Secret, String)> {
    let late =
        || Error::new(ErrorKind::Timeout).detail("the program took too long and was stopped");
    let left = || deadline.saturating_duration_since(Instant::now());
    let stdout_text = stdout.recv_timeout(left()).map_err(|_| late())?;
    if stdout_text.len() as u64 > OUTPUT_LIMIT {
        return Err(Error::new(ErrorKind::TooLarge).detail("the program wrote more than 64 KiB"));
    }
    let stderr_text = stderr.recv_timeout(left()).map_err(|_| late())?;
    loop {
        let ended = child.try_wait();
        let ended = ended.map_err(|e| Error::new(ErrorKind::Io).with_source(e))?;
        if let Some(status) = ended {
            let stdout_text = Secret::new(String::from_utf8_lossy(&stdout_text));
            return Ok((status, stdout_text, String::from_utf8_lossy(&stderr_text).into_owned()));
        }
        if left().is_zero() {
            return Err(late());
        }
        std::thread::sleep(POLL_INTERVAL.min(left()));
    }
}

/// Interprets a helper's exit status and output.
///
/// The error of a failed `get` or `list` shows the first line of output. This line holds no secret,
/// because a failed helper returns no credential. The output of a failed `store` is not shown,
/// because it might repeat the input.
fn interpret(
    status: ExitStatus,
    stdout_text: Secret,
    stderr_text: &str,
    action: &'static str,
) -> Result<Output> {
    if status.success() {
        return Ok(Output::Success(stdout_text));
    }
    let outputs = [stdout_text.expose(), stderr_text];
    let is_missing = |text: &&str| NOT_FOUND_MESSAGES.iter().any(|known| text.contains(known));
    // A failed "store" has stored nothing, whatever its reason.
    if action != "store" && outputs.iter().any(is_missing) {
        return Ok(Output::NotFound);
    }
    let line = outputs.iter().flat_map(|text| text.lines()).map(str::trim).find(|l| !l.is_empty());
    let message = match (action, line) {
        ("get" | "list", Some(line)) => format!(": {}", EscapedText(line).at_most(TEXT_SHOWN)),
        _ => String::new(),
    };
    Err(Error::new(ErrorKind::Io).detail(format!("\"{action}\" failed ({status}){message}")))
}

/// The messages of docker-credential-helpers that count as a missing entry.
const NOT_FOUND_MESSAGES: [&str; 2] = ["credentials not found", "no credentials server URL"];
/// 64 KiB: a credential is a few KiB.
const OUTPUT_LIMIT: u64 = 64 << 10;
/// The maximum number of characters of a helper's message that are shown.
const TEXT_SHOWN: usize = 256;
/// 10 ms: a helper takes longer to start.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// 100 attempts take 1 s in total.
const BUSY_ATTEMPTS: usize = 100;
