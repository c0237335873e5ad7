use std::fmt;

/// Why a task failed: one line or more for the person who started it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The failure to read or write a file.
    pub(crate) fn io(path: &std::path::Path, e: &std::io::Error) -> Self {
        Self(format!("{}: {e}", path.display()))
    }

    /// A failure of every complaint, or none if there is none.
    pub(crate) fn unless_empty(complaints: &[impl fmt::Display]) -> Result<(), Self> {
        if complaints.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        Err(Self(lines.join("\n")))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
