use std::num::NonZeroUsize;

use clap::Args;
use futures_util::TryStreamExt as _;
use longshore::{ListOptions, Pages, ParseError, Result, Tag, layout_listing};

use crate::context::Context;
use crate::location::{Entry, Location};
use crate::selection::Selection;

/// The arguments of `longshore ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ls nginx
  longshore ls oci:dir
  longshore ls ghcr.io/a/b --start v1.9 --limit 10
  longshore ls ghcr.io/a/b --filter '^v[0-9]+$' --references

Names in a layout that are not plain tags are printed whole; use one as oci:dir:team/app:v1.")]
pub(crate) struct Arguments {
    /// The repository, layout or archive.
    location: Location,
    /// Start after this tag.
    #[arg(long, visible_alias = "start", value_name = "TAG")]
    after: Option<String>,
    /// Print whole references instead of tags.
    #[arg(long)]
    references: bool,
    #[command(flatten)]
    selection: Selection,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, after, references, selection } = arguments;
    if references && !location.keeps_tags() {
        let text = location.to_string();
        let reason = "tags belong to a repository; write docker-archive:FILE:REPOSITORY";
        return Err(ParseError::new("location", &text, reason).into());
    }
    if let Some(entries) = context.entries(&location).await? {
        let names = layout_listing::names(&entries).into_keys().map(str::to_owned);
        let names = names.filter(|name| after.as_ref().is_none_or(|after| name > after)).collect();
        let names = selection.of(Pages::of(names));
        return match references {
            false => context.output().list("tags", names).await,
            true => {
                let located = move |name| location.with_entry(Some(Entry::Named(name)));
                context.output().list("references", names.map_ok(located)).await
            }
        };
    }
    let after = after.map(|after| Tag::parse(&after)).transpose()?;
    let tags = listed(context, &location, after, selection.page_size).await?;
    let tags = selection.of(tags);
    match references {
        false => context.output().list("tags", tags).await,
        true => {
            let references = tags.map_ok(move |tag| location.with_tag(&tag));
            context.output().list("references", references).await
        }
    }
}

/// The tags, in pages of the size asked for where they come from a registry.
async fn listed(
    context: &Context,
    location: &Location,
    after: Option<Tag>,
    page_size: Option<NonZeroUsize>,
) -> Result<Pages<Tag>> {
    let Location::Registry(reference) = location else {
        return Ok(context.open(location).await?.tags(after.as_ref()));
    };
    let mut options = ListOptions::default();
    options.after = after;
    options.page_size = page_size;
    Ok(context.client()?.repository(reference.repository()).tags_with(options))
}
