use std::fmt;

use clap::Args;
use longshore::{Descriptor, Platform, Result};
use serde::Serialize;

use crate::context::Context;
use crate::location::Location;
use crate::output::Report;

/// The arguments of `longshore digest`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore digest nginx:1.27
  longshore digest nginx:1.27 --platform linux/arm64")]
pub(crate) struct Arguments {
    /// The image or artifact.
    location: Location,
    /// Choose this platform of a multi-platform image (`local`: this machine).
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let named = context.named(&arguments.location).await?;
    let descriptor = match &arguments.platform {
        None => named.source.resolve(&named.selector).await?,
        Some(_) => named.image(arguments.platform.as_ref()).await?.descriptor().clone(),
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
