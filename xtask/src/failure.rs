use std::fmt;

/// The reason why a task failed: one or more lines for its user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns a failure to read or write a file.
    pub(crate) fn io(path: &std::path::Path, e: &std::io::Error) -> Self {
        Self(format!("{}: {e}", path.display()))
    }

    /// Returns a failure with all complaints, or success if there are none.
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
