use std::fmt;

use clap::Args;
use futures_util::TryStreamExt as _;
use longshore::{
    ErrorKind, ListOptions, RegistryName, Repository, RepositoryName, Result, Source as _,
};
use serde::Serialize;

use crate::context::Context;
use crate::output::Report;
use crate::progress::in_parallel;
use crate::selection::Selection;
use crate::table::{self, Column};

/// The arguments of `longshore catalog`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore catalog localhost:5000
  longshore catalog localhost:5000 --namespace team --filter '-tools$'
  longshore catalog localhost:5000 --start team/app --limit 10
  longshore catalog localhost:5000 --long

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
    /// Show the number of tags of each repository.
    #[arg(long, short)]
    long: bool,
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
    let names = arguments.selection.of(names);
    if !arguments.long {
        return context.output().list("repositories", names).await;
    }
    let names = names.try_collect().await?;
    context.output().report(&Answer::read(context, &arguments.registry, names).await?)
}

/// The repositories with their numbers of tags.
#[derive(Serialize)]
struct Answer {
    repositories: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    tags: usize,
}

impl Answer {
    async fn read(
        context: &Context,
        registry: &RegistryName,
        names: Vec<RepositoryName>,
    ) -> Result<Self> {
        let client = context.client()?;
        let rows = names.into_iter().map(async |name| {
            let repository = client.repository(&Repository::new(registry.clone(), name.clone()));
            let tags = match repository.tags(None).all().await {
                Ok(tags) => tags.len(),
                // Some registries keep the name of a repository whose last image was deleted.
                Err(e) if e.kind() == ErrorKind::NotFound => 0,
                Err(e) => return Err(e),
            };
            Ok(Row { name: name.to_string(), tags })
        });
        let rows = in_parallel(context.style(), "repositories", rows);
        let repositories = rows.try_collect().await?;
        Ok(Self { repositories })
    }
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let rows = self.repositories.iter().map(|row| vec![row.name.clone(), row.tags.to_string()]);
        let columns = [Column::left("repository"), Column::right("tags")];
        table::write(to, &columns, &rows.collect::<Vec<_>>())
    }
}
