//! Messages for users, on stderr: errors, warnings, waits and questions.
//!
//! Owns the lines on stderr and prints them above the progress bars. Logs of `-v` are written to
//! stderr directly. Commands call this module. Warnings and waits of the libraries arrive as
//! [`Event`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};
use longshore::{Error, ErrorKind, EscapedText, ParseError, Result, run_blocking};

/// Prints a line to stderr.
pub(crate) fn say(line: impl fmt::Display) {
    talk(format_args!("{line}\n"));
}

/// Prints an error with its causes and its hint.
///
/// The text of a connection error contains the innermost cause. Its other causes come from the HTTP
/// library, and are printed only with `-v`.
pub(crate) fn error(error: &Error, verbose: bool) {
    let (mut source, mut is_reported) = (std::error::Error::source(error), tells_its_reason(error));
    match source.and_then(|source| source.downcast_ref::<ParseError>()) {
        // This text is complete. The error itself only repeats what kind of text is malformed.
        Some(malformed) if error.side().is_none() && error.thing() == Some(malformed.noun()) => {
            say(format_args!("longshore: {malformed}"));
            source = None;
        }
        _ => say(format_args!("longshore: {error}")),
    }
    let mut hint = error.hint();
    while let Some(cause) = source {
        let own = cause.downcast_ref::<Error>();
        if verbose || own.is_some() || !is_reported {
            say(format_args!("  because: {}", EscapedText(&cause.to_string())));
        }
        if let Some(own) = own {
            is_reported = tells_its_reason(own);
            hint = hint.or(own.hint());
        }
        source = cause.source();
    }
    if let Some(hint) = hint {
        say(format_args!("  {}", EscapedText(hint)));
    }
}

fn tells_its_reason(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout)
}

/// Prints a warning, unless the process already printed the same text. Remembers at most
/// [`WARNINGS_KEPT`] texts.
pub(crate) fn warn(text: impl fmt::Display) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = text.to_string();
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.contains(&text) {
        return;
    }
    warn_again(&text);
    if told.len() < WARNINGS_KEPT {
        told.insert(text);
    }
}

/// Prints a warning every time, for conditions that can recur.
pub(crate) fn warn_again(text: impl fmt::Display) {
    say(format_args!("longshore: warning: {}", EscapedText(&text.to_string())));
}

/// Reports a wait. Blobs that wait for the same reason produce one line, which is repeated only
/// after [`WAIT_AGAIN`].
fn wait(text: &str, in_json: bool) {
    static TOLD: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.retain(|_, last| last.elapsed() < WAIT_AGAIN);
    if told.insert(text.to_owned(), Instant::now()).is_some() {
        return;
    }
    match in_json {
        true => say(serde_json::json!({ "event": "waiting", "message": text })),
        false => say(format_args!("longshore: {}", EscapedText(text))),
    }
}

/// An event of a library, printed in one write.
#[derive(Debug)]
pub(crate) enum Event {
    /// A warning, printed once.
    Warning,
    /// A wait, printed as a JSON event if JSON events were requested.
    Wait { in_json: bool },
    /// An error, printed every time, because a server can fail more than once.
    Failure,
}

impl io::Write for Event {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        match self {
            Self::Warning => warn(text.trim_end()),
            Self::Wait { in_json } => wait(text.trim_end(), *in_json),
            Self::Failure => {
                say(format_args!("longshore: error: {}", EscapedText(text.trim_end())))
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks a yes-or-no question on the terminal. Returns false if there is no terminal.
pub(crate) async fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let question = format!("{question} [y/N] ");
    // Reading blocks, so it runs on another thread, and this thread handles signals.
    let answer = run_blocking(move || ask(&question)).await;
    answer.is_ok_and(|answer| matches!(answer.as_str(), "y" | "Y" | "yes"))
}

/// Asks for a line on the terminal. Blocks.
pub(crate) fn ask(question: &str) -> Result<String> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    talk(format_args!("{question}"));
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer).map_err(at)? == 0 {
        return Err(at(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(answer.trim().to_owned())
}

/// Writes to stderr, above any progress bars. A closed stderr is not an error.
pub(crate) fn talk(words: fmt::Arguments<'_>) {
    // One write, so that other processes cannot interrupt the line.
    let words = words.to_string();
    let write = || drop(io::stderr().write_all(words.as_bytes()));
    let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    bars.map_or_else(write, |bars| bars.suspend(write));
}

/// The progress bars on the terminal. While this value exists, lines are printed above the bars.
/// Bars appear after [`HIDDEN`], and disappear when this value is dropped.
#[derive(Debug)]
pub(crate) struct LiveBars {
    bars: MultiProgress,
    is_over: Arc<AtomicBool>,
}

impl LiveBars {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let (shown, is_over) = (bars.clone(), Arc::new(AtomicBool::new(false)));
        let is_over_then = Arc::clone(&is_over);
        thread::spawn(move || {
            thread::sleep(HIDDEN);
            if !is_over_then.load(Ordering::SeqCst) {
                shown.set_draw_target(ProgressDrawTarget::stderr());
            }
        });
        *BARS.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars.clone());
        Self { bars, is_over }
    }

    pub(crate) fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.bars.add(bar)
    }

    pub(crate) fn add_above(&self, other: &ProgressBar, bar: ProgressBar) -> ProgressBar {
        self.bars.insert_before(other, bar)
    }
}

impl Drop for LiveBars {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.bars.clear().ok();
        *BARS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// 300 ms: bars of shorter transfers would only flicker.
const HIDDEN: Duration = Duration::from_millis(300);

/// 1,000 warnings, so that memory stays bounded in a server.
const WARNINGS_KEPT: usize = 1000;

/// 30 seconds, so that users see that the wait continues.
const WAIT_AGAIN: Duration = Duration::from_secs(30);

/// The current bars. A command shows one set of bars at a time.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);
