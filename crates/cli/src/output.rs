//! Prints results to standard output.
//!
//! Owns the choice of the format, and all writes to stdout except those of archives.
//! Escapes control characters in untrusted text. Messages for users are in
//! [`message`](crate::message).

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use longshore::{BlobBody, BlobStream, Descriptor, Error, ErrorKind, EscapedText, Result};
use serde::Serialize;

use crate::message::{say, talk};
use crate::template::Template;

/// A result that can be shown as text and as JSON.
pub(crate) trait Report: Serialize {
    /// Writes the result as complete lines of text.
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result;
}

/// The format of results.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    Text,
    Json,
    Template(Template),
}

/// The output format and destination of results.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    format: Format,
    /// True if an archive is written to stdout. Results are then printed to stderr.
    to_stderr: bool,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format, to_stderr: false }
    }

    /// Returns this output with results on stderr, for commands that write an archive to stdout.
    pub(crate) fn with_stderr(self) -> Self {
        Self { to_stderr: true, ..self }
    }

    /// Prints a result.
    pub(crate) fn report(self, report: &impl Report) -> Result<()> {
        let shown = match self.formatted(report)? {
            Some(shown) => shown + "\n",
            None => {
                let mut shown = String::new();
                report
                    .text(&mut shown)
                    .map_err(|_| Error::new(ErrorKind::Io).detail("the result cannot be shown"))?;
                shown
            }
        };
        if self.to_stderr {
            talk(format_args!("{shown}"));
            return Ok(());
        }
        write(shown.as_bytes())
    }

    /// Returns a result as JSON or as the template shows it, or `None` for the format of text.
    fn formatted(&self, result: &impl Serialize) -> Result<Option<String>> {
        match &self.format {
            Format::Text => Ok(None),
            Format::Json => as_json(result).map(Some),
            Format::Template(template) => template.render(result).map(Some),
        }
    }

    /// Reports a change: as lines on stderr, or in another format on stdout.
    pub(crate) fn changed(self, text: impl fmt::Display, change: &impl Serialize) -> Result<()> {
        match self.formatted(change)? {
            Some(shown) => line(shown),
            None => {
                say(text);
                Ok(())
            }
        }
    }

    /// Prints one field of a JSON document: a string as plain text unless `--json` is given, and
    /// any other value as JSON.
    pub(crate) fn field(self, document: &[u8], place: &str) -> Result<()> {
        let document: serde_json::Value = serde_json::from_slice(document).map_err(|e| {
            Error::new(ErrorKind::Invalid).detail("the document is not JSON").with_source(e)
        })?;
        match longshore::json_field(&document, place)? {
            serde_json::Value::String(text) if !matches!(self.format, Format::Json) => {
                line(EscapedText(text))
            }
            value => line(as_json(value)?),
        }
    }

    /// Prints a list: one name per line while the list arrives, or in another format at the end.
    pub(crate) async fn list<T>(
        self,
        key: &str,
        mut items: impl Stream<Item = Result<T>> + Unpin,
    ) -> Result<()>
    where
        T: fmt::Display,
    {
        if !matches!(self.format, Format::Text) {
            let mut all = Vec::new();
            while let Some(item) = items.try_next().await? {
                all.push(item.to_string());
            }
            let shown = self.formatted(&serde_json::json!({ key: all }))?;
            return line(shown.unwrap_or_default());
        }
        let mut stdout = io::BufWriter::new(io::stdout());
        while let Some(item) = items.try_next().await? {
            writeln!(stdout, "{}", EscapedText(&item.to_string())).map_err(stdout_error)?;
        }
        stdout.flush().map_err(stdout_error)
    }
}

/// Writes exact bytes to standard output, such as a manifest, a config or a script. Escapes control
/// characters only on a terminal.
pub(crate) fn bytes(bytes: &[u8]) -> Result<()> {
    if io::stdout().is_terminal() {
        let text = String::from_utf8_lossy(bytes);
        return write(EscapedText(&text).in_json().to_string().as_bytes());
    }
    write(bytes)
}

/// Writes a result of one line to standard output.
pub(crate) fn line(line: impl fmt::Display) -> Result<()> {
    write(format!("{line}\n").as_bytes())
}

