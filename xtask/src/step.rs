//! Steps of a task. Each step is announced and timed.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// Runs steps one after another, and records their times.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one step.
    pub(crate) fn step<T>(
        &mut self,
        name: &str,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        println!("== {name}: {:.1} s", took.as_secs_f64());
        self.done.push((name.to_owned(), took));
        outcome.map_err(|failure| Failure::new(format!("the step `{name}` failed: {failure}")))
    }

    /// Runs cargo as a step.
    pub(crate) fn cargo(&mut self, name: &str, arguments: &[&str]) -> Result<(), Failure> {
        self.step(name, || succeed(cargo().args(arguments)))
    }

    /// Prints the time of each step.
    pub(crate) fn print_times(&self) {
        println!("\n== times");
        for (name, took) in &self.done {
            println!("{:8.1} s  {name}", took.as_secs_f64());
        }
    }
}

/// Returns a command for the cargo that runs this task.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    as_from_a_shell(&mut command);
    command
}

/// Removes the variables that cargo sets for this program. ring's build script depends on them, so
/// that ring and all crates above it would be built again after each change between `cargo xtask` and
/// `cargo`.
pub(crate) fn as_from_a_shell(command: &mut Command) {
    let set_by_cargo =
        |name: &str| name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(set_by_cargo) {
            command.env_remove(name);
        }
    }
}

/// Runs a command with visible output. Fails if the command fails.
pub(crate) fn succeed(command: &mut Command) -> Result<(), Failure> {
    println!("{}", shown(command));
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{}: {status}", shown(command)))),
        Err(e) => Err(Failure::new(format!("{}: {e}", shown(command)))),
    }
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let line = shown(command);
    let failed = |why: &str| Failure::new(format!("{line}: {why}"));
    let ended = command.stdin(Stdio::null()).output().map_err(|e| failed(&e.to_string()))?;
    match ended.status.success() {
        true => Ok(String::from_utf8_lossy(&ended.stdout).into_owned()),
        false => Err(failed(&String::from_utf8_lossy(&ended.stderr))),
    }
}

/// Runs a command, prints each line of its standard output, and passes it to `on_line`. Returns
/// true if the command succeeded.
pub(crate) fn follow(
    command: &mut Command,
    mut on_line: impl FnMut(&str),
) -> Result<bool, Failure> {
    println!("{}", shown(command));
    let broken = |e: std::io::Error| Failure::new(e.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(broken)?;
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(broken)?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            on_line(&line);
        }
    }
    Ok(child.wait().map_err(broken)?.success())
}

/// Returns true if a command can be run and succeeds. Hides its output.
pub(crate) fn works(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.output().is_ok_and(|output| output.status.success())
}

fn shown(command: &Command) -> String {
    let mut words = vec!["$".to_owned()];
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    words.push(name.to_string_lossy().into_owned());
    words.extend(command.get_args().map(|a| a.to_string_lossy().into_owned()));
    words.join(" ")
}
