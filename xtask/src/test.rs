//! `cargo xtask test`: everything, in the order in which failures are cheapest.

use crate::failure::Failure;
use crate::peers::{self, PEERS, Peer};
use crate::step::{Steps, cargo, follow, succeed};
use crate::summary::Summary;
use crate::{layers, licences, rust_version};

/// Runs every check and test. The last line printed is `N passed, N failed`.
pub(crate) fn run() -> Result<(), Failure> {
    let mut steps = Steps::default();
    let mut report = Report::default();
    let outcome = all(&mut steps, &mut report);
    steps.print_times();
    println!();
    for line in &report.left_out {
        println!("{line}");
    }
    for name in &report.summary.failures {
        println!("failed: {name}");
    }
    if let Err(failure) = &outcome {
        println!("{failure}");
        // A step that failed before any test did is a failure that the closing line must show.
        report.summary.failed = report.summary.failed.max(1);
    }
    println!("\n{}", report.summary);
    outcome
}

/// What is told at the end.
#[derive(Debug, Default)]
struct Report {
    summary: Summary,
    /// A line for each thing that did not run, and why.
    left_out: Vec<String>,
}

fn all(steps: &mut Steps, report: &mut Report) -> Result<(), Failure> {
    let (peers, components) =
        steps.step("set-up", || Ok((peers::set_up(), peers::components())))?;
    report.left_out.extend(peers.iter().map(|peer| peers::left_out(peer)));
    report.left_out.extend(components.iter().map(|component| {
        format!("left out: cargo {component} is not installed, and rustup could not add it")
    }));
    if !components.contains(&"fmt") {
        steps.cargo("format", &["fmt", "--all", "--check"])?;
    }
    steps.step("layers", layers::run)?;
    steps.step("rust-version", rust_version::run)?;
    steps.step("licences", licences::run)?;
    if !components.contains(&"clippy") {
        let clippy = "clippy --workspace --all-targets -- -D warnings";
        steps.cargo("clippy", &clippy.split(' ').collect::<Vec<_>>())?;
    }
    // All targets: so the dependencies have the features that the tests build them with, and are
    // built once.
    steps.cargo("build", &["build", "--workspace", "--all-targets"])?;
    steps.step("tests", || tests(&peers, report))?;
    steps.step("documentation", documentation)
}

/// Runs all tests, also those of the documentation, except those that need a missing peer.
fn tests(missing: &[&Peer], report: &mut Report) -> Result<(), Failure> {
    let here = PEERS.iter().filter(|peer| !missing.contains(peer));
    let here: Vec<&str> = here.map(|peer| peer.program).collect();
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast", "--"])
        .args(missing.iter().flat_map(|p| ["--skip", p.in_test_names]))
        .env("LONGSHORE_PEERS", here.join(" "));
    let summary = &mut report.summary;
    let succeeded = follow(&mut command, |line| summary.read(line))?;
    if summary.left_out > 0 {
        report.left_out.push(format!("left out: {} tests in all, by name", summary.left_out));
    }
    verdict(summary, succeeded)
}

fn verdict(summary: &Summary, succeeded: bool) -> Result<(), Failure> {
    match summary {
        Summary { failed: 1.., .. } => Err(Failure::new(format!("{summary}"))),
        _ if !succeeded => Err(Failure::new("a test binary crashed, or was not built")),
        Summary { passed: 0, .. } => Err(Failure::new("no test ran")),
        _ => Ok(()),
    }
}

fn documentation() -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passed_is_a_failure_too() {
        for (passed, failed, succeeded, good) in
            [(3, 0, true, true), (3, 1, false, false), (3, 0, false, false), (0, 0, true, false)]
        {
            let summary = Summary { passed, failed, ..Summary::default() };
            assert_eq!(verdict(&summary, succeeded).is_ok(), good, "{summary}");
        }
    }
}
