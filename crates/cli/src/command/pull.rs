use clap::Args;
use longshore::{Reference, Result};

use crate::context::Context;
use crate::defaults;
use crate::location::Location;
use crate::transfer::{Options, Transfer};

/// The arguments of `longshore pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore pull nginx:1.27                       into the folder nginx, an OCI layout
  longshore pull nginx:1.27 oci:images:nginx-1.27
  longshore pull nginx:1.27 docker-archive:nginx.tar --platform local")]
pub(crate) struct Arguments {
    /// The image or artifact at a registry.
    #[arg(value_parser = defaults::reference)]
    reference: Reference,
    /// Where to [default: oci:NAME, a folder named after the repository].
    target: Option<Location>,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let target = arguments.target.unwrap_or_else(|| beside(&arguments.reference));
    let source = Location::Registry(arguments.reference);
    Transfer::new(source, target, arguments.options).run(context).await
}

/// A layout in a folder of the repository's own name.
fn beside(reference: &Reference) -> Location {
    Location::Layout { path: reference.name().image().into(), selector: None }
}
