use std::fmt;

use clap::Args;
use longshore::{ApiVersion, Printable, RegistryName, Result, Scheme, Verification};
use serde::Serialize;

use crate::context::Context;
use crate::output::Report;

/// The arguments of `longshore ping`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ping ghcr.io
  longshore ping old.example --api auto
  longshore ping registry.lan:5000 --scheme detect")]
pub(crate) struct Arguments {
    /// The registry.
    registry: RegistryName,
    /// The API version to check; `auto` tries 1 if the registry does not know 2.
    #[arg(long, value_name = "VERSION", default_value = "2")]
    api: Api,
}

/// Which API to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Api {
    #[value(name = "1")]
    V1,
    #[value(name = "2")]
    V2,
    Auto,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let (client, registry) = (context.client()?, &arguments.registry);
    let version = match arguments.api {
        Api::V1 => ApiVersion::V1,
        Api::Auto => client.api_version(registry).await?,
        Api::V2 => ApiVersion::V2,
    };
    if version == ApiVersion::V1 {
        let ping = client.v1(registry).ping().await?;
        return context.output().report(&OldAnswer {
            registry: registry.to_string(),
            version: ping.version,
            standalone: ping.standalone,
            api: version.to_string(),
        });
    }
    let ping = client.ping(registry).await.map_err(|e| match e.status() {
        Some(404) => e.with_hint("If it speaks the v1 API only, use --api 1, or --api auto."),
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
        api: version.to_string(),
    })
}

/// How a registry of the v1 API answered.
#[derive(Serialize)]
struct OldAnswer {
    registry: String,
    version: Option<String>,
    standalone: bool,
    api: String,
}

impl Report for OldAnswer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("no version stated");
        let kind = if self.standalone { "standalone" } else { "behind an index" };
        writeln!(to, "{} answers to API v1 ({}), {kind}", self.registry, Printable(version))
    }
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
    api: String,
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
            if self.detected { ", as detected" } else { "" },
            Printable(version),
            Printable(&authentication)
        )
    }
}
