//! Writes blobs to standard output or files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use longshore::{BlobBody, Digest, Error, Result, SourceExt as _};

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
    /// folder for files named by their digests. `-` is standard output. After an interruption, the
    /// same command continues with the rest of a blob of at least 1 MiB.
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
        match path {
            // The reader of stdout may write to the same terminal, so no progress is printed.
            None => output::blob(source.blob(&blob).await?, None).await?,
            Some(path) => {
                let progress = Single::begin(context.style(), blob.clone());
                let body = BlobBody::source(Arc::clone(&source)).on_progress(progress.listener());
                output::file(&blob, body, &path).await?;
                progress.done();
            }
        }
    }
    Ok(())
}

impl Arguments {
    /// Returns true if the output is a file or folder, so that an interrupted command can continue.
    pub(super) fn can_continue(&self) -> bool {
        self.output.as_deref().is_some_and(output::keeps_partial_files)
    }
}

/// Returns the path for a blob: the output file, or a file in the output folder for several blobs.
fn place(output: &Path, several: bool, digest: &Digest) -> PathBuf {
    match several && output != Path::new("-") {
        true => output.join(digest.file_name()),
        false => output.to_owned(),
    }
}
