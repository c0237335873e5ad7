use clap::Args;
use longshore::{Error, ErrorKind, RegistryName, Result};

use crate::context::Context;

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
    let mut config = context.config()?;
    if config.remove(&arguments.registry)? {
        let registry = &arguments.registry;
        let change = serde_json::json!({ "registry": registry.as_str() });
        return context
            .output()
            .changed(format_args!("removed the credentials for {registry}"), &change);
    }
    Err(Error::new(ErrorKind::NotFound)
        .at(&arguments.registry)
        .detail(format!("no credentials in {}", config.path().display())))
}
