use std::collections::BTreeMap;
use std::fmt;

use clap::Args;
use longshore::{RegistryName, RepositoryName, Result};
use serde::Serialize;

use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore namespaces`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore namespaces localhost:5000
  longshore namespaces localhost:5000 --library --json

A namespace is the part before the last slash of a repository's name. --json adds the \
repositories of each namespace. The command reads the whole catalog, which many public registries \
do not offer.")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
    /// List repositories with one-part names under the namespace `library`, as Docker does.
    #[arg(long)]
    library: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let listed = context.client()?.namespaces(&arguments.registry).await?;
    let listed = if arguments.library { listed.bare_as("library") } else { listed };
    let repositories = |name: &&str| listed.repositories(name).into_iter().cloned().collect();
    let namespaces = listed.names();
    let namespaces = namespaces.iter().map(|n| ((*n).to_owned(), repositories(n))).collect();
    context.output().report(&Answer { namespaces })
}

/// The repositories of each namespace.
#[derive(Serialize)]
struct Answer {
    namespaces: BTreeMap<String, Vec<RepositoryName>>,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.namespaces.keys().try_for_each(|name| writeln!(to, "{name}"))
    }
}
