use clap::Args;
use longshore::{Error, ErrorKind, Location, ParseError, Result, UntagMethod};

use crate::context::Context;
use crate::defaults;

/// The arguments of `longshore untag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore untag ghcr.io/a/b:nightly

If a registry cannot delete tags, the tag is moved to a placeholder manifest, which is then \
deleted by its digest. Other tags of the image are never changed. With TAG@DIGEST, the tag is \
removed only if it still points at that digest.")]
pub(crate) struct Arguments {
    /// The tag to remove, with its repository or layout.
    #[arg(value_parser = defaults::location)]
    location: Location,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Some(tag) = arguments.location.tag() else {
        let text = arguments.location.to_string();
        return Err(ParseError::new("tag", &text, "expected a tag to remove").into());
    };
    let store = context.stores().open_to_delete(&arguments.location).await?;
    if let Some(expected) = arguments.location.digest() {
        let there = store.resolve(&tag.clone().into()).await?.digest;
        if there != *expected {
            return Err(Error::new(ErrorKind::Conflict)
                .at(&arguments.location)
                .detail(format!("the tag now points at {there}")));
        }
    }
    let how = longshore::untag(&*store, &tag).await.map_err(|e| e.at(&arguments.location))?;
    let tag = arguments.location.name().map_or(tag.to_string(), ToString::to_string);
    let by_placeholder = how == UntagMethod::Placeholder;
    let message = match by_placeholder {
        false => format!("removed the tag {tag}"),
        true => format!("removed the tag {tag} through a placeholder manifest"),
    };
    let change = serde_json::json!({ "tag": tag, "byPlaceholder": by_placeholder });
    context.output().changed(message, &change)
}
