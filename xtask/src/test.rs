//! `cargo xtask test [PART]...`: runs the checks and the tests.

use crate::abilities::{self, Ability};
use crate::failure::Failure;
use crate::peers::{self, PEERS, Peer};
use crate::python::{PACKAGE, PREDECESSORS};
use crate::step::{Steps, cargo, follow, succeed};
use crate::summary::Summary;
use crate::tools;
use crate::{book, layers, licences, package, setup};

/// A part that can be run alone, for example by a job of continuous integration.
struct Part {
    name: &'static str,
    /// Checks for the tool that the part needs besides cargo.
    check: fn() -> Result<(), Failure>,
    work: fn(&mut Run) -> Result<(), Failure>,
}

const PARTS: [Part; 10] = [
    Part { name: "format", check: || tools::FMT.check(), work: format },
    Part { name: "layers", check: || Ok(()), work: |run| run.steps.step("layers", layers::run) },
    Part {
        name: "licences",
        check: || Ok(()),
        work: |run| run.steps.step("licences", licences::run),
    },
    Part { name: "clippy", check: || tools::CLIPPY.check(), work: clippy },
    Part { name: "features", check: || tools::HACK.check(), work: features },
    Part { name: "tests", check: || Ok(()), work: build_and_test },
    Part { name: PREDECESSORS.name, check: || PREDECESSORS.check(), work: compare },
    Part { name: PACKAGE.name, check: || PACKAGE.check(), work: test_package },
    Part { name: "book", check: || Ok(()), work: |run| run.steps.step("book", book::check) },
    Part { name: "docs", check: || Ok(()), work: |run| run.steps.step("docs", documentation) },
];

/// Runs the named parts. Without names, runs the set-up and all parts.
///
/// The last line printed is `N passed, N failed`.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let mut run = Run::default();
    let outcome = if names.is_empty() { run.everything() } else { run.only(names) };
    run.steps.print_times();
    println!();
    for line in &run.left_out {
        println!("left out: {line}");
    }
    for name in &run.summary.failures {
        println!("failed: {name}");
    }
    if let Err(failure) = &outcome {
        println!("{failure}");
        // The closing line must report a failure even if no test ran.
        run.summary.failed = run.summary.failed.max(1);
    }
    println!("\n{}", run.summary);
    outcome
}

/// The results of the finished parts.
#[derive(Debug, Default)]
struct Run {
    steps: Steps,
    summary: Summary,
    /// A line for each skipped part, with the reason.
    left_out: Vec<String>,
}

impl Run {
    /// Runs all parts. Parts with a missing tool are skipped.
    fn everything(&mut self) -> Result<(), Failure> {
        self.steps.step("set-up", || {
            let outcome = peers::may_install().map_err(Failure::new).and_then(|()| setup::run());
            if let Err(failure) = outcome {
                println!("the set-up is incomplete: {failure}");
            }
            Ok(())
        })?;
        for part in &PARTS {
            match (part.check)() {
                Ok(()) => (part.work)(self)?,
                Err(failure) => self.left_out.push(format!("{}: {failure}", part.name)),
            }
        }
        Ok(())
    }

    /// Runs the named parts. A missing tool is a failure.
    fn only(&mut self, names: &[String]) -> Result<(), Failure> {
        for part in chosen(names)? {
            (part.check)()?;
            (part.work)(self)?;
        }
        Ok(())
    }
}

fn chosen(names: &[String]) -> Result<Vec<&'static Part>, Failure> {
    let find = |name: &String| {
        PARTS.iter().find(|part| part.name == *name).ok_or_else(|| {
            let known: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
            Failure::new(format!("there is no part {name}; the parts are {}", known.join(", ")))
        })
    };
    names.iter().map(find).collect()
}

fn format(run: &mut Run) -> Result<(), Failure> {
    run.steps.cargo("format", &["fmt", "--all", "--check"])?;
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    run.steps.cargo("format of the fuzz targets", &fuzz)
}

/// Checks all targets. Dependencies then have the same features as in the tests, so all parts share
/// one build of them.
fn clippy(run: &mut Run) -> Result<(), Failure> {
    let mut check = |name: &str, targets: &[&str]| {
        let workspace = ["clippy", "--workspace"];
        run.steps.cargo(name, &[&workspace[..], targets, &["--", "-D", "warnings"]].concat())
    };
    check("clippy", &["--all-targets"])?;
    // `--all-targets` does not include targets with `test = false`.
    check("clippy of the comparison", &["--test", PREDECESSORS.name])
}

/// Checks the published crates with each feature alone, and without features. The other parts use
/// the default features or all features.
fn features(run: &mut Run) -> Result<(), Failure> {
    let mut each = vec!["hack", "clippy", "--workspace", "--ignore-private", "--each-feature"];
    each.extend(["--exclude-features", "default", "--exclude-all-features"]);
    each.extend(["--", "-D", "warnings"]);
    run.steps.cargo("features", &each)
}

