use clap::Args;
use futures_util::StreamExt as _;
use longshore::{RegistryName, Result};

use crate::context::Context;

/// The arguments of `longshore catalog`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore catalog localhost:5000

Many public registries do not list their repositories.")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
    /// Print at most this many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let names = context.client()?.catalog(&arguments.registry).items();
    let names = names.take(arguments.limit.unwrap_or(usize::MAX));
    context.output().list("repositories", names).await
}
