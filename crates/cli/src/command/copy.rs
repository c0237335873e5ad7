use clap::Args;
use longshore::{Location, Result};

use crate::context::Context;
use crate::defaults;
use crate::transfer::{self, Options};

/// The arguments of `longshore copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore copy nginx:1.27 localhost:5000/nginx:1.27
  longshore copy ghcr.io/a/b oci:backup --all-tags
  longshore copy nginx:1.27 docker-archive:nginx.tar:nginx:1.27 --platform linux/amd64
  longshore copy nginx:1.27 localhost:5000/nginx --platform linux/amd64,linux/arm64
  longshore copy a.example/x:v1 b.example/x --referrers application/spdx+json

Digests stay the same, except in a docker-archive, which keeps no manifests, and with --platform. \
One platform copies its image alone. Several platforms copy an index of their images, with their \
attestations. The result names the index that they were selected from. Signatures of this index do \
not apply to the copy and are left behind.

Signatures, SBOMs and attestations are copied with the manifests that they refer to, before the tag \
is set. The result lists what was found but not copied. One of cosign's tags stays unchanged if the \
target's signatures would be lost. A docker-archive holds only images.

Blobs that the target already has are not sent. \
Between repositories of one registry, blobs are mounted if the registry supports this. After an \
interruption, run the command again: complete blobs are skipped, and a blob of at least 1 MiB \
continues where it stopped, in a layout or if the registry kept the upload. With --all-tags, each \
tag that fails is reported on stderr, and the other tags are copied. The exit code is then 1. If \
no tag was copied and all failures have the same exit code, \
the command exits with this code.")]
pub(crate) struct Arguments {
    /// The image to copy.
    #[arg(value_parser = defaults::location)]
    source: Location,
    /// The location to copy to. If it has no tag, the source's tag is used.
    #[arg(value_parser = defaults::location)]
    target: Location,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { source, target, options } = arguments;
    let shown = target.to_string();
    transfer::run(context, &[options.transfer(source, target)], shown).await
}
