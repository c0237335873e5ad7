use clap::Args;
use longshore::{Digest, Location, MediaType, Pack, ParseError, Result, SourceExt as _};

use super::{Made, Pair, UNKNOWN_ARTIFACT};
use crate::context::Context;
use crate::defaults;

/// The arguments of `longshore artifact make`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore artifact make ghcr.io/a/data:v1 sha256:… sha256:…
  longshore artifact make ghcr.io/a/data:v1 sha256:…=text/plain \\
    --artifact-type application/vnd.example
  longshore artifact make ghcr.io/a/app:v1 --image-config sha256:… \\
    sha256:…=application/vnd.oci.image.layer.v1.tar+gzip

The blobs must exist: upload them with `longshore blob put`. Equal arguments make equal \
manifests.")]
pub(crate) struct Arguments {
    /// The repository, layout or archive with the blobs; the default tag is `latest`.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The blobs in order, each with its media type [default: application/octet-stream].
    #[arg(required = true, value_name = "DIGEST[=TYPE]")]
    blobs: Vec<Blob>,
    /// Make an image with this blob as its config [default type: OCI image config].
    #[arg(long, value_name = "DIGEST[=TYPE]", conflicts_with = "artifact_type")]
    image_config: Option<Blob>,
    /// The artifact's type.
    #[arg(long, value_name = "TYPE", default_value = UNKNOWN_ARTIFACT)]
    artifact_type: MediaType,
    /// Add an annotation to the manifest.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<Pair>,
}

/// A blob and its media type.
#[derive(Clone, Debug)]
struct Blob {
    digest: Digest,
    media_type: Option<MediaType>,
}

impl std::str::FromStr for Blob {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (digest, media_type) = match text.split_once('=') {
            Some((digest, media_type)) => (digest, Some(media_type)),
            None => (text, None),
        };
        Ok(Self {
            digest: Digest::parse(digest)?,
            media_type: media_type.map(MediaType::parse).transpose()?,
        })
    }
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let tag = arguments.location.tag_or(&defaults::tag())?;
    let target = context.create(&arguments.location).await?;
    let store = &*target;
    let mut pack = match arguments.image_config {
        None => Pack::artifact(arguments.artifact_type),
        Some(config) => {
            let media_type = config.media_type.unwrap_or(MediaType::OCI_CONFIG);
            Pack::with_existing_config(store, &config.digest, media_type).await?
        }
    };
    for blob in arguments.blobs {
        let mut descriptor = store.describe_blob(&blob.digest).await?;
        descriptor.media_type = blob.media_type.unwrap_or(MediaType::OCTET_STREAM);
        pack = pack.existing_layer(descriptor);
    }
    for Pair(key, value) in &arguments.annotation {
        pack = pack.annotation(key, value);
    }
    let packed = pack.push(store, Some(&tag)).await?;
    target.finish().await?;
    context.output().report(&Made(packed))
}
