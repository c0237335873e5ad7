//! Runs the command of a parsed command line.

use longshore::Result;

use crate::arguments::Command;
use crate::command;
use crate::context::Context;

/// Runs a command.
pub(crate) async fn run(context: &Context, what: Command) -> Result<()> {
    match what {
        Command::Catalog(arguments) => command::catalog::run(context, arguments).await,
        Command::Namespaces(arguments) => command::namespaces::run(context, arguments).await,
        Command::Ls(arguments) => command::ls::run(context, arguments).await,
        Command::Digest(arguments) => command::digest::run(context, arguments).await,
        Command::Manifest(what) => command::manifest::run(context, what).await,
        Command::Config(arguments) => command::config::run(context, arguments).await,
        Command::Inspect(arguments) => command::inspect::run(context, arguments).await,
        Command::Platforms(arguments) => command::platforms::run(context, arguments).await,
        Command::History(arguments) => command::history::run(context, arguments).await,
        Command::Layer(arguments) => command::layer::run(context, arguments).await,
        Command::Append(arguments) => command::append::run(context, arguments).await,
        Command::Artifact(what) => command::artifact::run(context, what).await,
        Command::Blob(what) => command::blob::run(context, what).await,
        Command::Tag(arguments) => command::tag::run(context, arguments).await,
        Command::Untag(arguments) => command::untag::run(context, arguments).await,
        Command::Rm(arguments) => command::rm::run(context, arguments).await,
        Command::Copy(arguments) => command::copy::run(context, arguments).await,
        Command::Pull(arguments) => command::pull::run(context, arguments).await,
        Command::Push(arguments) => command::push::run(context, arguments).await,
        Command::Apply(arguments) => command::apply::run(context, arguments).await,
        Command::Referrers(arguments) => command::referrers::run(context, arguments).await,
        Command::Login(arguments) => command::login::run(context, arguments).await,
        Command::Logout(arguments) => command::logout::run(context, arguments).await,
        Command::Auth(what) => command::auth::run(context, what).await,
        #[cfg(feature = "legacy")]
        Command::V1(what) => command::v1::run(context, what).await,
        Command::Ping(arguments) => command::ping::run(context, arguments).await,
        Command::Request(arguments) => command::request::run(context, arguments).await,
        Command::Serve(arguments) => command::serve::run(context, arguments).await,
        Command::Demo(arguments) => command::demo::run(context, &arguments).await,
        Command::Completion(arguments) => command::completion::run(&arguments),
        Command::Man(arguments) => command::man::run(&arguments),
    }
}