fn build_and_test(run: &mut Run) -> Result<(), Failure> {
    // Not `cargo build`: it would replace this running program, which Windows refuses.
    run.steps.cargo("build", &["test", "--workspace", "--no-run"])?;
    let mut missing = Missing::find();
    run.steps.step("engines", || {
        missing.peers.extend(peers::do_not_start()?);
        Ok(())
    })?;
    run.left_out.extend(missing.reports());
    run.steps.step("tests", || tests(&missing, &[], &mut run.summary))?;
    if run.summary.left_out > 0 {
        run.left_out.push(format!("{} tests in total, skipped by name", run.summary.left_out));
    }
    Ok(())
}

/// Missing requirements of tests.
#[derive(Debug)]
struct Missing {
    peers: Vec<&'static Peer>,
    abilities: Vec<&'static Ability>,
}

impl Missing {
    fn find() -> Self {
        Self { peers: peers::missing(), abilities: abilities::missing() }
    }

    /// Returns the texts in test names that mark missing requirements.
    fn in_test_names(&self) -> impl Iterator<Item = &'static str> {
        let abilities = self.abilities.iter().map(|ability| ability.in_test_names);
        self.peers.iter().map(|peer| peer.in_test_names).chain(abilities)
    }

    /// Returns a line for each missing requirement.
    fn reports(&self) -> Vec<String> {
        let abilities = self.abilities.iter().map(|ability| abilities::left_out(ability));
        abilities.chain(self.peers.iter().map(|peer| peers::left_out(peer))).collect()
    }
}

/// Compares longshore with the earlier clients, which need Python.
fn compare(run: &mut Run) -> Result<(), Failure> {
    let missing = Missing::find();
    let targets = ["--test", PREDECESSORS.name];
    run.steps.step(PREDECESSORS.name, || tests(&missing, &targets, &mut run.summary))
}

/// Builds the wheel of the Python package, and checks and tests it.
fn test_package(run: &mut Run) -> Result<(), Failure> {
    run.steps.step("wheel", package::install)?;
    run.steps.step("types of the Python package", package::check)?;
    let originals = PREDECESSORS.check();
    if let Err(failure) = &originals {
        run.left_out.push(format!("comparisons of the Python package: {failure}"));
    }
    let Run { steps, summary, .. } = run;
    steps.step("tests of the Python package", || package::test(originals.is_ok(), summary))
}

/// Runs the tests of these targets, except tests with missing requirements. Without targets, runs
/// all tests and doc tests.
fn tests(missing: &Missing, targets: &[&str], summary: &mut Summary) -> Result<(), Failure> {
    let here = PEERS.iter().filter(|peer| !missing.peers.contains(peer));
    let here: Vec<&str> = here.map(|peer| peer.program).collect();
    let mut command = cargo();
    command
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(targets)
        .arg("--")
        .args(missing.in_test_names().flat_map(|part| ["--skip", part]))
        .env("LONGSHORE_PEERS", here.join(" "));
    let succeeded = follow(&mut command, |line| summary.read(line))?;
    verdict(summary, succeeded)
}

fn verdict(summary: &Summary, succeeded: bool) -> Result<(), Failure> {
    match summary {
        Summary { failed: 1.., .. } => Err(Failure::new(format!("{summary}"))),
        _ if !succeeded => Err(Failure::new("a test binary crashed or was not built")),
        Summary { passed: 0, .. } => Err(Failure::new("no test ran")),
        _ => Ok(()),
    }
}

fn documentation() -> Result<(), Failure> {
    let mut command = cargo();
    command.args(["doc", "--workspace", "--no-deps", "--all-features"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    succeed(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_with_missing_requirements_are_skipped_by_name() {
        let all_here = Missing { peers: Vec::new(), abilities: Vec::new() };
        assert_eq!(all_here.in_test_names().count(), 0);
        let missing = Missing { peers: vec![&PEERS[0]], ..all_here };
        let parts: Vec<_> = missing.in_test_names().collect();
        assert_eq!(parts, [PEERS[0].in_test_names]);
    }

    #[test]
    fn named_parts_keep_their_order() {
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let parts = chosen(&names).map_err(|e| e.to_string())?;
            Ok::<_, String>(parts.iter().map(|part| part.name).collect::<Vec<_>>())
        };
        assert_eq!(found(&["docs", "format"]).unwrap(), ["docs", "format"]);
        let unknown = found(&["format", "lint"]).unwrap_err();
        assert!(unknown.starts_with("there is no part lint; the parts are format, "), "{unknown}");
    }

    #[test]
    fn a_run_succeeds_only_if_tests_passed_and_nothing_failed() {
        for (passed, failed, succeeded, good) in
            [(3, 0, true, true), (3, 1, false, false), (3, 0, false, false), (0, 0, true, false)]
        {
            let summary = Summary { passed, failed, ..Summary::default() };
            assert_eq!(verdict(&summary, succeeded).is_ok(), good, "{summary}");
        }
    }
}
