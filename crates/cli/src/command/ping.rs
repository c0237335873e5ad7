use std::fmt;

use clap::Args;
use longshore::{Printable, RegistryName, Result, Scheme, Verification};
use serde::Serialize;

use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore ping`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ping ghcr.io
  longshore ping registry.lan:5000 --scheme detect")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let ping = context.client()?.ping(&arguments.registry).await?;
    context.output().report(&Answer {
        registry: arguments.registry.to_string(),
        scheme: ping.scheme.as_str(),
        certificate: match (ping.scheme, ping.verification) {
            (Scheme::Https, Verification::Full) => Some("checked"),
            (Scheme::Https, Verification::Skip) => Some("not checked"),
            _ => None,
        },
        detected: ping.detected,
        authentication: ping.authentication,
        api_version: ping.api_version,
    })
}

/// How a registry answered.
#[derive(Serialize)]
struct Answer {
    registry: String,
    scheme: &'static str,
    certificate: Option<&'static str>,
    detected: bool,
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
            "{} answers over {}{}{} ({}), authentication: {}",
            self.registry,
            self.scheme,
            if self.certificate == Some("not checked") { ", certificate not checked" } else { "" },
            if self.detected { ", as was found out" } else { "" },
            Printable(version),
            Printable(&authentication)
        )
    }
}
