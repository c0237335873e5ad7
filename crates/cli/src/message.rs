//! Messages for people, on stderr: errors, warnings, waits and questions.
//!
//! Owns the lines on stderr, and keeps them apart from progress bars; logs of `-v` go there directly.
//! Commands call it, and warnings and waits of the libraries arrive through [`Event`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar};
use longshore::{Error, ErrorKind, Printable, Result};

/// Says something to the person: on stderr, in one line.
pub(crate) fn say(line: impl fmt::Display) {
    talk(format_args!("{line}\n"));
}

/// Prints an error with its causes, once, and what to do about it.
///
/// An error of a connection tells its innermost reason itself: what the HTTP library says on the way
/// there is shown with `-v` only.
pub(crate) fn error(error: &Error, verbose: bool) {
    say(format_args!("longshore: {error}"));
    let (mut source, mut is_told) = (std::error::Error::source(error), tells_its_reason(error));
    let mut hint = error.hint();
    while let Some(cause) = source {
        let own = cause.downcast_ref::<Error>();
        if verbose || own.is_some() || !is_told {
            say(format_args!("  because: {}", Printable(&cause.to_string())));
        }
        if let Some(own) = own {
            is_told = tells_its_reason(own);
            hint = hint.or(own.hint());
        }
        source = cause.source();
    }
    if let Some(hint) = hint {
        say(format_args!("  {}", Printable(hint)));
    }
}

fn tells_its_reason(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Transport | ErrorKind::Timeout)
}

/// Warns the person, once in the life of the process for each text.
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

/// Warns the person, each time: of what may come, go and come again.
pub(crate) fn warn_again(text: impl fmt::Display) {
    say(format_args!("longshore: warning: {}", Printable(&text.to_string())));
}

/// Tells the person of a wait. Several at once for the same thing, such as the blobs of an image, are
/// one to a person: the same line comes again only after a while.
fn wait(text: &str, in_json: bool) {
    static TOLD: Mutex<BTreeMap<String, Instant>> = Mutex::new(BTreeMap::new());
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    told.retain(|_, last| last.elapsed() < WAIT_AGAIN);
    if told.insert(text.to_owned(), Instant::now()).is_some() {
        return;
    }
    match in_json {
        true => say(serde_json::json!({ "event": "waiting", "message": text })),
        false => say(format_args!("longshore: {}", Printable(text))),
    }
}

/// What the libraries say, an event a write, on its way to the person.
#[derive(Debug)]
pub(crate) enum Event {
    /// Told once.
    Warning,
    /// Told as an event of JSON where those are asked for.
    Wait { in_json: bool },
    /// Told each time: a server fails more than once.
    Failure,
}

impl io::Write for Event {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        match self {
            Self::Warning => warn(text.trim_end()),
            Self::Wait { in_json } => wait(text.trim_end(), *in_json),
            Self::Failure => say(format_args!("longshore: error: {}", Printable(text.trim_end()))),
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Asks a yes-or-no question on the terminal; no, where there is none.
pub(crate) fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    talk(format_args!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Asks for a line on the terminal.
pub(crate) fn ask(question: &str) -> Result<String> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    talk(format_args!("{question}"));
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer).map_err(at)? == 0 {
        return Err(at(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(answer.trim().to_owned())
}

/// Writes to stderr, above what bars are there. That nobody listens is no reason to stop.
pub(crate) fn talk(words: fmt::Arguments<'_>) {
    // In one piece, so that it stays one beside what others write.
    let words = words.to_string();
    let write = || drop(io::stderr().write_all(words.as_bytes()));
    let bars = BARS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    bars.map_or_else(write, |bars| bars.suspend(write));
}

/// Bars on the terminal, which make room for lines as long as this is there: afterwards they are
/// lines like any other.
#[derive(Debug)]
pub(crate) struct LiveBars(MultiProgress);

impl LiveBars {
    pub(crate) fn new() -> Self {
        let bars = MultiProgress::new();
        *BARS.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars.clone());
        Self(bars)
    }

    pub(crate) fn add(&self, bar: ProgressBar) -> ProgressBar {
        self.0.add(bar)
    }
}

impl Drop for LiveBars {
    fn drop(&mut self) {
        *BARS.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// 1,000 warnings are kept, so that a server's do not add up for ever.
const WARNINGS_KEPT: usize = 1000;

/// Half a minute: whoever reads a line knows it for that long.
const WAIT_AGAIN: Duration = Duration::from_secs(30);

/// The bars that are there now: a command shows one set of them at a time.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);
