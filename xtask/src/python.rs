//! Virtual environments of Python below the target folder, with packages from the Python package
//! index.
//!
//! Owns the list of environments and their installation.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::peers;
use crate::step::succeed;

/// A virtual environment.
#[derive(Debug)]
pub(crate) struct Environment {
    /// The name of the environment's folder, and of the part of the tests that needs it.
    pub(crate) name: &'static str,
    content: &'static str,
    requirements: &'static str,
}

/// The clients that longshore replaces. The testkit has the list of packages and runs the clients.
pub(crate) const PREDECESSORS: Environment = Environment {
    name: "predecessors",
    content: "the earlier clients in Python",
    requirements: "crates/testkit/src/peer/predecessor/requirements.txt",
};

/// What builds and tests the Python package.
pub(crate) const PACKAGE: Environment = Environment {
    name: "python",
    content: "the tools of the Python package",
    requirements: "crates/python/requirements.txt",
};

impl Environment {
    /// Creates the environment, unless it already exists with the listed requirements.
    pub(crate) fn set_up(&self) -> Result<(), Failure> {
        let (folder, wanted) = (self.folder()?, self.wanted()?);
        if is_current(&folder, &wanted) {
            println!("{} are installed", self.content);
            return Ok(());
        }
        make(&folder)?;
        succeed(pip_install(&python(&folder)).args(["--requirement", self.requirements]))?;
        // Written last, so that an interrupted installation is repeated.
        let stamp = folder.join(STAMP);
        fs::write(&stamp, wanted).map_err(|e| Failure::io(&stamp, &e))
    }

    /// Checks that the environment exists with the listed requirements.
    ///
    /// # Errors
    /// Names the command that creates the environment.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if is_current(&self.folder()?, &self.wanted()?) {
            return Ok(());
        }
        let content = self.content;
        Err(Failure::new(format!("{content} are not installed; `cargo xtask setup` installs them")))
    }

    /// Returns the path of the environment's interpreter.
    pub(crate) fn python(&self) -> Result<PathBuf, Failure> {
        Ok(python(&self.folder()?))
    }

    /// Returns the folder of the environment, below the target folder.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        Ok(Metadata::load()?.target_directory.join(self.name))
    }

    fn wanted(&self) -> Result<String, Failure> {
        let file = Path::new(self.requirements);
        fs::read_to_string(file).map_err(|e| Failure::io(file, &e))
    }
}

/// Returns the command `pip install --no-deps`, which never prompts, and fails without a network.
/// The user's configuration selects the package index.
pub(crate) fn pip_install(python: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--retries=2", "--timeout=30", "--no-deps"]);
    command
}

/// Returns true if the environment was created from these requirements and its interpreter still
/// exists.
fn is_current(folder: &Path, wanted: &str) -> bool {
    python(folder).exists() && fs::read_to_string(folder.join(STAMP)).is_ok_and(|s| s == wanted)
}

fn make(folder: &Path) -> Result<(), Failure> {
    let venv = || succeed(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
    let made = venv();
    if made.is_err() && peers::install_packages(&["python3-venv"]).is_ok() {
        return venv();
    }
    made
}

fn python(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

/// The file that records the requirements of the environment.
const STAMP: &str = "made-of.txt";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_recreated_when_the_requirements_change() {
        let folder = std::env::temp_dir().join(format!("longshore-xtask-{}", std::process::id()));
        assert!(!is_current(&folder, "a==1"));
        let python = python(&folder);
        fs::create_dir_all(python.parent().unwrap()).unwrap();
        fs::write(&python, "").unwrap();
        assert!(!is_current(&folder, "a==1"), "an interrupted installation");
        fs::write(folder.join(STAMP), "a==1").unwrap();
        assert!(is_current(&folder, "a==1"));
        assert!(!is_current(&folder, "a==2"));
        fs::remove_dir_all(folder).unwrap();
    }
}
