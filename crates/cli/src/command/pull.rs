use clap::Args;
use longshore::{Location, ParseError, Place, Repository, Result};

use crate::context::Context;
use crate::defaults;
use crate::transfer::{self, Options};

/// The arguments of `longshore pull`.
#[derive(Debug, Args)]
#[command(override_usage = "longshore pull [OPTIONS] <REFERENCE>... [TARGET]")]
#[command(after_help = "\
Examples:
  longshore pull nginx:1.27                       into the folder nginx, an OCI layout
  longshore pull nginx:1.27 oci:images:nginx-1.27
  longshore pull nginx:1.27 docker-archive:nginx.tar --platform local
  longshore pull nginx:1.27 alpine:3 docker-archive:both.tar --platform local

The target comes last [default: oci:NAME, a folder named after each repository]. The result names \
the location of each image. A docker-archive can contain several images, each under its own \
name.")]
pub(crate) struct Arguments {
    /// The images or artifacts to pull, then the target.
    #[arg(required = true, value_name = "REFERENCE", value_parser = defaults::location)]
    locations: Vec<Location>,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// Returns true if the same command continues after an interruption. An archive is written from
    /// the start.
    pub(crate) fn can_continue(&self) -> bool {
        self.locations.last().is_some_and(|target| !target.place().is_archive())
    }
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let (sources, target) = ends(arguments.locations)?;
    let targets: Vec<Location> = match target {
        Some(target) => vec![target; sources.len()],
        None => sources.iter().filter_map(|s| s.place().repository()).map(beside).collect(),
    };
    let mut shown: Vec<String> = targets.iter().map(ToString::to_string).collect();
    shown.dedup();
    let pairs = sources.into_iter().zip(targets);
    let options = &arguments.options;
    let transfers: Vec<_> = pairs.map(|(s, t)| options.transfer(s, t)).collect();
    transfer::run(context, options, &transfers, shown.join(", ")).await
}

/// Splits the locations into the images to pull and the target, if one was given.
fn ends(mut locations: Vec<Location>) -> Result<(Vec<Location>, Option<Location>), ParseError> {
    let is_at_registry = |location: &Location| location.place().repository().is_some();
    let target = locations.pop_if(|last| !is_at_registry(last));
    let bad = |location: &Location, reason: &'static str| {
        Err(ParseError::new("location", &location.to_string(), reason))
    };
    if let Some(other) = locations.iter().find(|location| !is_at_registry(location)) {
        return bad(other, "expected a reference at a registry; the target comes last");
    }
    match &target {
        Some(target) if locations.is_empty() => {
            bad(target, "expected a reference before the target")
        }
        Some(target) if locations.len() > 1 && !target.takes_many() => bad(
            target,
            "expected docker-archive:FILE, which keeps the names of several images, or no target",
        ),
        _ => Ok((locations, target)),
    }
}

/// Returns the default target: a layout in a folder named after the repository.
fn beside(repository: &Repository) -> Location {
    Location::new(Place::Layout(repository.name().image().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<(usize, Option<String>), String> {
        let locations = words.split(' ').map(|word| word.parse().unwrap()).collect();
        let (sources, target) = ends(locations).map_err(|e| e.to_string())?;
        Ok((sources.len(), target.map(|target| target.to_string())))
    }

    #[test]
    fn the_target_comes_last() {
        assert_eq!(parsed("nginx"), Ok((1, None)));
        assert_eq!(parsed("nginx oci:x"), Ok((1, Some("oci:x".to_owned()))));
        assert_eq!(parsed("nginx alpine"), Ok((2, None)));
        let archive = "docker-archive:x.tar".to_owned();
        assert_eq!(parsed("nginx alpine docker-archive:x.tar"), Ok((2, Some(archive))));
        for (words, word) in [
            ("oci:x", "before the target"),
            ("oci:x nginx", "comes last"),
            ("nginx alpine oci:x", "docker-archive"),
            ("nginx alpine docker-archive:x.tar:a:v1", "docker-archive"),
        ] {
            let told = parsed(words).unwrap_err();
            assert!(told.contains(word), "{words}: {told}");
        }
    }
}
