//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`, each for a limited time.
//!
//! Uses libFuzzer if a nightly Rust with cargo-fuzz is installed. Otherwise uses the targets' own
//! driver, which runs everywhere but does not measure coverage.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::step::{Steps, cargo, succeed, works};

/// Runs the named target, or all targets. A failure of one target does not stop the others.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments)?;
    let mut steps = Steps::default();
    steps.step("build", || succeed(driver("build").arg("--quiet")))?;
    let targets = match &options.target {
        Some(target) => vec![target.clone()],
        None => targets()?,
    };
    let libfuzzer = works("rustup", &["run", "nightly", "cargo", "fuzz", "--version"]);
    if libfuzzer {
        succeed(driver("run").args(["--quiet", "--", "seeds", "fuzz/corpus"]))?;
    } else {
        println!("no nightly Rust with cargo-fuzz is installed: using the built-in driver");
    }
    let start = if libfuzzer { by_libfuzzer } else { by_driver };
    let outcomes = targets
        .iter()
        .map(|target| steps.step(target, || succeed(&mut start(target, &options))))
        .filter_map(Result::err);
    let failures: Vec<Failure> = outcomes.collect();
    steps.print_times();
    Failure::unless_empty(&failures)
}

#[derive(Debug, PartialEq, Eq)]
struct Options {
    target: Option<String>,
    /// Run time of each target.
    seconds: u64,
    seed: u32,
}

impl Options {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut options = Self { target: None, seconds: SECONDS, seed: random() };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let value = words.next().and_then(|value| value.parse::<u32>().ok());
                value.ok_or_else(|| Failure::new(format!("{word} needs a number")))
            };
            match word.as_str() {
                "--seconds" => options.seconds = number()?.into(),
                "--seed" => options.seed = number()?,
                target if options.target.is_none() && !target.starts_with('-') => {
                    options.target = Some(target.to_owned());
                }
                _ => return Err(Failure::new(format!("{word}: {USAGE}"))),
            }
        }
        Ok(options)
    }
}

fn targets() -> Result<Vec<String>, Failure> {
    let mut command = driver("run");
    command.args(["--quiet", "--", "targets"]).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().map_err(|e| Failure::new(e.to_string()))?;
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.lines().map(str::to_owned).collect())
}

fn by_libfuzzer(target: &str, options: &Options) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz", "run", target, "--"])
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-seed={}", options.seed))
        // An input that takes longer is an error.
        .arg("-timeout=10");
    command
}

fn by_driver(target: &str, options: &Options) -> Command {
    let mut command = driver("run");
    let (seconds, seed) = (options.seconds.to_string(), options.seed.to_string());
    command.args(["--quiet", "--", target, &seconds, &seed]);
    command
}

/// Returns a cargo command for the targets' driver: without libFuzzer, in a separate target folder.
fn driver(subcommand: &str) -> Command {
    let mut command = cargo();
    command
        .args([subcommand, "--manifest-path=fuzz/Cargo.toml", "--target-dir=target/fuzz"])
        .args(["--no-default-features", "--bin=longshore-fuzz"])
        .env("RUSTFLAGS", "--cfg fuzzing");
    command
}

fn random() -> u32 {
    let bytes = RandomState::new().build_hasher().finish().to_le_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// Run time of each target by default: one minute.
const SECONDS: u64 = 60;
const USAGE: &str = "expected [TARGET] [--seconds N] [--seed N]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_set_the_target_the_time_and_the_seed() {
        let parse = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Options::parse(&words)
        };
        let all = parse("--seed 7").unwrap();
        assert_eq!(all, Options { target: None, seconds: 60, seed: 7 });
        let one = parse("link --seed 7 --seconds 5").unwrap();
        assert_eq!(one, Options { target: Some("link".to_owned()), seconds: 5, seed: 7 });
        for bad in ["--seconds", "--seconds x", "--seed -1", "a b", "--quick"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
