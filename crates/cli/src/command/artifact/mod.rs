//! Commands that push, pull and list artifacts, and make manifests from existing blobs.

mod make;
mod pull;
mod push;

use std::fmt;

use clap::{Args, Subcommand};
use longshore::{Annotations, Descriptor, EscapedText, Location, MediaType, Result, list_files};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::{Report, size};

/// The subcommands of `longshore artifact`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Upload files and folders as an artifact.
    Push(push::Arguments),
    /// Write the files and folders of an artifact.
    Pull(pull::Arguments),
    /// List an artifact's files, or an image's layers.
    Ls(Ls),
    /// Make a manifest from existing blobs.
    Make(make::Arguments),
}

impl Command {
    /// Returns true if the same command continues after an interruption.
    pub(crate) fn can_continue(&self) -> bool {
        matches!(self, Self::Pull(arguments) if arguments.can_continue())
    }
}

/// The arguments of `longshore artifact ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore artifact ls ghcr.io/a/notes:v1
  longshore artifact ls ghcr.io/a/notes:v1 --quiet

With --quiet, the command prints only the digests, one per line.")]
pub(crate) struct Ls {
    /// The artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Push(arguments) => push::run(context, arguments).await,
        Command::Pull(arguments) => pull::run(context, arguments).await,
        Command::Make(arguments) => make::run(context, arguments).await,
        Command::Ls(arguments) => {
            let located = context.stores().locate(&arguments.location).await?;
            let manifest = located.source.manifest(&located.selector).await?;
            let files = list_files(&manifest)?;
            context.output().report(&Files { files, quiet: context.is_quiet() })
        }
    }
}

/// The default artifact type. A manifest with an empty config must have an artifact type.
///
/// Source: image-spec v1.1.1, "Guidelines for Artifact Usage".
const UNKNOWN_ARTIFACT: &str = "application/vnd.unknown.artifact.v1";

/// A key and its value, written as `KEY=VALUE`.
#[derive(Clone, Debug)]
struct Pair(String, String);

impl std::str::FromStr for Pair {
    type Err = longshore::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self(key.to_owned(), value.to_owned())),
            _ => Err(longshore::ParseError::new("annotation", text, "expected KEY=VALUE")),
        }
    }
}

#[derive(Serialize)]
struct Files {
    files: Vec<Descriptor>,
    #[serde(skip)]
    quiet: bool,
}

impl Report for Files {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for file in &self.files {
            if self.quiet {
                writeln!(to, "{}", file.digest)?;
                continue;
            }
            let title = file.annotations.get(Annotations::TITLE);
            let what = title.unwrap_or_else(|| MediaType::as_str(&file.media_type));
            writeln!(to, "{}  {:>10}  {}", file.digest, size(file.size), EscapedText(what))?;
        }
        Ok(())
    }
}

/// The descriptor of the new manifest.
#[derive(Serialize)]
struct Made(Descriptor);

impl Report for Made {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.0.digest)
    }
}
