//! The Python package in `crates/python`: builds its wheel, and checks and tests the installed wheel.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::python::{PACKAGE, PREDECESSORS, pip_install};
use crate::step::{as_from_a_shell, follow, succeed};
use crate::summary::Summary;

/// `cargo xtask wheel [ARGUMENT]...`: builds a wheel for users, with further arguments for maturin,
/// such as `--target`. Prints its path and size.
///
/// # Errors
/// Fails if the wheel is larger than [`LIMIT`].
pub(crate) fn wheel(arguments: &[String]) -> Result<(), Failure> {
    PACKAGE.set_up()?;
    if arguments.iter().any(|argument| argument == "--zig") {
        succeed(pip_install(&PACKAGE.python()?).arg(ZIG))?;
    }
    let wheel = build("dist", arguments)?;
    let size = std::fs::metadata(&wheel).map_err(|e| Failure::io(&wheel, &e))?.len();
    println!("{}: {size} bytes", wheel.display());
    match size {
        0..=LIMIT => Ok(()),
        _ => Err(Failure::new(format!("the wheel is larger than {LIMIT} bytes"))),
    }
}

/// Builds the wheel with the profile of the tests, and installs it into the environment.
pub(crate) fn install() -> Result<(), Failure> {
    succeed(python()?.args(["generate.py", "--check"]))?;
    let wheel = build("dev", &["--features".to_owned(), "as-in-tests".to_owned()])?;
    succeed(pip_install(&PACKAGE.python()?).arg("--force-reinstall").arg(wheel))
}

/// Builds the wheel with a profile of cargo. Returns its path.
pub(crate) fn build(profile: &str, arguments: &[String]) -> Result<PathBuf, Failure> {
    let folder = PACKAGE.folder()?.join("wheels").join(profile);
    // The folder must not contain the wheel of an older build.
    std::fs::remove_dir_all(&folder).ok();
    let mut maturin = python()?;
    maturin.args(["-m", "maturin", "build", "--quiet", "--locked", "--profile", profile]);
    maturin.args([OsStr::new("--interpreter"), PACKAGE.python()?.as_os_str()]);
    succeed(maturin.args([OsStr::new("--out"), folder.as_os_str()]).args(arguments))?;
    let wheels = std::fs::read_dir(&folder).map_err(|e| Failure::io(&folder, &e))?;
    let wheel = wheels.filter_map(|entry| entry.ok().map(|entry| entry.path())).next();
    wheel.ok_or_else(|| Failure::new("maturin built no wheel"))
}

/// Checks the types of the package, its tests and its examples, and the stub of the compiled module.
pub(crate) fn check() -> Result<(), Failure> {
    succeed(python()?.args(["-m", "mypy"]))?;
    succeed(python()?.args(["-m", "mypy.stubtest", "longshore._core", "--concise"]))?;
    succeed(python()?.args(["-m", "pyright", "--warnings", "--pythonpath"]).arg(PACKAGE.python()?))
}

/// Runs the tests. Those that run the earlier clients need their environment.
pub(crate) fn test(with_predecessors: bool, summary: &mut Summary) -> Result<(), Failure> {
    let mut pytest = python()?;
    pytest.args(["-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider"]);
    match with_predecessors {
        true => pytest.env("LONGSHORE_PREDECESSORS", PREDECESSORS.python()?),
        false => pytest.args(["-m", "not predecessors"]),
    };
    match follow(&mut pytest, |line| summary.read_pytest(line))? {
        true => Ok(()),
        false => Err(Failure::new("a test of the Python package failed")),
    }
}

/// Returns a command for the interpreter of the environment, in the folder of the package.
fn python() -> Result<Command, Failure> {
    let mut command = Command::new(PACKAGE.python()?);
    command.current_dir(Path::new("crates/python")).env("VIRTUAL_ENV", PACKAGE.folder()?);
    as_from_a_shell(&mut command);
    Ok(command)
}

/// 12 MB: the largest wheel that users download.
const LIMIT: u64 = 12_000_000;
/// A C compiler and linker for other systems.
const ZIG: &str = "ziglang==0.15.2";
