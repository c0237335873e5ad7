//! Standard input and output, from which archives are read and to which they are written.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use longshore_core::{Error, ErrorKind, Result};

/// Returns standard input, if the path of an archive is `-`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if it is a terminal.
pub(super) fn input(path: &Path) -> Result<Option<io::Stdin>> {
    match path == Path::new("-") {
        false => Ok(None),
        true if io::stdin().is_terminal() => Err(Error::new(ErrorKind::Unsupported)
            .at("standard input")
            .detail("expected an archive, found a terminal")),
        true => Ok(Some(io::stdin())),
    }
}

/// Returns standard output, if the path of an archive is `-`.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if it is a terminal.
pub(super) fn output(path: &Path) -> Result<Option<Stdout>> {
    match path == Path::new("-") {
        false => Ok(None),
        true if io::stdout().is_terminal() => Err(Error::new(ErrorKind::Unsupported)
            .at(STDOUT)
            .detail("refusing to write an archive to a terminal")
            .with_hint("Name a file in place of -, or redirect the output.")),
        true => Ok(Some(Stdout)),
    }
}

/// Standard output. Its errors name it, to distinguish them from errors of the content.
pub(super) struct Stdout;

impl io::Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(named)
    }
}

fn named(e: io::Error) -> io::Error {
    io::Error::other(Error::new(ErrorKind::Io).at(STDOUT).with_source(e))
}

const STDOUT: &str = "standard output";
