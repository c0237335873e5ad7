use clap::Args;
use longshore::{Result, Tag};

use crate::context::Context;
use crate::location::Location;
use crate::output::say;

/// The arguments of `longshore tag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore tag ghcr.io/a/b:v1.2.3 v1.2 v1 latest")]
pub(crate) struct Arguments {
    /// The image or artifact.
    location: Location,
    /// The tags to give it.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<Tag>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let named = context.named(&arguments.location).await?;
    let manifest = named.source.manifest(&named.selector).await?;
    let target = context.target(&arguments.location).await?;
    for tag in &arguments.tags {
        target.store.push_manifest(&manifest, Some(tag)).await?;
        say(format_args!("{tag} points at {}", manifest.digest()));
    }
    target.finish().await
}
