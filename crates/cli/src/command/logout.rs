use clap::Args;
use longshore::{CredentialKey, Error, ErrorKind, Result};

use crate::context::Context;

/// The arguments of `longshore logout`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore logout ghcr.io
  longshore logout ghcr.io/my-org

Credentials in a credential helper are removed too.")]
pub(crate) struct Arguments {
    /// The registry, with the path if login used one.
    #[arg(value_name = "REGISTRY[/PATH]")]
    registry: CredentialKey,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut config = context.config()?;
    if config.remove(&arguments.registry).await? {
        let registry = &arguments.registry;
        let change = serde_json::json!({ "registry": registry.to_string() });
        return context
            .output()
            .changed(format_args!("removed the credentials for {registry}"), &change);
    }
    Err(Error::new(ErrorKind::NotFound)
        .at(&arguments.registry)
        .detail(format!("no credentials in {}", config.path().display())))
}
