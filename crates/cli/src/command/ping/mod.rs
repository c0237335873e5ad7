#[cfg(feature = "legacy")]
mod v1;

use std::fmt;

use clap::Args;
use longshore::{EscapedText, RegistryName, Result, Scheme, Verification};
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
    /// API version to check; `auto` tries version 1 if the registry does not support version 2.
    #[cfg(feature = "legacy")]
    #[arg(long, value_name = "VERSION", default_value = "2")]
    api: v1::Api,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let (client, registry) = (context.client()?, &arguments.registry);
    #[cfg(feature = "legacy")]
    if let Some(answer) = arguments.api.ping(client, registry).await? {
        return context.output().report(&answer);
    }
    let ping = client.ping(registry).await.map_err(|e| match e.status() {
        Some(404) if cfg!(feature = "legacy") => {
            e.with_hint("If the registry supports only the v1 API, use --api 1 or --api auto.")
        }
        _ => e,
    })?;
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
        api: "2",
    })
}

/// The result of a ping.
#[derive(Serialize)]
struct Answer {
    registry: String,
    scheme: &'static str,
    certificate: Option<&'static str>,
    detected: bool,
    authentication: Vec<String>,
    api_version: Option<String>,
    api: &'static str,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let authentication = match &self.authentication[..] {
            [] => "none required".to_owned(),
            schemes => schemes.join(", "),
        };
        let version = self.api_version.as_deref().unwrap_or("no version stated");
        writeln!(
            to,
            "{} answers over {}{}{} ({}), authentication: {}",
            self.registry,
            self.scheme,
            if self.certificate == Some("not checked") { ", certificate not checked" } else { "" },
            if self.detected { ", scheme detected" } else { "" },
            EscapedText(version),
            EscapedText(&authentication)
        )
    }
}
