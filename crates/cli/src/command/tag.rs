use clap::Args;
use longshore::{ParseError, Result, Tag};

use crate::context::Context;
use crate::location::Location;

/// The arguments of `longshore tag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore tag ghcr.io/a/b:v1.2.3 v1.2 v1 latest")]
pub(crate) struct Arguments {
    /// The image or artifact.
    location: Location,
    /// The tags to give it.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<Tag>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    if !arguments.location.keeps_tags() {
        let text = arguments.location.to_string();
        let reason = "a tag needs a name there; say docker-archive:FILE:REPOSITORY[:TAG]";
        return Err(ParseError::new("location", &text, reason).into());
    }
    if arguments.location.is_stream() {
        let text = arguments.location.to_string();
        let reason = "a stream cannot be extended; copy it to the name";
        return Err(ParseError::new("location", &text, reason).into());
    }
    let named = context.named(&arguments.location).await?;
    // Other names than the one in the text are written.
    let target = context.target(&arguments.location.with_entry(None)).await?;
    let selector = match arguments.location.entry_name() {
        Some(_) => named.source.resolve(&named.selector).await?.digest.into(),
        None => named.selector,
    };
    let tagged = longshore::put_tags(&*target.store, &selector, &arguments.tags).await?;
    target.finish().await?;
    let (digest, tags) = (tagged.digest, arguments.tags);
    let told: Vec<String> = tags.iter().map(|tag| format!("{tag} points at {digest}")).collect();
    let change = serde_json::json!({ "digest": digest, "tags": tags });
    context.output().changed(told.join("\n"), &change)
}
