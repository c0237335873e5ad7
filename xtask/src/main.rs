//! The project's tasks: `cargo xtask help` lists them.
//!
//! Owns the steps of continuous integration, and the checks that no other tool performs. Depends on
//! no crate of longshore, so that xtask builds in seconds and works when longshore does not build.

#![allow(clippy::print_stderr, clippy::print_stdout, reason = "tasks print to the terminal")]

mod abilities;
mod bench;
mod book;
mod dist;
mod failure;
mod fuzz;
mod layers;
mod licences;
mod matrix;
mod metadata;
mod package;
mod peers;
mod python;
mod setup;
mod step;
mod summary;
mod test;
mod tools;

use std::process::ExitCode;

use failure::Failure;
use step::Steps;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = arguments.first().map_or("help", String::as_str);
    match run(task, arguments.get(1..).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {task}: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str, arguments: &[String]) -> Result<(), Failure> {
    // The tasks use paths relative to the workspace's root.
    std::env::set_current_dir(metadata::root()).map_err(|e| Failure::new(e.to_string()))?;
    match task {
        "setup" => setup::run(),
        "test" => test::run(arguments),
        "fuzz" => fuzz::run(arguments),
        "bench" => bench::run(arguments),
        "matrix" => matrix::run(),
        "wheel" => package::wheel(arguments),
        "book" => book::run(),
        "dist" => dist::run(),
        "fix" => fix(),
        "layers" => layers::run(),
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(Failure::new("there is no such task; `cargo xtask help` lists the tasks")),
    }
}

/// Formats the code and applies clippy's suggestions, even to uncommitted files.
fn fix() -> Result<(), Failure> {
    let mut steps = Steps::default();
    format(&mut steps)?;
    let clippy = "clippy --workspace --all-targets --fix --allow-dirty --allow-staged";
    steps.cargo("clippy", &clippy.split(' ').collect::<Vec<_>>())?;
    format(&mut steps)
}

fn format(steps: &mut Steps) -> Result<(), Failure> {
    steps.cargo("fmt", &["fmt", "--all"])?;
    steps.cargo("fmt of the fuzz targets", &["fmt", "--manifest-path", "fuzz/Cargo.toml"])
}

const HELP: &str = "\
cargo xtask TASK

  setup          install what tests need: other programs (Debian, as root), Python packages, rustfmt, clippy
  test [PART]... run `setup` and all checks and tests, or only the named parts:
                 format, layers, licences, clippy, features, tests, predecessors, python, book, docs
  fuzz [TARGET] [--seconds N] [--seed N]
                 run all fuzz targets, or one, for N seconds each [default: 60]
  bench [N] [--only TEXT] [--svg FILE] [--before PROGRAM] [--longshore PROGRAM] [--large]
        [--scale FACTOR] [--registry longshore|docker-registry]
                 compare longshore with other programs (skopeo, oci-client, and crane, regctl and
                 oras if installed) in N rounds [default: 5]; only the rows whose name contains
                 TEXT; draw a plot to FILE; also measure another build; build nothing, and measure
                 a given build; also rows that need 40 GiB of disk space; smaller content
  bench python [N] [--only TEXT] [--scale FACTOR] [--longshore PROGRAM] [--wheel FILE]
                 compare the Python package with the earlier clients, in Python, and the program
  matrix         run the fault matrix of the client, and print its table
  wheel [ARGUMENT]...
                 build a wheel of the Python package for users, with ARGUMENTs for maturin
  book           check the chapters in docs/src, and build the book if mdBook is installed
  dist           build a release: the program, its archive, a Debian package and checksums
  fix            format, and apply clippy's suggestions
  layers         check the imports in the sources against the tables in docs/src/design.md
  help           print this text
";
