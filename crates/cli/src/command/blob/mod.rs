use std::fmt;

use clap::{Args, Subcommand};
use longshore::{Descriptor, Digest, Location, Result, SourceExt as _};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::Report;

mod copy;
mod get;
mod put;

/// The subcommands of `longshore blob`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write verified blobs to standard output or files.
    Get(get::Arguments),
    /// Print the sizes of blobs.
    #[command(after_help = "\
Examples:
  longshore blob head nginx@sha256:…
  longshore blob head ghcr.io/a/b sha256:… sha256:…")]
    Head(Blobs),
    /// Upload files or standard input as blobs, and print their digests.
    Put(put::Arguments),
    /// Copy a blob, or mount it if both repositories are at one registry.
    Copy(copy::Arguments),
    /// Mount a blob from another repository of the same registry, without sending it.
    Mount(copy::MountArguments),
    /// Remove blobs.
    #[command(after_help = "\
Examples:
  longshore blob rm ghcr.io/a/b@sha256:…
  longshore blob rm oci:dir sha256:… sha256:…")]
    Rm(Blobs),
}

impl Command {
    /// Returns true if the same command continues after an interruption.
    pub(crate) fn can_continue(&self) -> bool {
        matches!(self, Self::Get(arguments) if arguments.can_continue())
    }
}

/// Blobs of one repository, layout or archive.
#[derive(Debug, Args)]
pub(crate) struct Blobs {
    /// The repository, layout or archive, or LOCATION@DIGEST for a single blob.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The digests of the blobs.
    #[arg(value_name = "DIGEST")]
    digests: Vec<Digest>,
}

impl Blobs {
    /// Returns all given digests, or an error if there are none.
    fn digests(&self) -> Result<Vec<Digest>> {
        let all: Vec<_> =
            self.location.digest().into_iter().chain(&self.digests).cloned().collect();
        if all.is_empty() {
            return Err(no_digest(&self.location));
        }
        Ok(all)
    }
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get::run(context, arguments).await,
        Command::Head(blobs) => head(context, &blobs).await,
        Command::Put(arguments) => put::run(context, arguments).await,
        Command::Copy(arguments) => copy::run(context, arguments).await,
        Command::Mount(arguments) => copy::mount(context, arguments).await,
        Command::Rm(blobs) => remove(context, &blobs).await,
    }
}

async fn head(context: &Context, blobs: &Blobs) -> Result<()> {
    let digests = blobs.digests()?;
    let source = context.stores().open(&blobs.location).await?;
    let mut found = Vec::new();
    for digest in digests {
        found.push(Found(source.describe_blob(&digest).await?));
    }
    context.output().report(&All(found))
}

async fn remove(context: &Context, blobs: &Blobs) -> Result<()> {
    let digests = blobs.digests()?;
    let store = context.stores().open_to_delete(&blobs.location).await?;
    for digest in digests {
        store.delete_blob(&digest).await?;
        let change = serde_json::json!({ "digest": digest });
        context.output().changed(format_args!("removed {digest}"), &change)?;
    }
    Ok(())
}

fn no_digest(blob: &impl fmt::Display) -> longshore::Error {
    let text = blob.to_string();
    longshore::ParseError::new("blob", &text, "expected LOCATION@DIGEST").into()
}

/// Reports of one or more blobs. A single report is serialized without a list.
struct All<T>(Vec<T>);

impl<T: Serialize> Serialize for All<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            all => all.serialize(serializer),
        }
    }
}

impl<T: Report> Report for All<T> {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.0.iter().try_for_each(|blob| blob.text(to))
    }
}

#[derive(Serialize)]
struct Found(Descriptor);

impl Report for Found {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.0.size)
    }
}

#[derive(Serialize)]
struct Stored(Descriptor);

impl Report for Stored {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.0.digest)
    }
}
