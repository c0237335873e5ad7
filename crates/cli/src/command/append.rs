use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use longshore::{Append, Descriptor, Digest, Location, Platform, Reference, Result, Tag};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::input;
use crate::output::Report;

/// The arguments of `longshore append`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore append ghcr.io/a/b:v1 --layer site.tar.gz --to ghcr.io/a/b:v2
  tar c -C site . | longshore append oci:b:v1 --layer - --created-by 'COPY site /'
  longshore append ghcr.io/a/b:v1 --layer-from ghcr.io/c/d@sha256:… --to ghcr.io/a/b:v2
  longshore append ghcr.io/a/b:v1 --layer x.tar --platform linux/arm64 \\
    --created \"$(date -u +%FT%TZ)\"

A layer is a tar file, plain or compressed with gzip or zstd. All --layer files are added in the \
given order, then all --layer-from layers. The rest of the image is kept. In an index, the new \
image replaces the image for --platform.")]
pub(crate) struct Arguments {
    /// The image.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Layer file to add; `-` is standard input.
    #[arg(long, value_name = "FILE", required_unless_present = "layer_from")]
    layer: Vec<PathBuf>,
    /// Existing layer to add, from a registry, layout or OCI archive.
    #[arg(long, value_name = "LOCATION@DIGEST", value_parser = defaults::location)]
    layer_from: Vec<Location>,
    /// The location for the new image [default: the location and tag of the old image].
    #[arg(long, short, value_name = "LOCATION", value_parser = defaults::location)]
    to: Option<Location>,
    /// Select this platform of a multi-platform image (`local` for this machine).
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// "created by" text of the new layers in the image's history.
    #[arg(long, value_name = "TEXT")]
    created_by: Option<String>,
    /// Comment of the new layers in the image's history.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Creation time of the image and the new layers in RFC 3339 [default: keep the image's time].
    #[arg(long, value_name = "TIME")]
    created: Option<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    // An archive on standard input is read only once, even if several layers come from the archive.
    let mut locations = std::iter::once(&arguments.location).chain(&arguments.layer_from);
    let stream = locations.any(|location| location.place().is_stream()).then_some(Path::new("-"));
    input::once(arguments.layer.iter().map(PathBuf::as_path).chain(stream))?;
    let located = context.stores().locate(&arguments.location).await?;
    let mut append = Append::new();
    let mut spooled = None;
    for file in &arguments.layer {
        append = if file.to_str() == Some("-") {
            let input = spooled.insert(input::spool().await?);
            append.file(input.path()).await?
        } else {
            append.file(file).await?
        };
    }
    for layer in &arguments.layer_from {
        let digest = layer.digest().ok_or_else(|| no_digest(layer))?;
        append = append.blob(context.stores().open(layer).await?, digest).await?;
    }
    if let Some(platform) = arguments.platform {
        append = append.platform(platform);
    }
    if let Some(created_by) = &arguments.created_by {
        append = append.created_by(created_by);
    }
    if let Some(comment) = &arguments.comment {
        append = append.comment(comment);
    }
    if let Some(created) = &arguments.created {
        append = append.created(created)?;
    }
    let to = arguments.to.unwrap_or_else(|| arguments.location.clone());
    let tag = tag(&to, located.selector.tag());
    let target = context.create(&to.named_after(&arguments.location)).await?;
    let store = Arc::clone(&target);
    let appended = append.push(located.source, &located.selector, store, tag.as_ref()).await?;
    target.finish().await?;
    context.output().report(&Answer {
        target: to.to_string(),
        tag,
        root: appended.root,
        image: appended.image,
        layers: appended.layers,
        diff_ids: appended.diff_ids,
    })
}

/// Returns the new image's tag: the target's tag, else the old image's tag, else `latest` if the
/// target is a repository name in a docker-archive.
fn tag(to: &Location, own: Option<&Tag>) -> Option<Tag> {
    let latest = || to.reference().map(|_: &Reference| Tag::latest());
    to.tag().or_else(|| own.cloned()).or_else(latest)
}

fn no_digest(layer: &Location) -> longshore::Error {
    longshore::ParseError::new("layer", &layer.to_string(), "expected LOCATION@DIGEST").into()
}

#[derive(Serialize)]
struct Answer {
    target: String,
    tag: Option<Tag>,
    root: Descriptor,
    image: Descriptor,
    layers: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        writeln!(to, "{}", self.root.digest)
    }
}
