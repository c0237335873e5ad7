//! Cargo subcommands that the checks need.

use std::process::Command;

use crate::failure::Failure;
use crate::step::{succeed, works};

/// A subcommand of cargo, and its installation command.
#[derive(Debug)]
pub(crate) struct Tool {
    subcommand: &'static str,
    install: &'static [&'static str],
}

pub(crate) const FMT: Tool =
    Tool { subcommand: "fmt", install: &["rustup", "component", "add", "rustfmt"] };
pub(crate) const CLIPPY: Tool =
    Tool { subcommand: "clippy", install: &["rustup", "component", "add", "clippy"] };
/// Not installed by `setup`: its build takes a minute, and the tests do not need it.
pub(crate) const HACK: Tool =
    Tool { subcommand: "hack", install: &["cargo", "install", "--locked", "cargo-hack"] };

impl Tool {
    /// Checks that the tool is installed.
    ///
    /// # Errors
    /// Names the command that installs the tool.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if works("cargo", &[self.subcommand, "--version"]) {
            return Ok(());
        }
        let install = self.install.join(" ");
        Err(Failure::new(format!(
            "cargo {} is not installed; `{install}` installs it",
            self.subcommand
        )))
    }

    /// Installs the tool if it is missing.
    pub(crate) fn set_up(&self) -> Result<(), Failure> {
        let [program, arguments @ ..] = self.install else {
            return self.check();
        };
        self.check().or_else(|_| succeed(Command::new(program).args(arguments)))
    }
}
