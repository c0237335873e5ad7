use clap::Args;
use longshore::{ParseError, Result, Tag, layout_listing};

use crate::context::Context;
use crate::location::Location;

/// The arguments of `longshore tag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore tag ghcr.io/a/b:v1.2.3 v1.2 v1 latest
  longshore tag oci:backup:v1 docker.io/library/app:v1")]
pub(crate) struct Arguments {
    /// The image or artifact.
    location: Location,
    /// The new tags; in a layout, whole names too.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    if !arguments.location.keeps_tags() {
        let text = arguments.location.to_string();
        let reason = "the tag needs a repository; write docker-archive:FILE:REPOSITORY[:TAG]";
        return Err(ParseError::new("location", &text, reason).into());
    }
    if arguments.location.is_stream() {
        let text = arguments.location.to_string();
        let reason = "a stream cannot be changed; copy it to a target with the new name";
        return Err(ParseError::new("location", &text, reason).into());
    }
    let (tags, names) = tags_and_names(&arguments)?;
    let named = context.named(&arguments.location).await?;
    // Other names than the one in the text are written.
    let target = context.target(&arguments.location.with_entry(None)).await?;
    let selector = match arguments.location.keeps_names() {
        true => named.source.resolve(&named.selector).await?.digest.into(),
        false => named.selector,
    };
    let digest = longshore::put_tags(&*target.store, &selector, &tags).await?.digest;
    for name in names {
        longshore::put_tags(&*target.under(name), &selector, &[Tag::latest()]).await?;
    }
    target.finish().await?;
    let tags = arguments.tags;
    let told: Vec<String> = tags.iter().map(|tag| format!("{tag} points at {digest}")).collect();
    let change = serde_json::json!({ "digest": digest, "tags": tags });
    context.output().changed(told.join("\n"), &change)
}

/// What is a tag, and what is a name of another kind, where such names are kept.
fn tags_and_names(arguments: &Arguments) -> Result<(Vec<Tag>, Vec<&str>)> {
    let (mut tags, mut names) = (Vec::new(), Vec::new());
    for text in &arguments.tags {
        match Tag::parse(text) {
            Ok(tag) => tags.push(tag),
            Err(_) if arguments.location.keeps_names() => {
                let reason = "expected a name such as v1 or team/app:v1";
                layout_listing::check_name(text)
                    .map_err(|_| ParseError::new("name", text, reason))?;
                names.push(text.as_str());
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok((tags, names))
}
