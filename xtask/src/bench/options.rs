//! The options of `cargo xtask bench`.

use std::path::PathBuf;

use super::Result;
use super::server::Kind;
use crate::failure::Failure;

/// What to measure, and with which programs.
pub(super) struct Options {
    pub(super) rounds: usize,
    /// The build of longshore to measure. Without it, the bench builds longshore.
    pub(super) longshore: Option<PathBuf>,
    /// The build of the Python package to measure.
    pub(super) wheel: Option<PathBuf>,
    /// Another build of longshore, measured in the same run.
    pub(super) before: Option<PathBuf>,
    /// The rows to measure: those whose name contains this text.
    pub(super) only: String,
    /// Also measure the rows that need up to 40 GiB of disk space.
    pub(super) large: bool,
    /// Factor for the sizes and numbers of all content, for trying the bench.
    pub(super) scale: f64,
    /// The kind of registry that programs copy from and to.
    pub(super) registry: Kind,
    /// The file for the plot.
    pub(super) svg: Option<PathBuf>,
}

impl Options {
    pub(super) fn parse(arguments: &[String]) -> Result<Self> {
        let mut options = Self {
            rounds: ROUNDS,
            longshore: None,
            wheel: None,
            before: None,
            only: String::new(),
            large: false,
            scale: 1.0,
            registry: Kind::Longshore,
            svg: None,
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                words.next().ok_or_else(|| Failure::new(format!("{word} needs a value; {USAGE}")))
            };
            match word.as_str() {
                "--longshore" => options.longshore = Some(existing(value()?)?),
                "--wheel" => options.wheel = Some(existing(value()?)?),
                "--before" => options.before = Some(existing(value()?)?),
                "--only" => options.only.clone_from(value()?),
                "--large" => options.large = true,
                "--scale" => options.scale = scale(value()?)?,
                "--registry" => options.registry = Kind::parse(value()?)?,
                "--svg" => options.svg = Some(PathBuf::from(value()?)),
                rounds => options.rounds = count(rounds)?,
            }
        }
        Ok(options)
    }
}

/// Returns the absolute path of a program or another file.
fn existing(path: &str) -> Result<PathBuf> {
    let path = PathBuf::from(path);
    path.canonicalize().map_err(|e| Failure::io(&path, &e))
}

fn scale(text: &str) -> Result<f64> {
    text.parse().ok().filter(|scale| *scale > 0.0 && *scale <= 1.0).ok_or_else(|| {
        Failure::new(format!("not a scale: {text}; expected a number above 0 and at most 1"))
    })
}

fn count(text: &str) -> Result<usize> {
    text.parse().ok().filter(|rounds| *rounds > 0).ok_or_else(|| {
        Failure::new(format!("not an option or a number of rounds: {text}; {USAGE}"))
    })
}

/// Five rounds, after one round to warm up.
const ROUNDS: usize = 5;
const USAGE: &str = "usage: cargo xtask bench [ROUNDS] [--longshore PROGRAM] [--before PROGRAM] \
    [--only TEXT] [--large] [--scale FACTOR] [--registry longshore|docker-registry] [--svg FILE]";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_and_rounds_come_in_any_order() {
        let options = parse("--only pull 3 --scale 0.5 --large --svg plot.svg").unwrap();
        assert_eq!((options.rounds, &*options.only, options.large), (3, "pull", true));
        assert_eq!((options.scale, options.svg), (0.5, Some(PathBuf::from("plot.svg"))));
    }

    #[test]
    fn wrong_options_are_refused() {
        for line in ["0", "--no-such-option", "--scale 0", "--scale 2", "--only", "--registry zot"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
