//! Runs a helper, within limits of time and output.

use std::io::{ErrorKind as IoErrorKind, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use longshore_core::{Error, ErrorKind, EscapedText, Result};

use crate::credentials::Secret;

/// The answer of a helper.
pub(super) enum Output {
    /// It succeeded with this output.
    Said(Secret),
    /// It has no credentials for this registry.
    NotFound,
}

/// Runs a helper to its end, or kills it.
pub(super) fn run(
    program: &Path,
    action: &'static str,
    input: Vec<u8>,
    timeout: Duration,
) -> Result<Output> {
    let deadline = Instant::now() + timeout;
    let mut child = start(program, action)?;
    let read = collect(&mut child);
    hand_over(&mut child, input);
    let ended = wait(&mut child, &read, deadline);
    if ended.is_err() {
        child.kill().ok();
        child.wait().ok();
    }
    let (status, said, complaint) = ended?;
    judge(status, said, &complaint, action)
}

fn start(program: &Path, action: &'static str) -> Result<Child> {
    let io = |e| Error::new(ErrorKind::Io).detail("it cannot be run").with_source(e);
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
            // The file is just being replaced by a new version.
            Err(e) if e.kind() == IoErrorKind::ExecutableFileBusy && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(BETWEEN_LOOKS);
            }
            Err(e) => return Err(io(e)),
        }
    }
}

/// Writes the input concurrently with the wait: a helper that does not read it may still answer, or
/// has to be killed.
fn hand_over(child: &mut Child, input: Vec<u8>) {
    if let Some(mut stdin) = child.stdin.take() {
        std::thread::spawn(move || stdin.write_all(&input).ok());
    }
}

/// Either stream of a helper, read to its end or to the limit.
type Streams = [mpsc::Receiver<Vec<u8>>; 2];

/// Reads both streams concurrently with the wait, so that neither blocks the helper.
fn collect(child: &mut Child) -> Streams {
    fn reader(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
        let (done, read) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(stream) = stream {
                // A broken stream is judged by what was read and by the exit status.
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
    let late = || Error::new(ErrorKind::Timeout).detail("it took too long and was stopped");
    let left = || deadline.saturating_duration_since(Instant::now());
    let said = stdout.recv_timeout(left()).map_err(|_| late())?;
    if said.len() as u64 > OUTPUT_LIMIT {
        return Err(Error::new(ErrorKind::TooLarge).detail("it wrote more than 64 KiB"));
    }
    let complaint = stderr.recv_timeout(left()).map_err(|_| late())?;
    loop {
        let ended = child.try_wait();
        let ended = ended.map_err(|e| Error::new(ErrorKind::Io).with_source(e))?;
        if let Some(status) = ended {
            let said = Secret::new(String::from_utf8_lossy(&said));
            return Ok((status, said, String::from_utf8_lossy(&complaint).into_owned()));
        }
        if left().is_zero() {
            return Err(late());
        }
        std::thread::sleep(BETWEEN_LOOKS.min(left()));
    }
}

/// Interprets a helper's exit status and output.
///
/// An error shows the first line of output of a failed `get` or `list`, which holds no secret: a
/// helper that fails has none to give. A failed `store` might repeat its input, which is not shown.
fn judge(
    status: ExitStatus,
    said: Secret,
    complaint: &str,
    action: &'static str,
) -> Result<Output> {
    if status.success() {
        return Ok(Output::Said(said));
    }
    let words = [said.expose(), complaint];
    if words.iter().any(|text| NOTHING_THERE.iter().any(|known| text.contains(known))) {
        return Ok(Output::NotFound);
    }
    let line = words.iter().flat_map(|text| text.lines()).map(str::trim).find(|l| !l.is_empty());
    let told = match (action, line) {
        ("get" | "list", Some(line)) => format!(": {}", EscapedText(line).at_most(TEXT_SHOWN)),
        _ => String::new(),
    };
    Err(Error::new(ErrorKind::Io).detail(format!("\"{action}\" failed ({status}){told}")))
}

/// The messages of the helpers' own library, and of `pass`, for a missing entry.
const NOTHING_THERE: [&str; 2] = ["credentials not found", "no credentials server URL"];
/// 64 KiB: a credential has a few.
const OUTPUT_LIMIT: u64 = 64 << 10;
/// Characters of a failure that are shown.
const TEXT_SHOWN: usize = 256;
/// 10 ms: a helper takes longer than that to start.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// 1 s in all.
const BUSY_ATTEMPTS: usize = 100;
