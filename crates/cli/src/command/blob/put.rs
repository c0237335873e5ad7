//! Uploads files and standard input as blobs.

use std::path::{Path, PathBuf};

use clap::Args;
use longshore::{
    BlobStream, Descriptor, Digest, FileBody, Location, MediaType, Pushed, Result, Target,
};

use super::{All, Stored};
use crate::context::Context;
use crate::defaults;
use crate::input;
use crate::progress::Named;

/// The arguments of `longshore blob put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore blob put ghcr.io/a/b layer.tar.gz
  longshore blob put ghcr.io/a/b *.tar.gz
  tar c dir | longshore blob put ghcr.io/a/b -

A file that the target already has as a blob is not sent. A registry receives a file of at least \
4 MiB while its digest is computed, and the command stops sending if the registry has the blob. \
Standard input is always sent, and a registry receives it without a local copy: if the connection \
breaks, run the command again.")]
pub(crate) struct Arguments {
    /// The repository, layout or archive.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The files; `-` for standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Fail if the blob has another digest; requires a single file.
    #[arg(long)]
    digest: Option<Digest>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, files, digest } = arguments;
    if digest.is_some() && files.len() > 1 {
        let reason = "expected a single file";
        let given = format!("{} files", files.len());
        return Err(longshore::ParseError::new("--digest", &given, reason).into());
    }
    input::once(files.iter().map(PathBuf::as_path))?;
    let target = context.create(&location).await?;
    let mut stored = Vec::new();
    for file in &files {
        let blob = match file == Path::new("-") {
            true => from_stdin(context, &*target, digest.as_ref()).await?,
            false => from_file(context, &*target, file, digest.as_ref()).await?,
        };
        stored.push(Stored(blob));
    }
    // An archive file appears only after this call.
    target.finish().await?;
    context.output().report(&All(stored))
}

async fn from_file(
    context: &Context,
    target: &dyn Target,
    path: &Path,
    digest: Option<&Digest>,
) -> Result<Descriptor> {
    let progress = Named::begin(context.style(), &path.display().to_string());
    let file = FileBody::new(path, MediaType::OCTET_STREAM).expected_digest(digest.cloned());
    let (blob, pushed) = target.push_file(&file.on_progress(progress.listener())).await?;
    progress.end(&blob, pushed);
    Ok(blob)
}

async fn from_stdin(
    context: &Context,
    target: &dyn Target,
    digest: Option<&Digest>,
) -> Result<Descriptor> {
    let input = BlobStream::from_reader("standard input", std::io::stdin());
    let progress = Named::begin(context.style(), "standard input");
    let blob = target.push_stream(input.on_progress(progress.listener()), digest).await?;
    progress.end(&blob, Pushed::Sent);
    Ok(blob)
}
