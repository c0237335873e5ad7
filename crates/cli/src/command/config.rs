use clap::Args;
use longshore::{CONFIG_LIMIT, Error, ErrorKind, Location, Manifest, Platform, Result};

use crate::context::Context;
use crate::defaults;
use crate::output;

/// The arguments of `longshore config`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore config nginx:1.27
  longshore config nginx:1.27 --platform linux/arm64 | jq .config.Env
  longshore config nginx:1.27 --field .config.Env[0]
  longshore config nginx:1.27 --field '.config.Labels[\"org.opencontainers.image.version\"]'")]
pub(crate) struct Arguments {
    /// The image.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Select this platform of a multi-platform image [default: this machine].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Print only this field: a path (.config.Env[0]) or a JSON Pointer (/config/Env/0).
    #[arg(long, value_name = "FIELD")]
    field: Option<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let manifest = located.image(arguments.platform.as_ref()).await?;
    let config = match manifest.parse()? {
        Manifest::Image(image) => {
            located.source.blob(&image.config).await?.bytes(CONFIG_LIMIT).await?
        }
        // A schema 1 manifest has no config. The JSON of its newest v1 image is printed instead.
        Manifest::Schema1(schema1) if !schema1.history.is_empty() => {
            schema1.history[0].v1_compatibility.clone().into()
        }
        _ => {
            return Err(Error::new(ErrorKind::Unsupported)
                .at(&arguments.location)
                .detail(format!("{} has no config", manifest.media_type())));
        }
    };
    match &arguments.field {
        None => output::bytes(&config),
        Some(field) => context.output().field(&config, field),
    }
}
