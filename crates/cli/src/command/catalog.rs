use clap::Args;
use longshore::{ListOptions, RegistryName, RepositoryName, Result};

use crate::context::Context;
use crate::selection::Selection;

/// The arguments of `longshore catalog`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore catalog localhost:5000
  longshore catalog localhost:5000 --namespace team --filter '-tools$'
  longshore catalog localhost:5000 --start team/app --limit 10

Many public registries do not list their repositories.")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
    /// Start after this repository.
    #[arg(long, visible_alias = "start", value_name = "NAME")]
    after: Option<RepositoryName>,
    /// Print only repositories in this namespace, at any depth.
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<RepositoryName>,
    #[command(flatten)]
    selection: Selection,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut options = ListOptions::default();
    options.after = arguments.after;
    options.page_size = arguments.selection.page_size;
    let names = context.client()?.catalog_with(&arguments.registry, options);
    let names = match arguments.namespace {
        Some(namespace) => names.filter(move |name| name.is_below(namespace.as_str())),
        None => names,
    };
    context.output().list("repositories", arguments.selection.of(names)).await
}