/// Writes a blob to a file, or to stdout if the path is `-` or missing.
pub(crate) async fn blob(mut reader: impl Blob, to: Option<&Path>) -> Result<()> {
    match to {
        Some(path) if path != Path::new("-") => blob_to(reader, path).await,
        None if io::stdout().is_terminal() => Err(no_terminal()),
        _ => {
            while let Some(chunk) = reader.try_next().await? {
                write(&chunk)?;
            }
            Ok(())
        }
    }
}

/// Writes a blob to a file, and continues after the bytes that an interrupted command kept. Writes to
/// stdout, a device or a named pipe from the start.
pub(crate) async fn file(blob: &Descriptor, mut body: BlobBody, path: &Path) -> Result<()> {
    match keeps_partial_files(path) {
        true => longshore::blob_file::write_beside(path, blob, body).await,
        false => self::blob(body.open(blob).await?, Some(path)).await,
    }
}

/// Returns true if [`file`] keeps the first bytes of a blob after an interruption. It keeps none on
/// Windows, and none for stdout, a device or a named pipe.
pub(crate) fn keeps_partial_files(path: &Path) -> bool {
    !cfg!(windows) && path != Path::new("-") && !is_device(path)
}

/// Returns true for an existing device or named pipe, which a new file would replace.
fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// A stream of a blob's bytes. The stream verifies the blob if its digest is known.
pub(crate) trait Blob: Stream<Item = Result<Bytes>> + Send + Unpin {}

impl<S: Stream<Item = Result<Bytes>> + Send + Unpin> Blob for S {}

fn no_terminal() -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(STDOUT)
        .detail("refusing to write a blob to a terminal")
        .with_hint("Name a file with --output, or print the blob with `--output -`.")
}

async fn blob_to(mut reader: impl Blob, path: &Path) -> Result<()> {
    let at = |e| Error::io(path, e);
    if is_device(path) {
        let mut device = std::fs::OpenOptions::new().write(true).open(path).map_err(at)?;
        while let Some(chunk) = reader.try_next().await? {
            device.write_all(&chunk).map_err(at)?;
        }
        return Ok(());
    }
    longshore::blob_file::write(path, reader).await
}

/// Writes a response body to a file, or to stdout if the path is `-` or missing. Removes an
/// incomplete file. Escapes control characters only on a terminal.
pub(crate) async fn answer(mut stream: BlobStream, to: Option<&Path>) -> Result<()> {
    match to {
        Some(path) if path != Path::new("-") => {
            let at = |e| Error::io(path, e);
            let mut file = std::fs::File::create(path).map_err(at)?;
            let copied: Result<()> = async {
                while let Some(chunk) = stream.try_next().await? {
                    file.write_all(&chunk).map_err(at)?;
                }
                Ok(())
            }
            .await;
            copied.inspect_err(|_| drop(std::fs::remove_file(path)))
        }
        _ => {
            while let Some(chunk) = stream.try_next().await? {
                bytes(&chunk)?;
            }
            Ok(())
        }
    }
}

/// Returns true if an error means that the reader of stdout closed the pipe.
pub(crate) fn is_broken_pipe(error: &Error) -> bool {
    // A broken connection to a registry can have the same I/O error, but is a failure.
    if error.thing() != Some(STDOUT) {
        return false;
    }
    let source = std::error::Error::source(error);
    source
        .and_then(|e| e.downcast_ref::<io::Error>())
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Formats a size for users: `1.5 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Formats a number of things for users: `1 blob`, `2 blobs`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

fn as_json(document: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(|e| {
        Error::new(ErrorKind::Io).detail("the result cannot be written as JSON").with_source(e)
    })?;
    Ok(EscapedText(&text).in_json().to_string())
}

fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_error)
}

fn stdout_error(e: io::Error) -> Error {
    Error::new(ErrorKind::Io).at(STDOUT).with_source(e)
}

/// The name of stdout in errors.
const STDOUT: &str = "standard output";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_has_a_singular_noun() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "blob")), ["0 blobs", "1 blob", "2 blobs"]);
    }

    #[test]
    fn only_a_broken_stdout_pipe_counts_as_success() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&stdout_error(broken())));
        let upload = Error::new(ErrorKind::Transport).at("r.example").with_source(broken());
        assert!(!is_broken_pipe(&upload));
    }
}
