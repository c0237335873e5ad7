use clap::Args;
use futures_util::TryStreamExt as _;
use longshore::{ListOptions, Pages, ParseError, Result, Tag};

use crate::context::Context;
use crate::location::Location;
use crate::selection::Selection;

/// The arguments of `longshore ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ls nginx
  longshore ls oci:dir
  longshore ls ghcr.io/a/b --start v1.9 --limit 10
  longshore ls ghcr.io/a/b --filter '^v[0-9]+$' --references")]
pub(crate) struct Arguments {
    /// The repository, layout or archive.
    location: Location,
    /// Begin after this tag.
    #[arg(long, visible_alias = "start", value_name = "TAG")]
    after: Option<Tag>,
    /// Print whole references in place of tags.
    #[arg(long)]
    references: bool,
    #[command(flatten)]
    selection: Selection,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, after, references, selection } = arguments;
    if references && !location.keeps_tags() {
        let text = location.to_string();
        let reason = "tags are parts of names there; say docker-archive:FILE:REPOSITORY";
        return Err(ParseError::new("location", &text, reason).into());
    }
    let tags = listed(context, &location, after, &selection).await?;
    let tags = selection.of(tags);
    match references {
        false => context.output().list("tags", tags).await,
        true => {
            let references = tags.map_ok(move |tag| location.with_tag(tag));
            context.output().list("references", references).await
        }
    }
}

/// The tags, in pages of the size asked for where they come from a registry.
async fn listed(
    context: &Context,
    location: &Location,
    after: Option<Tag>,
    selection: &Selection,
) -> Result<Pages<Tag>> {
    let Location::Registry(reference) = location else {
        return Ok(context.open(location).await?.tags(after.as_ref()));
    };
    let mut options = ListOptions::default();
    options.after = after;
    options.page_size = selection.page_size;
    Ok(context.client()?.repository(reference.repository()).tags_with(options))
}
