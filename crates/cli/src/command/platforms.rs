use std::fmt;

use clap::Args;
use longshore::{
    Descriptor, Digest, EscapedText, Image, Location, Manifest, Platform, Result, Source,
    list_images,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::{Report, size};

/// The arguments of `longshore platforms`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore platforms nginx:1.27
  longshore platforms docker-archive:image.tar --json

An image without an index is listed as one platform. Attestations are not listed. The size is the \
total size of the layers as stored.")]
pub(crate) struct Arguments {
    /// The image.
    #[arg(value_parser = defaults::location)]
    location: Location,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let manifest = located.source.manifest(&located.selector).await?;
    let mut platforms = Vec::new();
    for descriptor in list_images(&*located.source, &manifest).await? {
        platforms.push(Row::of(&*located.source, descriptor).await?);
    }
    context.output().report(&Answer { platforms })
}

#[derive(Serialize)]
struct Answer {
    platforms: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    platform: Option<Platform>,
    digest: Digest,
    /// Total size of the layers in bytes. `None` for schema 1, which has no sizes, and for an image
    /// whose config cannot be read.
    size: Option<u64>,
    layers: Option<usize>,
    /// Docker's image ID.
    id: Option<Digest>,
}

impl Row {
    async fn of(source: &dyn Source, descriptor: Descriptor) -> Result<Self> {
        let manifest = source.manifest(&descriptor.digest.clone().into()).await?;
        let image = match manifest.parse()? {
            Manifest::Image(_) => Image::read(source, manifest).await.ok(),
            _ => None,
        };
        Ok(Self {
            platform: descriptor.platform,
            digest: descriptor.digest,
            size: image.as_ref().map(Image::size),
            layers: image.as_ref().map(|image| image.layers().count()),
            id: image.map(|image| image.id().clone()),
        })
    }
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for row in &self.platforms {
            let platform = row.platform.as_ref().map(ToString::to_string).unwrap_or_default();
            let size = row.size.map_or_else(|| "unknown size".to_owned(), size);
            writeln!(to, "{:<16} {}  {size:>12}", EscapedText(&platform).to_string(), row.digest)?;
        }
        Ok(())
    }
}
