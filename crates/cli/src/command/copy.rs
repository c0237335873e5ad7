use clap::Args;
use longshore::{Location, ParseError, Result, Transfer};

use crate::context::Context;
use crate::defaults;
use crate::transfer::{self, Options};

/// The arguments of `longshore copy`.
#[derive(Debug, Args)]
#[command(override_usage = "\
longshore copy [OPTIONS] <SOURCE>... <TARGET>
       longshore copy [OPTIONS] <SOURCE>... --to <TARGET> [--to <TARGET>]...")]
#[command(after_help = "\
Examples:
  longshore copy nginx:1.27 localhost:5000/nginx:1.27
  longshore copy ghcr.io/a/b oci:backup --all-tags
  longshore copy nginx:1.27 docker-archive:nginx.tar:nginx:1.27 --platform linux/amd64
  longshore copy nginx:1.27 localhost:5000/nginx --platform linux/amd64,linux/arm64
  longshore copy a.example/x:v1 b.example/x --referrers application/spdx+json
  longshore copy a.example/x:v1 a.example/x:v2 b.example/x
  longshore copy a.example/x:v1 --to b.example/x --to c.example/x --to oci:backup

Digests stay the same, except in a docker-archive, which keeps no manifests, and with --platform. \
One platform copies its image alone. Several platforms copy an index of their images, with their \
attestations. The result names the index that they were selected from. Signatures of this index do \
not apply to the copy and are left behind.

Signatures, SBOMs and attestations are copied with the manifests that they refer to, before the tag \
is set. The result lists what was found but not copied. One of cosign's tags stays unchanged if the \
target's signatures would be lost. A docker-archive holds only images.

Blobs that the target already has are not sent. \
Between repositories of one registry, blobs are mounted if the registry supports this. After an \
interruption, run the command again: complete blobs are skipped, and a blob of at least 1 MiB \
continues where it stopped, in a layout or if the registry kept the upload. With --all-tags, each \
tag that fails is reported on stderr, and the other tags are copied. The exit code is then 1. If \
no tag was copied and all failures have the same exit code, the command exits with this code. The \
same applies to several sources, and to several targets. Several targets are written at the same \
time, from one read of the source, at the pace of the slowest. A target that takes no data for 15 s \
continues with a read of its own. The command refuses to write one tag or name twice.")]
pub(crate) struct Arguments {
    /// The images to copy, then the target, unless --to is given. If the target has no tag, the
    /// source's tag is used.
    #[arg(required = true, value_name = "LOCATION", value_parser = defaults::location)]
    locations: Vec<Location>,
    /// A location to copy to; repeat the option for several.
    #[arg(long, value_name = "TARGET", value_parser = defaults::location)]
    to: Vec<Location>,
    #[command(flatten)]
    options: Options,
}

impl Arguments {
    /// Returns true if the same command continues after an interruption. An archive is written from
    /// the start.
    pub(crate) fn can_continue(&self) -> bool {
        let mut targets =
            self.to.iter().chain(self.locations.last().filter(|_| self.to.is_empty()));
        targets.any(|target| !target.place().is_archive())
    }
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { locations, to, options } = arguments;
    let (sources, targets) = ends(locations, to, options.all_tags())?;
    let to_each =
        |source: &Location| targets.iter().map(|t| (source.clone(), t.clone())).collect::<Vec<_>>();
    let transfers: Vec<Transfer> = sources
        .iter()
        .flat_map(to_each)
        .map(|(source, target)| options.transfer(source, target))
        .collect();
    let shown: Vec<String> = targets.iter().map(ToString::to_string).collect();
    transfer::run(context, &options, &transfers, shown.join(", ")).await
}

/// Splits the locations into sources and targets. Without `--to`, the last location is the target.
fn ends(
    mut locations: Vec<Location>,
    mut to: Vec<Location>,
    all_tags: bool,
) -> Result<(Vec<Location>, Vec<Location>), ParseError> {
    let with_to = !to.is_empty();
    let bad = |location: &Location, reason: &'static str| {
        Err(ParseError::new("location", &location.to_string(), reason))
    };
    if to.is_empty() {
        to.extend(locations.pop());
        if let ([], [source]) = (&locations[..], &to[..]) {
            return bad(source, "expected a target after the source, or --to TARGET");
        }
    }
    let has_name = |location: &&Location| location.name().is_some() || location.digest().is_some();
    // Whoever adds --to to a command forgets easily that its last location was the target.
    let is_ambiguous = with_to && !all_tags && locations.len() > 1;
    if let Some(source) = locations.iter().find(|source| is_ambiguous && !has_name(source)) {
        return bad(source, "expected a tag, because with --to, every other location is a source");
    }
    match to.iter().find(has_name) {
        Some(target) if locations.len() > 1 => {
            bad(target, "expected a target without a name, because each source keeps its own tag")
        }
        _ => Ok((locations, to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str, to: &[&str]) -> Result<(usize, usize), String> {
        let parse = |word: &str| word.parse().unwrap();
        let to = to.iter().map(|word| parse(word)).collect();
        let (sources, targets) =
            ends(words.split(' ').map(parse).collect(), to, false).map_err(|e| e.to_string())?;
        Ok((sources.len(), targets.len()))
    }

    #[test]
    fn the_target_comes_last_unless_targets_are_given_by_option() {
        assert_eq!(parsed("a:v1 b:v2", &[]), Ok((1, 1)));
        assert_eq!(parsed("a:v1 b:v1 oci:x", &[]), Ok((2, 1)));
        assert_eq!(parsed("a:v1", &["oci:x"]), Ok((1, 1)));
        assert_eq!(parsed("a:v1", &["oci:x", "b:v2"]), Ok((1, 2)));
        assert_eq!(parsed("a:v1 b:v1", &["oci:x", "r.example/y"]), Ok((2, 2)));
        for (words, to, word) in [
            ("a:v1", &[][..], "expected a target"),
            ("a:v1 b:v1 oci:x:v2", &[], "without a name"),
            ("a:v1 b:v1", &["c:v1"], "without a name"),
            ("a:v1 b", &["c"], "every other location is a source"),
        ] {
            let told = parsed(words, to).unwrap_err();
            assert!(told.contains(word), "{words}: {told}");
        }
    }
}
