use clap::Args;
use longshore::{Error, ErrorKind, Result, layout_listing};

use crate::context::Context;
use crate::location::Location;
use crate::message::{confirm, say};

/// The arguments of `longshore rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore rm ghcr.io/a/b:v1
  longshore rm ghcr.io/a/b@sha256:… --yes

Removes the manifest and every tag that points at it, and lists these tags first. To remove only \
one tag, use `longshore untag`.")]
pub(crate) struct Arguments {
    /// The image or artifact.
    location: Location,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let named = context.named(&arguments.location).await?;
    let digest = named.source.resolve(&named.selector).await?.digest;
    let store = context.deletable(&arguments.location).await?;
    let tags: Vec<String> = match context.entries(&arguments.location).await? {
        Some(entries) => layout_listing::names(&entries)
            .into_iter()
            .filter(|(_, entry)| entry.digest == digest)
            .map(|(name, _)| name.to_owned())
            .collect(),
        None => {
            let tags = longshore::tags_of(&*store, &digest).await?;
            tags.iter().map(ToString::to_string).collect()
        }
    };
    say(format_args!("{} in {}", digest, store.name()));
    for tag in &tags {
        say(format_args!("  also removes: {tag}"));
    }
    if !arguments.yes && !confirm("Remove it?") {
        return Err(Error::new(ErrorKind::Canceled)
            .at(&arguments.location)
            .detail("nothing was removed")
            .with_hint("Answer y, or pass --yes."));
    }
    store.delete_manifest(&digest).await?;
    let change = serde_json::json!({ "digest": digest, "tags": tags });
    context.output().changed(format_args!("removed {digest}"), &change)
}
