//! Converts errors to Python exceptions.

use longshore::{AvailablePlatforms, DigestPair, Error, ErrorKind, ParseError, Platform};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns the exception for an error: an instance of a class in `longshore._errors`, which
/// chooses the class by the kind.
pub(crate) fn raise(error: impl Into<Error>) -> PyErr {
    let error = error.into();
    Python::attach(|py| exception(py, &error).unwrap_or_else(|e| e))
}

fn exception(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let fields = PyDict::new(py);
    fields.set_item("kind", name(error.kind()))?;
    fields.set_item("message", chain(error))?;
    fields.set_item("status", error.status())?;
    fields.set_item("hint", error.hint())?;
    fields.set_item("thing", error.thing())?;
    fields.set_item("url", error.url())?;
    let digests = error.data().map(|pair: &DigestPair| (&pair.expected, &pair.found));
    fields.set_item("digests", digests.map(|(a, b)| (a.to_string(), b.to_string())))?;
    let platforms = error.data().map(|AvailablePlatforms(all)| all.iter().map(Platform::to_string));
    fields.set_item("platforms", platforms.map(Vec::from_iter))?;
    fields.set_item("retry_after", error.retry_after().map(|wait| wait.as_secs_f64()))?;
    fields.set_item("errno", errno(error))?;
    let errors: Vec<_> = error
        .registry_errors()
        .iter()
        .map(|e| Ok((e.code.as_str(), e.message.as_str(), pythonize::pythonize(py, &e.detail)?)))
        .collect::<PyResult<_>>()?;
    fields.set_item("errors", errors)?;
    let made = py.import("longshore._errors")?.call_method("_of", (), Some(&fields))?;
    Ok(PyErr::from_value(made))
}

/// Returns the text of an error and of its sources, in one line.
fn chain(error: &Error) -> String {
    let mut source = std::error::Error::source(error);
    // This text is complete: it names the kind of text, and what is wrong with it.
    if let Some(malformed) = source.and_then(|source| source.downcast_ref::<ParseError>()) {
        return malformed.to_string();
    }
    let mut text = error.to_string();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors include their source in their own text.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// Returns the system's error number, if a system call failed.
fn errno(error: &Error) -> Option<i32> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return io.raw_os_error();
        }
        source = cause.source();
    }
    None
}

fn name(kind: ErrorKind) -> String {
    format!("{kind:?}")
}

/// Returns the exception for text that is malformed.
pub(crate) fn invalid(error: ParseError) -> PyErr {
    raise(error)
}
