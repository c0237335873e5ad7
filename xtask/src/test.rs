//! `cargo xtask test`: everything, in the order in which failures are cheapest.

use crate::failure::Failure;
use crate::peers::{self, PEERS, Peer};
use crate::step::{Steps, cargo, follow, succeed};
use crate::summary::Summary;
use crate::{layers, licences, rust_version};

/// Runs every check and test. The last line printed is `N passed, N failed`.
pub(crate) fn run() -> Result<(), Failure> {
    let mut steps = Steps::default();
    let mut summary = Summary::default();
    let outcome = all(&mut steps, &mut summary);
    steps.print_times();
    if let Err(failure) = &outcome {
        println!("\n{failure}");
        // A step that failed before any test did is a failure that the closing line must show.
        summary.failed = summary.failed.max(1);
    }
    println!("\n{summary}");
    outcome
}

fn all(steps: &mut Steps, summary: &mut Summary) -> Result<(), Failure> {
    let (missing_peers, missing_components) =
        steps.step("set-up", || Ok((peers::set_up(), peers::components())))?;
    if !missing_components.contains(&"fmt") {
        steps.cargo("format", &["fmt", "--all", "--check"])?;
    }
    steps.step("layers", layers::run)?;
    steps.step("rust-version", rust_version::run)?;
    steps.step("licences", licences::run)?;
    if !missing_components.contains(&"clippy") {
        let clippy = "clippy --workspace --all-targets -- -D warnings";
        steps.cargo("clippy", &clippy.split(' ').collect::<Vec<_>>())?;
    }
    // All targets: so the dependencies have the features that the tests build them with, and are
    // built once.
    steps.cargo("build", &["build", "--workspace", "--all-targets"])?;
    *summary = steps.step("tests", || tests(&missing_peers))?;
    steps.step("documentation", documentation)?;
    for peer in &missing_peers {
        println!("{}", peers::left_out(peer));
    }
    for component in missing_components {
        println!("left out: cargo {component} is not installed, and rustup could not add it");
    }
    verdict(summary)
}

/// Runs all tests, also those of the documentation, except those that need a missing peer.
fn tests(missing: &[&Peer]) -> Result<Summary, Failure> {
    let here = PEERS.iter().filter(|peer| !missing.contains(peer));
    let here: Vec<&str> = here.map(|peer| peer.program).collect();
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast", "--"])
        .args(missing.iter().flat_map(|p| ["--skip", p.in_test_names]))
        .env("LONGSHORE_PEERS", here.join(" "));
    let mut summary = Summary::default();
    let succeeded = follow(&mut command, |line| summary.read(line))?;
    if summary.left_out > 0 {
        println!("left out: {} tests, by name", summary.left_out);
    }
    if !succeeded {
        // A test binary that crashed has no result line of its own.
        summary.failed = summary.failed.max(1);
    }
    Ok(summary)
}

fn documentation() -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut command)
}

fn verdict(summary: &Summary) -> Result<(), Failure> {
    match summary {
        Summary { failed: 1.., .. } => Err(Failure::new("tests failed")),
        Summary { passed: 0, .. } => Err(Failure::new("no test ran")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passed_is_a_failure_too() {
        for (passed, failed, good) in [(3, 0, true), (3, 1, false), (0, 0, false)] {
            let summary = Summary { passed, failed, left_out: 0 };
            assert_eq!(verdict(&summary).is_ok(), good, "{summary}");
        }
    }
}
