//! Explains authentication, and gets tokens for other programs.

mod explain;
mod token;

use clap::Subcommand;
use longshore::{Location, Repository, Result, Scope};

use crate::context::Context;
use crate::defaults;

/// The subcommands of `longshore auth`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Explain how longshore authenticates for a repository, step by step.
    Explain(explain::Arguments),
    /// Print a token for a repository.
    Token(token::Arguments),
}

pub(crate) async fn run(context: &Context, what: Command) -> Result<()> {
    match what {
        Command::Explain(arguments) => explain::run(context, arguments).await,
        Command::Token(arguments) => token::run(context, arguments).await,
    }
}

/// The access to request.
#[derive(Debug, clap::Args)]
struct AccessArguments {
    /// The repository; a tag or digest is ignored.
    #[arg(value_name = "REF", value_parser = defaults::location)]
    location: Location,
    /// Action to request: pull, push, delete, or * for all.
    #[arg(long, value_name = "ACTION", value_delimiter = ',', default_value = "pull")]
    action: Vec<String>,
    /// Scope to request instead of actions, such as repository:a/b:pull or registry:catalog:*.
    #[arg(long, value_name = "SCOPE", conflicts_with = "action")]
    scope: Vec<Scope>,
}

impl AccessArguments {
    fn repository(&self) -> Result<Repository> {
        self.location.place().repository().cloned().ok_or_else(|| {
            longshore::Error::new(longshore::ErrorKind::Invalid)
                .at(&self.location)
                .detail("expected a repository at a registry")
        })
    }

    fn scopes(&self, repository: &Repository) -> Vec<Scope> {
        if !self.scope.is_empty() {
            return self.scope.clone();
        }
        let actions: Vec<_> = self.action.iter().map(String::as_str).collect();
        vec![Scope::repository(repository.name(), &actions)]
    }
}
