use std::fmt;

use clap::Args;
use longshore::{Descriptor, Location, Platform, Result};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::Report;

/// The arguments of `longshore digest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore digest nginx:1.27
  longshore digest nginx:1.27 --platform linux/arm64")]
pub(crate) struct Arguments {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Select this platform of a multi-platform image (`local` for this machine).
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let descriptor = match &arguments.platform {
        None => located.source.resolve(&located.selector).await?,
        Some(_) => located.image(arguments.platform.as_ref()).await?.descriptor().clone(),
    };
    context.output().report(&Answer(descriptor))
}

#[derive(Serialize)]
struct Answer(Descriptor);

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.0.digest)
    }
}
