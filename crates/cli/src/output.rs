//! Standard output: data, and nothing else.
//!
//! Owns the choice between text and JSON, and the only writes to stdout and stderr of the program.

#![allow(clippy::print_stderr, reason = "this is where the program talks")]

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use futures_util::TryStreamExt as _;
use longshore::{BlobReader, Error, ErrorKind, Printable, Result};
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
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Shows a result.
    pub(crate) fn report(self, report: &impl Report) -> Result<()> {
        let mut shown = String::new();
        if self.json {
            shown = serde_json::to_string_pretty(report).map_err(|e| {
                Error::new(ErrorKind::Io)
                    .detail("the result cannot be written as JSON")
                    .with_source(e)
            })?;
            shown.push('\n');
        } else if report.text(&mut shown).is_err() {
            return Err(Error::new(ErrorKind::Io).detail("the result cannot be shown"));
        }
        write(shown.as_bytes())
    }

    /// Shows a list as it comes: a name a line, or one JSON array at the end.
    pub(crate) async fn list<T>(
        self,
        key: &str,
        mut items: impl futures_util::Stream<Item = Result<T>> + Unpin,
    ) -> Result<()>
    where
        T: fmt::Display,
    {
        if self.json {
            let mut all = Vec::new();
            while let Some(item) = items.try_next().await? {
                all.push(item.to_string());
            }
            return write(format!("{:#}\n", serde_json::json!({ key: all })).as_bytes());
        }
        let mut stdout = io::BufWriter::new(io::stdout());
        while let Some(item) = items.try_next().await? {
            writeln!(stdout, "{}", Printable(&item.to_string())).map_err(stdout_error)?;
        }
        stdout.flush().map_err(stdout_error)
    }
}

/// Writes exact bytes to standard output: a manifest, a config, a script.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    write(bytes)
}

/// Writes a line to standard output, where the line itself is what was asked for.
pub(crate) fn line(line: impl fmt::Display) -> Result<()> {
    write(format!("{line}\n").as_bytes())
}

/// Writes a blob to a file, or to stdout where the path is `-` or missing.
pub(crate) async fn blob(mut reader: BlobReader, to: Option<&Path>) -> Result<()> {
    match to {
        Some(path) if path != Path::new("-") => {
            // A path without a folder is in the current one.
            let path = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
            longshore::blob_file::write(&path, reader).await
        }
        _ => {
            while let Some(piece) = reader.try_next().await? {
                write(&piece)?;
            }
            Ok(())
        }
    }
}

/// Says something to the person: on stderr, in one line.
pub(crate) fn say(line: impl fmt::Display) {
    eprintln!("{line}");
}

/// Prints an error with all of its causes, once, and what to do about it.
pub(crate) fn error(error: &Error) {
    eprintln!("longshore: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        eprintln!("  because: {}", Printable(&cause.to_string()));
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        eprintln!("  {}", Printable(hint));
    }
}

/// Asks a yes-or-no question on the terminal; no, where there is none.
pub(crate) fn confirm(question: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

/// Asks for a line on the terminal.
pub(crate) fn ask(question: &str) -> Result<String> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    eprint!("{question}");
    let mut answer = String::new();
    if io::stdin().read_line(&mut answer).map_err(at)? == 0 {
        return Err(at(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(answer.trim().to_owned())
}

/// Whether an error is that whoever read our output has seen enough.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Sizes as people read them: `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_error)
}

fn stdout_error(e: io::Error) -> Error {
    Error::new(ErrorKind::Io).at("standard output").with_source(e)
}
