use clap::Args;
use longshore::{Location, Result};

use crate::context::Context;
use crate::defaults;
use crate::transfer::{self, Options};

/// The arguments of `longshore copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore copy nginx:1.27 localhost:5000/nginx:1.27
  longshore copy ghcr.io/a/b oci:backup --all-tags
  longshore copy nginx:1.27 docker-archive:nginx.tar:nginx:1.27 --platform linux/amd64
  longshore copy a.example/x:v1 b.example/x --referrers

Digests are kept, and indexes with all their platforms. Blobs that the target has are not sent; \
blobs in the source's repository at the same registry are mounted. After an interruption, run \
the command again to copy the rest; an unfinished blob starts again. With --all-tags, a tag that \
fails is reported on stderr and the others are copied; the exit code is then 1, or that of the \
failure if nothing could be copied.")]
pub(crate) struct Arguments {
    /// The source.
    #[arg(value_parser = defaults::location)]
    source: Location,
    /// The target. Without a tag, it gets the source's tag.
    #[arg(value_parser = defaults::location)]
    target: Location,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { source, target, options } = arguments;
    let shown = target.to_string();
    transfer::run(context, &[options.transfer(source, target)], shown).await
}
