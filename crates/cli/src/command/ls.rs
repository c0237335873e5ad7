use clap::Args;
use futures_util::StreamExt as _;
use longshore::{Result, Tag};

use crate::context::Context;
use crate::location::Location;

/// The arguments of `longshore ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ls nginx
  longshore ls oci:dir
  longshore ls ghcr.io/a/b --after v1.9 --limit 10")]
pub(crate) struct Arguments {
    /// The repository, layout or archive.
    location: Location,
    /// Begin after this tag.
    #[arg(long, value_name = "TAG")]
    after: Option<Tag>,
    /// Print at most this many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let source = context.open(&arguments.location).await?;
    let tags = source.tags(arguments.after.as_ref()).items();
    let tags = tags.take(arguments.limit.unwrap_or(usize::MAX));
    context.output().list("tags", tags).await
}
