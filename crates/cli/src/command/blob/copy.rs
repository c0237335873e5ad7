//! Copies and mounts blobs.

use std::sync::Arc;

use clap::Args;
use longshore::{
    BlobBody, Copier, Digest, Error, ErrorKind, Location, Reference, Repository, Result,
    SourceExt as _, Target as _,
};
use serde::Serialize;

use super::{Stored, no_digest};
use crate::context::Context;
use crate::defaults;
use crate::output::{Report, size};
use crate::progress;
use crate::transfer;

/// The arguments of `longshore blob copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore blob copy ghcr.io/a/b@sha256:… ghcr.io/a/c
  longshore blob copy ghcr.io/a/b@sha256:… oci:dir

If the target already has the blob, nothing is sent. Within one registry, the blob is mounted. If \
the registry declines the mount, the blob is sent.")]
pub(crate) struct Arguments {
    /// The blob, as LOCATION@DIGEST.
    #[arg(value_parser = defaults::location)]
    blob: Location,
    /// The target repository, layout or archive.
    #[arg(value_parser = defaults::location)]
    target: Location,
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
    /// The target repository.
    #[arg(value_parser = defaults::repository)]
    repository: Repository,
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { blob, target: location } = arguments;
    let digest = blob.digest().ok_or_else(|| no_digest(&blob))?.clone();
    let source = context.stores().open(&blob).await?;
    let found = source.describe_blob(&digest).await.map_err(|e| e.on(longshore::Side::Source))?;
    let target = context.create(&location).await?;
    let observer = progress::observer(context.style());
    let copier =
        Copier::builder(source, Arc::clone(&target)).on_event(move |e| observer(e)).build();
    let stats = copier.copy_blob(&found).await?;
    target.finish().await?;
    let how = match (stats.blobs_sent, stats.blobs_mounted) {
        (0, 0) => How::Held,
        (0, _) => How::Mounted,
        _ => How::Sent,
    };
    transfer::report_with_statistics(context, &Copied { digest, size: found.size, how })
}

pub(super) async fn mount(context: &Context, arguments: MountArguments) -> Result<()> {
    let Some(digest) = arguments.blob.digest() else {
        return Err(no_digest(&arguments.blob));
    };
    let from = arguments.blob.repository();
    if from.registry() != arguments.repository.registry() {
        return Err(Error::new(ErrorKind::Invalid)
            .at(&arguments.repository)
            .detail(format!(
                "blobs can be mounted only within one registry; this blob is at {}",
                from.registry()
            ))
            .with_hint("Copy between registries with `longshore blob copy`."));
    }
    let blob = context.client()?.repository(from).describe_blob(digest).await?;
    let target = context.client()?.repository(&arguments.repository);
    match target.push_blob(&blob, BlobBody::mount(from.clone())).await {
        Err(e) if e.kind() == ErrorKind::Unsupported => {
            Err(e.with_hint("Send the blob with `longshore blob copy` instead."))
        }
        pushed => {
            pushed?;
            context.output().report(&Stored(blob))
        }
    }
}

/// The copied blob, and how it was copied.
#[derive(Serialize)]
struct Copied {
    digest: Digest,
    size: u64,
    how: How,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum How {
    Held,
    Mounted,
    Sent,
}

impl Report for Copied {
    fn text(&self, to: &mut dyn std::fmt::Write) -> std::fmt::Result {
        let how = match self.how {
            How::Held => "already there",
            How::Mounted => "mounted",
            How::Sent => "sent",
        };
        writeln!(to, "{}  {}, {how}", self.digest, size(self.size))
    }
}
