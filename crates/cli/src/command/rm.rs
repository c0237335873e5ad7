use clap::Args;
use longshore::{Error, ErrorKind, Location, Result};

use crate::context::Context;
use crate::defaults;
use crate::message::{confirm, say};

/// The arguments of `longshore rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore rm ghcr.io/a/b:v1
  longshore rm ghcr.io/a/b@sha256:… --yes

The command lists the tags that point at the manifest, and then removes the manifest and these \
tags. To remove only one tag, use `longshore untag`.")]
pub(crate) struct Arguments {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let located = context.stores().locate(&arguments.location).await?;
    let digest = located.source.resolve(&located.selector).await?.digest;
    let store = context.stores().open_to_delete(&arguments.location).await?;
    let tags: Vec<String> = if arguments.location.place().has_entries() {
        let listed = context.stores().names(&arguments.location).await?.into_iter();
        let same = listed.filter(|image| image.digest.as_ref() == Some(&digest));
        same.map(|image| image.name.to_string()).collect()
    } else {
        let tags = longshore::tags_for_digest(&*store, &digest).await?;
        tags.iter().map(ToString::to_string).collect()
    };
    say(format_args!("{} in {}", digest, store.name()));
    for tag in &tags {
        say(format_args!("  also removes: {tag}"));
    }
    if !arguments.yes && !confirm("Remove this manifest?").await {
        return Err(Error::new(ErrorKind::Canceled)
            .at(&arguments.location)
            .detail("nothing was removed")
            .with_hint("Answer y, or pass --yes."));
    }
    store.delete_manifest(&digest).await?;
    let change = serde_json::json!({ "digest": digest, "tags": tags });
    context.output().changed(format_args!("removed {digest}"), &change)
}
