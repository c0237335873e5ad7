//! Measures processes from outside, and prints the results as rows of a table.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::Result;
use super::contestant::CommandLine;
use crate::failure::Failure;

/// The cost of one run of a program.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    wall_seconds: f64,
    cpu_seconds: f64,
    peak_rss_mib: f64,
}

/// Runs a command line under GNU time; `None` if there is no command line.
pub(super) fn measure(line: &CommandLine) -> Result<Option<Sample>> {
    let Some(line) = line else { return Ok(None) };
    let account = std::env::temp_dir().join(format!("longshore-bench-{}", std::process::id()));
    let start = Instant::now();
    let output = Command::new("/usr/bin/time")
        .args(["--format", "%U %S %M", "--output"])
        .arg(&account)
        .args(line)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|e| Failure::new(format!("cannot run GNU time (Debian: time): {e}")))?;
    let wall_seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("{} failed: {said}", line.join(" "))));
    }
    let text = std::fs::read_to_string(&account).map_err(|e| Failure::io(&account, &e))?;
    std::fs::remove_file(&account).ok();
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    match numbers[..] {
        [user, system, rss_kib] => Ok(Some(Sample {
            wall_seconds,
            cpu_seconds: user + system,
            peak_rss_mib: rss_kib / 1024.0,
        })),
        _ => Err(Failure::new(format!("unexpected output of GNU time: {text:?}"))),
    }
}

/// Runs a program that must succeed, and returns its standard output.
pub(super) fn succeed(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| Failure::new(format!("cannot run {program}: {e}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{program} {} failed: {said}", arguments.join(" "))))
}

/// One measurement: a column of samples for each program.
pub(super) struct Row {
    what: String,
    columns: Vec<(&'static str, Vec<Sample>)>,
}

impl Row {
    pub(super) const HEAD: &str = "\
| task | program | wall s (min–max) | ratio | CPU s | peak RSS MiB |\n\
|---|---|---|---|---|---|";

    pub(super) fn new(what: &str, who: impl Iterator<Item = &'static str>) -> Self {
        Self { what: what.to_owned(), columns: who.map(|name| (name, Vec::new())).collect() }
    }

    pub(super) fn add(&mut self, column: usize, sample: Option<Sample>) {
        self.columns[column].1.extend(sample);
    }

    /// Prints a line for each program. The ratio is the median wall time of the first program,
    /// divided by that of the line's program.
    pub(super) fn print(&self) {
        let first = median(&self.columns[0].1, |s| s.wall_seconds);
        for (name, samples) in &self.columns {
            if samples.is_empty() {
                println!("| {} | {name} | cannot | | | |", self.what);
                continue;
            }
            let walls = || samples.iter().map(|s| s.wall_seconds);
            println!(
                "| {} | {name} | {:.3} ({:.3}–{:.3}) | {:.2} | {:.2} | {:.0} |",
                self.what,
                median(samples, |s| s.wall_seconds),
                walls().fold(f64::INFINITY, f64::min),
                walls().fold(0.0, f64::max),
                first / median(samples, |s| s.wall_seconds),
                median(samples, |s| s.cpu_seconds),
                samples.iter().map(|s| s.peak_rss_mib).fold(0.0, f64::max),
            );
        }
    }
}

fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
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
