//! `cargo xtask test`: everything, in the order in which failures are cheapest.

use crate::abilities::{self, Ability};
use crate::failure::Failure;
use crate::peers::{self, PEERS, Peer};
use crate::step::{Steps, cargo, follow, succeed};
use crate::summary::Summary;
use crate::{layers, licences, python_clients, rust_version};

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
    let (mut missing, components) =
        steps.step("set-up", || Ok((Missing::after_set_up(), peers::components())))?;
    report.left_out.extend(missing.abilities.iter().map(|ability| abilities::left_out(ability)));
    report.left_out.extend(missing.predecessors.iter().map(python_clients::left_out));
    report.left_out.extend(components.iter().map(|component| {
        format!("left out: cargo {component} is not installed, and rustup could not add it")
    }));
    if !components.contains(&"fmt") {
        steps.cargo("format", &["fmt", "--all", "--check"])?;
    }
    steps.step("layers", layers::run)?;
    steps.step("rust-version", rust_version::run)?;
    steps.step("licences", licences::run)?;
    // All targets: so the dependencies have the features that the tests build them with, and are
    // built once. The comparison with the earlier clients is not among them.
    let all = ["--workspace", "--all-targets", "--test", python_clients::NAME];
    if !components.contains(&"clippy") {
        steps.cargo("clippy", &[&["clippy"], &all[..], &["--", "-D", "warnings"]].concat())?;
    }
    steps.cargo("build", &[&["build"], &all[..]].concat())?;
    steps.step("engines", || {
        missing.peers.extend(peers::do_not_start()?);
        Ok(())
    })?;
    report.left_out.extend(missing.peers.iter().map(|peer| peers::left_out(peer)));
    steps.step("tests", || tests(&missing, report))?;
    steps.step("documentation", documentation)
}

/// What others made, that tests need and that could not be had.
#[derive(Debug)]
struct Missing {
    peers: Vec<&'static Peer>,
    abilities: Vec<&'static Ability>,
    /// Why the earlier clients are not here.
    predecessors: Option<Failure>,
}

impl Missing {
    fn after_set_up() -> Self {
        Self {
            peers: peers::set_up(),
            abilities: abilities::missing(),
            predecessors: python_clients::set_up().err(),
        }
    }

    /// What the names of tests contain that would need it.
    fn in_test_names(&self) -> impl Iterator<Item = &'static str> {
        let abilities = self.abilities.iter().map(|ability| ability.in_test_names);
        self.peers.iter().map(|peer| peer.in_test_names).chain(abilities)
    }
}

/// Runs all tests, also those of the documentation, except those that need what is missing.
fn tests(missing: &Missing, report: &mut Report) -> Result<(), Failure> {
    let here = PEERS.iter().filter(|peer| !missing.peers.contains(peer));
    let here: Vec<&str> = here.map(|peer| peer.program).collect();
    let summary = &mut report.summary;
    let mut run = |targets: &[&str]| {
        let mut command = cargo();
        command
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(targets)
            .arg("--")
            .args(missing.in_test_names().flat_map(|part| ["--skip", part]))
            .env("LONGSHORE_PEERS", here.join(" "));
        follow(&mut command, |line| summary.read(line))
    };
    let mut succeeded = run(&[])?;
    if missing.predecessors.is_none() {
        succeeded &= run(&["--test", python_clients::NAME])?;
    }
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
    fn tests_that_need_what_is_missing_are_left_out_by_name() {
        let all_here = Missing { peers: Vec::new(), abilities: Vec::new(), predecessors: None };
        assert_eq!(all_here.in_test_names().count(), 0);
        let missing = Missing { peers: vec![&PEERS[0]], ..all_here };
        let parts: Vec<_> = missing.in_test_names().collect();
        assert_eq!(parts, [PEERS[0].in_test_names]);
    }

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
