//! Environment variables, as a value that is passed on. No other module of this crate reads the
//! variables of the process.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// The environment variables that settings and credentials are read from.
///
/// A plain value, so that a program can omit variables, and tests do not depend on the variables of
/// their process.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// Returns an environment without variables.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Returns the current variables of this process.
    #[must_use]
    pub fn from_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Returns the environment with one variable set.
    #[must_use]
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Returns a variable. An empty variable counts as not set.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// Returns a variable, if it is valid Unicode.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.var(name)?.to_str()
    }

    /// Returns a variable that contains the path of a file or folder.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.var(name).map(PathBuf::from)
    }

    /// Returns the program's cache folder: `longshore` below `XDG_CACHE_HOME`, `LOCALAPPDATA` or
    /// `~/.cache`, whichever is set first. Relative paths are ignored.
    ///
    /// Source: XDG Base Directory Specification.
    #[must_use]
    pub fn cache_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_CACHE_HOME", ".cache")
    }

    /// Returns the program's folder for state that outlives a process: `longshore` below
    /// `XDG_STATE_HOME`, `LOCALAPPDATA` or `~/.local/state`, whichever is set first. Relative paths
    /// are ignored.
    ///
    /// Source: XDG Base Directory Specification.
    #[must_use]
    pub fn state_folder(&self) -> Option<PathBuf> {
        self.folder("XDG_STATE_HOME", ".local/state")
    }

    fn folder(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        let set = |name| self.path(name).filter(|folder| folder.is_absolute());
        let folder = set(variable).or_else(|| set("LOCALAPPDATA"));
        let folder = folder.or_else(|| Some(self.home()?.join(below_home)));
        folder.map(|folder| folder.join("longshore"))
    }

    /// Returns the user's home directory: `HOME`, or `USERPROFILE` if `HOME` is not set.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.path("HOME").or_else(|| self.path("USERPROFILE"))
    }
}

impl fmt::Debug for Environment {
    /// Shows only the names, because values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.0.keys().collect();
        names.sort();
        f.debug_tuple("Environment").field(&names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_unset_and_debug_shows_no_values() {
        let environment = Environment::empty().with("A", "").with("B", "s3cret").with("HOME", "/h");
        assert_eq!(environment.var("A"), None);
        assert_eq!(environment.text("B"), Some("s3cret"));
        assert_eq!(environment.home(), Some(PathBuf::from("/h")));
        assert_eq!(format!("{environment:?}"), r#"Environment(["A", "B", "HOME"])"#);
    }
}
