//! Writes blobs to standard output or files.

use std::path::{Path, PathBuf};

use clap::Args;
use longshore::{Descriptor, Digest, Error, Result, SourceExt as _};

use super::Blobs;
use crate::context::Context;
use crate::output;
use crate::progress::Single;

/// The arguments of `longshore blob get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore blob get nginx@sha256:… -o layer.tar.gz
  longshore blob get nginx@sha256:… | tar tz
  longshore blob get ghcr.io/a/b sha256:… sha256:… -o folder")]
pub(crate) struct Arguments {
    #[command(flatten)]
    blobs: Blobs,
    /// File to write, which appears only when it is complete and verified. For several blobs, the
    /// folder for files named by their digests. `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let digests = arguments.blobs.digests()?;
    let source = context.stores().open(&arguments.blobs.location).await?;
    let several = digests.len() > 1;
    if let Some(folder) = arguments.output.as_deref().filter(|o| several && *o != Path::new("-")) {
        std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    for digest in digests {
        let path = arguments.output.as_deref().map(|output| place(output, several, &digest));
        let blob = source.describe_blob(&digest).await?;
        let reader = source.blob(&blob).await?;
        match path {
            // The reader of stdout may write to the same terminal, so no progress is printed.
            None => output::blob(reader, None).await?,
            Some(path) => to_file(context, blob, reader, &path).await?,
        }
    }
    Ok(())
}

async fn to_file(
    context: &Context,
    blob: Descriptor,
    reader: longshore::BlobReader,
    path: &Path,
) -> Result<()> {
    let progress = Single::begin(context.style(), blob);
    output::blob(reader.on_progress(progress.listener()), Some(path)).await?;
    progress.done();
    Ok(())
}

/// Returns the path for a blob: the output file, or a file in the output folder for several blobs.
fn place(output: &Path, several: bool, digest: &Digest) -> PathBuf {
    match several && output != Path::new("-") {
        true => output.join(digest.file_name()),
        false => output.to_owned(),
    }
}
