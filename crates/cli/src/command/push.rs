use clap::Args;
use longshore::{ParseError, Reference, Result};

use crate::context::Context;
use crate::defaults;
use crate::location::Location;
use crate::transfer::{Options, Transfer};

/// The arguments of `longshore push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore push oci:nginx ghcr.io/a/nginx:1.27
  longshore push docker-archive:nginx.tar localhost:5000/nginx:1.27
  longshore push oci:backup ghcr.io/a/b --all-tags")]
pub(crate) struct Arguments {
    /// The layout or archive.
    source: Location,
    /// The repository at a registry. Without a tag, it gets the source's.
    #[arg(value_parser = defaults::reference)]
    reference: Reference,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    if let Location::Registry(reference) = &arguments.source {
        let text = reference.to_string();
        let reason = "expected oci:DIR, oci-archive:FILE or docker-archive:FILE; \
                      between registries, use `longshore copy`";
        return Err(ParseError::new("local location", &text, reason).into());
    }
    let target = Location::Registry(arguments.reference);
    Transfer::new(arguments.source, target, arguments.options).run(context).await
}
