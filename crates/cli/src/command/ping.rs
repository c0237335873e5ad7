use std::fmt;

use clap::Args;
use longshore::{Printable, RegistryName, Result, Scheme};
use serde::Serialize;

use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore ping`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore ping ghcr.io")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let ping = context.client()?.ping(&arguments.registry).await?;
    context.output().report(&Answer {
        registry: arguments.registry.to_string(),
        scheme: if ping.scheme == Scheme::Https { "https" } else { "http" },
        authentication: ping.authentication,
        api_version: ping.api_version,
    })
}

/// How a registry answered.
#[derive(Serialize)]
struct Answer {
    registry: String,
    scheme: &'static str,
    authentication: Vec<String>,
    api_version: Option<String>,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let authentication = match &self.authentication[..] {
            [] => "none asked for".to_owned(),
            schemes => schemes.join(", "),
        };
        let version = self.api_version.as_deref().unwrap_or("no version stated");
        writeln!(
            to,
            "{} answers over {} ({}), authentication: {}",
            self.registry,
            self.scheme,
            Printable(version),
            Printable(&authentication)
        )
    }
}
