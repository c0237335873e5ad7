//! Measures processes from outside.

use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use super::Result;
use super::contestant::CommandLine;
use crate::failure::Failure;
use crate::step::output;

/// The cost of one run of a program.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) wall_seconds: f64,
    /// User and system time.
    pub(super) cpu_seconds: f64,
    pub(super) peak_rss_mib: f64,
    /// The number of requests to all registries; `None` if the registries do not count them.
    pub(super) requests: Option<u64>,
}

/// Runs a command line under GNU time, and discards its output; `None` if there is no command line.
pub(super) fn measure(line: &CommandLine) -> Result<Option<Sample>> {
    let Some(line) = line else { return Ok(None) };
    let output = timed(line, Stdio::null())?;
    finished(line, &output)?;
    sample(&output).map(Some)
}

/// Runs a command line under GNU time, and returns its output, too; `None` if it exits with this
/// code.
pub(super) fn measure_output(line: &[String], none: i32) -> Result<Option<(Sample, Vec<u8>)>> {
    let output = timed(line, Stdio::piped())?;
    if output.output.status.code() == Some(none) {
        return Ok(None);
    }
    finished(line, &output)?;
    Ok(Some((sample(&output)?, output.output.stdout)))
}

/// A finished command line, its time, and what GNU time wrote.
struct Timed {
    output: Output,
    wall_seconds: f64,
    account: String,
}

fn timed(line: &[String], stdout: Stdio) -> Result<Timed> {
    let account = std::env::temp_dir().join(format!("longshore-bench-{}", std::process::id()));
    let start = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["--quiet", "--format", "%U %S %M", "--output"])
        .arg(&account)
        .args(line)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .and_then(Child::wait_with_output)
        .map_err(|e| Failure::new(format!("cannot run GNU time (Debian: time): {e}")))?;
    let wall_seconds = start.elapsed().as_secs_f64();
    let text = std::fs::read_to_string(&account).map_err(|e| Failure::io(&account, &e))?;
    std::fs::remove_file(&account).ok();
    Ok(Timed { output, wall_seconds, account: text })
}

fn finished(line: &[String], timed: &Timed) -> Result<()> {
    if timed.output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&timed.output.stderr);
    Err(Failure::new(format!("{} failed: {said}", line.join(" "))))
}

fn sample(timed: &Timed) -> Result<Sample> {
    let account = &timed.account;
    let numbers: Vec<f64> = account.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    match numbers[..] {
        [user, system, rss_kib] => Ok(Sample {
            wall_seconds: timed.wall_seconds,
            cpu_seconds: user + system,
            peak_rss_mib: rss_kib / 1024.0,
            requests: None,
        }),
        _ => Err(Failure::new(format!("unexpected output of GNU time: {account:?}"))),
    }
}

/// Runs a program that must succeed, and returns its standard output.
pub(super) fn succeed(program: &str, arguments: &[&str]) -> Result<String> {
    output(Command::new(program).args(arguments))
}

/// Describes the machine.
pub(super) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpuinfo, meminfo) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores of {}, memory {}\n",
        field(&cpuinfo, "model name").unwrap_or_else(|| "an unknown processor".into()),
        field(&meminfo, "MemTotal").unwrap_or_else(|| "unknown".into()),
    )
}
