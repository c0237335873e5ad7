//! The clients that longshore replaces, installed from the Python package index into a virtual
//! environment below the target folder.
//!
//! Owns the installation. The testkit has the list of packages and runs the clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::metadata::Metadata;
use crate::peers;
use crate::step::succeed;

/// The name of the environment's folder, and of the test target that needs it.
pub(crate) const NAME: &str = "predecessors";

/// Creates the environment, unless it already exists with the listed requirements.
pub(crate) fn set_up() -> Result<(), Failure> {
    let (folder, wanted) = (folder()?, requirements()?);
    if is_current(&folder, &wanted) {
        println!("the earlier clients are installed");
        return Ok(());
    }
    make(&folder)?;
    succeed(install(&folder).arg(REQUIREMENTS))?;
    // Written last, so that an interrupted installation is repeated.
    let stamp = folder.join(STAMP);
    fs::write(&stamp, wanted).map_err(|e| Failure::io(&stamp, &e))
}

/// Checks that the clients are installed.
///
/// # Errors
/// Names the command that installs the clients.
pub(crate) fn check() -> Result<(), Failure> {
    let (folder, wanted) = (folder()?, requirements()?);
    if is_current(&folder, &wanted) {
        return Ok(());
    }
    Err(Failure::new(
        "the earlier clients, in Python, are not installed; `cargo xtask setup` installs them",
    ))
}

fn folder() -> Result<PathBuf, Failure> {
    Ok(Metadata::load()?.target_directory.join(NAME))
}

fn requirements() -> Result<String, Failure> {
    fs::read_to_string(REQUIREMENTS).map_err(|e| Failure::io(Path::new(REQUIREMENTS), &e))
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

/// Returns the command `pip install -r`, which never prompts, and fails without a network. The
/// user's configuration selects the package index.
fn install(folder: &Path) -> Command {
    let mut command = Command::new(python(folder));
    command
        .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
        .args(["--retries=2", "--timeout=30", "--no-deps", "--requirement"]);
    command
}

fn python(folder: &Path) -> PathBuf {
    folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

const REQUIREMENTS: &str = "crates/testkit/src/peer/predecessor/requirements.txt";

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
