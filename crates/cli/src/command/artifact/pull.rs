use std::fmt;
use std::path::PathBuf;

use clap::Args;
use longshore::{Digest, Printable, Result, pull_files};
use serde::Serialize;

use crate::context::Context;
use crate::location::Location;
use crate::output::Report;

/// The arguments of `longshore artifact pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore artifact pull ghcr.io/a/notes:v1
  longshore artifact pull ghcr.io/a/notes:v1 --output notes

A title that leads out of the folder is refused, and then nothing is written.")]
pub(crate) struct Arguments {
    /// The artifact.
    location: Location,
    /// The folder to write to.
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let named = context.named(&arguments.location).await?;
    let manifest = named.source.manifest(&named.selector).await?;
    let files = pull_files(&*named.source, &manifest, &arguments.output).await?;
    context.output().report(&Written { digest: manifest.digest().clone(), files })
}

#[derive(Serialize)]
struct Written {
    digest: Digest,
    files: Vec<PathBuf>,
}

impl Report for Written {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for file in &self.files {
            writeln!(to, "{}", Printable(&file.display().to_string()))?;
        }
        Ok(())
    }
}
