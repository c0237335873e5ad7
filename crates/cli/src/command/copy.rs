use clap::Args;
use longshore::Result;

use crate::context::Context;
use crate::location::Location;
use crate::transfer::{Options, Transfer};

/// The arguments of `longshore copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore copy nginx:1.27 localhost:5000/nginx:1.27
  longshore copy ghcr.io/a/b oci:backup --all-tags
  longshore copy nginx:1.27 docker-archive:nginx.tar:nginx:1.27 --platform linux/amd64
  longshore copy a.example/x:v1 b.example/x --referrers

The digest stays what it was, indexes with all their platforms included. What the target holds is not \
sent; what its registry holds in the source's repository is mounted. A copy that was interrupted, run \
again, sends what is missing; a blob that was on its way is sent from its start. \
With --all-tags, a tag that fails is told on stderr and the others are copied; the exit code is 1 then, or \
that of the failure if nothing could be copied.")]
pub(crate) struct Arguments {
    /// What to copy.
    source: Location,
    /// Where to. Without a tag, it gets the source's.
    target: Location,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    Transfer::new(arguments.source, arguments.target, arguments.options).run(context).await
}
