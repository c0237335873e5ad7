//! Standard output: data, and nothing else.
//!
//! Owns the choice between text and JSON, and the only writes to stdout and stderr of the program.
//! What could steer a terminal never reaches it raw.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use indicatif::{MultiProgress, ProgressBar};
use longshore::{BlobStream, Error, ErrorKind, Printable, Result};
use serde::Serialize;

/// A result that can be shown both ways.
pub(crate) trait Report: Serialize {
    /// Writes it for a person, each line ended.
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result;
}

/// How results are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    /// Whether stdout is taken by data, so that results go to stderr.
    aside: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, aside: false }
    }

    /// The same, with results on stderr: what goes to stdout is an archive.
    pub(crate) fn aside(self) -> Self {
        Self { aside: true, ..self }
    }

    /// Shows a result.
    pub(crate) fn report(self, report: &impl Report) -> Result<()> {
        let mut shown = String::new();
        if self.json {
            shown = as_json(report)? + "\n";
        } else if report.text(&mut shown).is_err() {
            return Err(Error::new(ErrorKind::Io).detail("the result cannot be shown"));
        }
        if self.aside {
            talk(format_args!("{shown}"));
            return Ok(());
        }
        write(shown.as_bytes())
    }

    /// Tells what was changed: a person in lines on stderr, a program in JSON on stdout.
    pub(crate) fn changed(self, told: impl fmt::Display, change: &impl Serialize) -> Result<()> {
        if self.json {
            return json(change);
        }
        say(told);
        Ok(())
    }

    /// Shows one field of a JSON document: a text as it is, anything else as JSON.
    pub(crate) fn field(self, document: &[u8], place: &str) -> Result<()> {
        let document: serde_json::Value = serde_json::from_slice(document).map_err(|e| {
            Error::new(ErrorKind::Invalid).detail("the document is not JSON").with_source(e)
        })?;
        match longshore::field(&document, place)? {
            serde_json::Value::String(text) if !self.json => line(Printable(text)),
            value => json(value),
        }
    }

    /// Shows a list as it comes: a name a line, or one JSON array at the end.
    pub(crate) async fn list<T>(
        self,
        key: &str,
        mut items: impl Stream<Item = Result<T>> + Unpin,
    ) -> Result<()>
    where
        T: fmt::Display,
    {
        if self.json {
            let mut all = Vec::new();
            while let Some(item) = items.try_next().await? {
                all.push(item.to_string());
            }
            return json(&serde_json::json!({ key: all }));
        }
        let mut stdout = io::BufWriter::new(io::stdout());
        while let Some(item) = items.try_next().await? {
            writeln!(stdout, "{}", Printable(&item.to_string())).map_err(stdout_error)?;
        }
        stdout.flush().map_err(stdout_error)
    }
}

/// Writes exact bytes to standard output: a manifest, a config, a script. Only a terminal gets escapes
/// for what it would obey.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    if io::stdout().is_terminal() {
        let text = String::from_utf8_lossy(bytes);
        return write(Printable(&text).in_json().to_string().as_bytes());
    }
    write(bytes)
}

/// Writes a line to standard output, where the line itself is what was asked for.
pub(crate) fn line(line: impl fmt::Display) -> Result<()> {
    write(format!("{line}\n").as_bytes())
}

/// Writes a blob to a file, or to stdout where the path is `-` or missing.
pub(crate) async fn blob(mut reader: impl Blob, to: Option<&Path>) -> Result<()> {
    match to {
        Some(path) if path != Path::new("-") => blob_to(reader, path).await,
        None if io::stdout().is_terminal() => Err(no_terminal()),
        _ => {
            while let Some(piece) = reader.try_next().await? {
                write(&piece)?;
            }
            Ok(())
        }
    }
}

/// Standard output, for an archive to be written to.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if it is a terminal.
pub(crate) fn stream() -> Result<impl io::Write + Send + 'static> {
    if io::stdout().is_terminal() {
        return Err(Error::new(ErrorKind::Unsupported)
            .at(STDOUT)
            .detail("refusing to write an archive to a terminal")
            .with_hint("Name a file in place of -, or redirect the output."));
    }
    Ok(Stdout)
}

/// Standard output, whose errors are told from those of what is written there.
struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(|e| io::Error::other(stdout_error(e)))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(|e| io::Error::other(stdout_error(e)))
    }
}

/// The bytes of a blob, with its check at their end.
pub(crate) trait Blob: Stream<Item = Result<Bytes>> + Send + Unpin {}

impl<S: Stream<Item = Result<Bytes>> + Send + Unpin> Blob for S {}

fn no_terminal() -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(STDOUT)
        .detail("refusing to write a blob to a terminal")
        .with_hint("Name a file with --output, or use --output - to print it anyway.")
}

async fn blob_to(mut reader: impl Blob, path: &Path) -> Result<()> {
    let at = |e| Error::io(path, e);
    // A device or pipe is written to: a new file would take its place.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let mut device = std::fs::OpenOptions::new().write(true).open(path).map_err(at)?;
        while let Some(piece) = reader.try_next().await? {
            device.write_all(&piece).map_err(at)?;
        }
        return Ok(());
    }
    longshore::blob_file::write(path, reader).await
}

/// Writes what a registry answered to a file, or to stdout where the path is `-` or missing; what is
/// not whole does not stay. Only a terminal gets escapes for what it would obey.
pub(crate) async fn answer(mut stream: BlobStream, to: Option<&Path>) -> Result<()> {
    match to {
        Some(path) if path != Path::new("-") => {
            let at = |e| Error::io(path, e);
            let mut file = std::fs::File::create(path).map_err(at)?;
            let copied: Result<()> = async {
                while let Some(piece) = stream.try_next().await? {
                    file.write_all(&piece).map_err(at)?;
                }
                Ok(())
            }
            .await;
            copied.inspect_err(|_| drop(std::fs::remove_file(path)))
        }
        _ => {
            while let Some(piece) = stream.try_next().await? {
                bytes(&piece)?;
            }
            Ok(())
        }
    }
}

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

/// Whether an error is that whoever read our output has seen enough.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    // The pipe to a registry can break too, which is no success.
    if error.thing() != Some(STDOUT) {
        return false;
    }
    let source = std::error::Error::source(error);
    source
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Sizes as people read them: `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

fn json(document: &impl Serialize) -> Result<()> {
    line(as_json(document)?)
}

fn as_json(document: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(|e| {
        Error::new(ErrorKind::Io).detail("the result cannot be written as JSON").with_source(e)
    })?;
    Ok(Printable(&text).in_json().to_string())
}

/// Writes to stderr, above what bars are there. That nobody listens is no reason to stop.
fn talk(words: fmt::Arguments<'_>) {
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

fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_error)
}

fn stdout_error(e: io::Error) -> Error {
    Error::new(ErrorKind::Io).at(STDOUT).with_source(e)
}

/// 1,000 warnings are kept, so that a server's do not add up for ever.
const WARNINGS_KEPT: usize = 1000;

/// Half a minute: whoever reads a line knows it for that long.
const WAIT_AGAIN: Duration = Duration::from_secs(30);

/// The bars that are there now: a command shows one set of them at a time.
static BARS: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// What errors call stdout.
const STDOUT: &str = "standard output";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_pipe_of_our_output_may_break() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&stdout_error(broken())));
        let upload = Error::new(ErrorKind::Transport).at("r.example").with_source(broken());
        assert!(!is_broken_pipe(&upload));
    }
}
