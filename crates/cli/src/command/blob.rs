use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use longshore::{
    BlobBody, Descriptor, Digest, Error, ErrorKind, MediaType, Mount, Reference, Repository,
    Result, Source as _, Target as _, blob_file,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::location::Location;
use crate::output::{self, Report};

/// The commands below `longshore blob`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a blob's bytes to standard output or a file, verified.
    Get(Get),
    /// Print a blob's size.
    Head(Named),
    /// Send a file as a blob, and print its digest.
    Put(Put),
    /// Take a blob over from another repository of the same registry, without sending it.
    Mount(MountArguments),
    /// Remove a blob.
    Rm(Named),
}

/// A blob: a location with a digest.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore blob head nginx@sha256:…")]
pub(crate) struct Named {
    /// The blob, as LOCATION@DIGEST.
    blob: Location,
}

/// The arguments of `longshore blob get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore blob get nginx@sha256:… -o layer.tar.gz
  longshore blob get nginx@sha256:… | tar tz")]
pub(crate) struct Get {
    /// The blob, as LOCATION@DIGEST.
    blob: Location,
    /// The file to write; shown only when all of it is there and verified.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The arguments of `longshore blob put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore blob put ghcr.io/a/b layer.tar.gz
  tar c dir | longshore blob put ghcr.io/a/b -")]
pub(crate) struct Put {
    /// The repository, layout or archive.
    location: Location,
    /// The file; `-` for standard input.
    file: PathBuf,
}

/// The arguments of `longshore blob mount`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore blob mount localhost:5000/a@sha256:… localhost:5000/b")]
pub(crate) struct MountArguments {
    /// The blob, as REPOSITORY@DIGEST.
    #[arg(value_parser = defaults::reference)]
    blob: Reference,
    /// The repository that is to have it too.
    #[arg(value_parser = defaults::repository)]
    repository: Repository,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get(context, arguments).await,
        Command::Head(Named { blob }) => head(context, &blob).await,
        Command::Put(arguments) => put(context, arguments).await,
        Command::Mount(arguments) => mount(context, arguments).await,
        Command::Rm(Named { blob }) => {
            let digest = digest_of(&blob)?;
            let store = context.deletable(&blob).await?;
            store.delete_blob(&digest).await?;
            let change = serde_json::json!({ "digest": digest });
            context.output().changed(format_args!("removed {digest}"), &change)
        }
    }
}

async fn get(context: &Context, arguments: Get) -> Result<()> {
    let source = context.open(&arguments.blob).await?;
    let descriptor = source.describe_blob(&digest_of(&arguments.blob)?).await?;
    output::blob(source.blob(&descriptor).await?, arguments.output.as_deref()).await
}

async fn head(context: &Context, blob: &Location) -> Result<()> {
    let source = context.open(blob).await?;
    context.output().report(&Found(source.describe_blob(&digest_of(blob)?).await?))
}

async fn put(context: &Context, arguments: Put) -> Result<()> {
    // Standard input comes once, and its digest must be known before it is sent.
    let spooled = match arguments.file.to_str() {
        Some("-") => Some(spool().await?),
        _ => None,
    };
    let path = spooled.as_ref().map_or(arguments.file.as_path(), tempfile::NamedTempFile::path);
    let descriptor = blob_file::describe(path, MediaType::OCTET_STREAM).await?;
    let target = context.target(&arguments.location).await?;
    target.store.push_blob(&descriptor, BlobBody::file(path)).await?;
    target.finish().await?;
    context.output().report(&Stored(descriptor))
}

async fn mount(context: &Context, arguments: MountArguments) -> Result<()> {
    let Some(digest) = arguments.blob.digest() else {
        return Err(no_digest(&arguments.blob));
    };
    let from = arguments.blob.repository();
    if from.registry() != arguments.repository.registry() {
        return Err(Error::new(ErrorKind::Invalid)
            .at(&arguments.repository)
            .detail(format!(
                "a blob is mounted within one registry, and it is at {}",
                from.registry()
            ))
            .with_hint("Copy between registries with `longshore copy`."));
    }
    let source = context.client()?.repository(from);
    let descriptor = source.describe_blob(digest).await?;
    let target = context.client()?.repository(&arguments.repository);
    match target.mount_blob(&descriptor, from).await? {
        Mount::Mounted => context.output().report(&Stored(descriptor)),
        Mount::Declined => Err(Error::new(ErrorKind::Unsupported)
            .at(&arguments.repository)
            .detail("the registry declined to mount the blob")
            .with_hint("Send it instead: `longshore blob get` and `longshore blob put`.")),
    }
}

fn digest_of(blob: &Location) -> Result<Digest> {
    blob.digest().ok_or_else(|| no_digest(blob))
}

fn no_digest(blob: &impl fmt::Display) -> Error {
    let text = blob.to_string();
    longshore::ParseError::new("blob", &text, "expected LOCATION@DIGEST").into()
}

/// Standard input in a file, which goes when it is dropped, also while input is waited for.
async fn spool() -> Result<tempfile::NamedTempFile> {
    let at = |e| Error::new(ErrorKind::Io).at("standard input").with_source(e);
    let spooled = tempfile::NamedTempFile::new().map_err(at)?;
    let mut file = spooled.reopen().map_err(at)?;
    blob_file::run(move || std::io::copy(&mut std::io::stdin(), &mut file).map_err(at)).await?;
    Ok(spooled)
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
