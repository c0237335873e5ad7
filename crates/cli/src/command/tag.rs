use clap::Args;
use longshore::{ImageName, Location, ParseError, Result, Tag};

use crate::context::Context;
use crate::defaults;
use crate::guard::{self, Guard};

/// The arguments of `longshore tag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore tag ghcr.io/a/b:v1.2.3 v1.2 v1 latest
  longshore tag ghcr.io/a/b:v1.2.3 v1.2.3-final --if-absent
  longshore tag oci:backup:v1 docker.io/library/app:v1")]
pub(crate) struct Arguments {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The new tags; a layout also accepts whole names such as team/app:v1.
    #[arg(required = true, value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    guard: Guard,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, tags, guard } = arguments;
    if !location.has_tags() {
        let reason = "the tag needs a repository; write docker-archive:FILE:REPOSITORY[:TAG]";
        return Err(ParseError::new("location", &location.to_string(), reason).into());
    }
    if location.place().is_stream() {
        let reason = "a stream cannot be changed; copy it to a target with the new name";
        return Err(ParseError::new("location", &location.to_string(), reason).into());
    }
    let names = tags.iter().map(|text| name(&location, text)).collect::<Result<Vec<_>>>()?;
    let guard = guard.condition();
    let named = context.stores().put_names(&location, &names, guard.as_ref()).await?;
    let (digest, method) = (named.manifest.digest, named.guard);
    let mut message: Vec<String> =
        tags.iter().map(|tag| format!("{tag} points at {digest}")).collect();
    message.extend(method.map(|method| guard::described(method).to_owned()));
    let mut change = serde_json::json!({ "digest": digest, "tags": tags });
    if let Some(method) = method {
        change["guard"] = serde_json::json!(method);
    }
    context.output().changed(message.join("\n"), &change)
}

/// Parses a new name: a tag, or a whole name if the location supports whole names.
fn name(location: &Location, text: &str) -> Result<ImageName> {
    if location.place().has_entries() {
        return Ok(ImageName::new_entry(text)?);
    }
    Ok(ImageName::Tag(Tag::parse(text)?))
}
