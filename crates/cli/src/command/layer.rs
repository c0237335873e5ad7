use std::path::PathBuf;

use clap::Args;
use longshore::{
    Digest, Error, ErrorKind, Image, ImageLayer, Location, Platform, Result, UnpackLimits,
    read_image, unpack,
};

use crate::context::Context;
use crate::defaults;
use crate::output;

/// The arguments of `longshore layer`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore layer nginx:1.27 1 --unpack | tar t
  longshore layer nginx:1.27 sha256:… -o layer.tar.gz
  longshore layer nginx:1.27 2 --platform linux/arm64 --unpack -o layer.tar

The layer is verified against its digest. With --unpack, the output is also verified against the \
diff ID, if the image's config has one for the layer.")]
pub(crate) struct Arguments {
    /// The image.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The layer: its number (1 is the lowest layer), digest or diff ID.
    layer: String,
    /// Select this platform of a multi-platform image [default: this machine].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Write the uncompressed tar.
    #[arg(long)]
    unpack: bool,
    /// File to write, which appears only when it is complete and verified.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let manifest = located.source.manifest(&located.selector).await?;
    let image = read_image(&*located.source, manifest, arguments.platform.as_ref()).await?;
    let layer = choose(&image, &arguments.layer)?;
    let reader = located.source.blob(layer.descriptor).await?;
    if arguments.unpack {
        let content = unpack(reader, layer.diff_id.cloned(), UnpackLimits::default())?;
        return output::blob(content, arguments.output.as_deref()).await;
    }
    output::blob(reader, arguments.output.as_deref()).await
}

/// Finds the layer with this number, digest or diff ID.
fn choose<'a>(image: &'a Image, which: &str) -> Result<ImageLayer<'a>> {
    let mut layers = image.layers();
    let found = match which.parse::<usize>() {
        Ok(number) => number.checked_sub(1).and_then(|index| layers.nth(index)),
        Err(_) => {
            let digest = Digest::parse(which)?;
            layers.find(|l| l.descriptor.digest == digest || l.diff_id == Some(&digest))
        }
    };
    found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound)
            .at(format!("layer {which}"))
            .detail(format!("the image has {} layers", image.layers().count()))
            .with_hint("`longshore inspect` lists the layers.")
    })
}
