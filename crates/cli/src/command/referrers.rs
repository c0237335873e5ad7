use std::fmt;

use clap::Args;
use longshore::{Descriptor, Location, MediaType, Result};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::Report;

/// The arguments of `longshore referrers`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore referrers ghcr.io/a/b:v1
  longshore referrers ghcr.io/a/b@sha256:… --artifact-type application/spdx+json")]
pub(crate) struct Arguments {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Print only referrers of this artifact type.
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<MediaType>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let subject = match located.selector.digest() {
        Some(digest) => digest.clone(),
        None => located.source.resolve(&located.selector).await?.digest,
    };
    let pages = located.source.referrers(&subject, arguments.artifact_type.as_ref());
    let referrers = pages.all().await?;
    context.output().report(&Found { subject: subject.to_string(), referrers })
}

#[derive(Serialize)]
struct Found {
    subject: String,
    referrers: Vec<Descriptor>,
}

impl Report for Found {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for referrer in &self.referrers {
            let kind = referrer.artifact_type.as_ref().unwrap_or(&referrer.media_type);
            writeln!(to, "{}  {kind}", referrer.digest)?;
        }
        Ok(())
    }
}
