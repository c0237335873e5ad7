use clap::Args;
use longshore::{Error, ErrorKind, RegistryName, Result};

use crate::context::Context;
use crate::output::say;

/// The arguments of `longshore logout`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore logout ghcr.io")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    let mut config = context.config().clone();
    if config.remove(&arguments.registry)? {
        say(format_args!("removed the credentials for {}", arguments.registry));
        return Ok(());
    }
    Err(Error::new(ErrorKind::NotFound)
        .at(&arguments.registry)
        .detail(format!("no credentials in {}", config.path().display())))
}
