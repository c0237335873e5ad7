use std::fmt;
use std::num::NonZeroUsize;

use clap::Args;
use futures_util::{Stream, TryStreamExt as _};
use longshore::{ImageName, ListOptions, Location, Pages, ParseError, Result, Tag};

use crate::context::Context;
use crate::defaults;
use crate::selection::Selection;

/// The arguments of `longshore ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ls nginx
  longshore ls oci:dir
  longshore ls ghcr.io/a/b --start v1.9 --limit 10
  longshore ls ghcr.io/a/b --filter '^v[0-9]+$' --references

A layout can contain names that are not plain tags, such as team/app:v1. They are printed in \
full. The location of this image is oci:dir:team/app:v1.")]
pub(crate) struct Arguments {
    /// The repository, layout or archive.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Start after this tag.
    #[arg(long, visible_alias = "start", value_name = "TAG")]
    after: Option<String>,
    /// Print full references instead of tags.
    #[arg(long)]
    references: bool,
    #[command(flatten)]
    selection: Selection,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, after, references, selection } = arguments;
    if references && !location.has_tags() {
        let reason = "tags belong to a repository; write docker-archive:FILE:REPOSITORY";
        return Err(ParseError::new("location", &location.to_string(), reason).into());
    }
    if location.place().has_entries() {
        let names = selection.of(entries(context, &location, after).await?);
        print(context, names, references, |name| location.with_name(Some(name))).await
    } else {
        let tags = tags(context, &location, after, selection.page_size).await?;
        let tags = selection.of(tags);
        print(context, tags, references, |tag| location.with_tag(&tag)).await
    }
}

/// Lists the names in a layout after `after`.
async fn entries(
    context: &Context,
    location: &Location,
    after: Option<String>,
) -> Result<Pages<ImageName>> {
    let names = context.stores().names(location).await?.into_iter().map(|image| image.name);
    let is_after = |name: &ImageName| after.as_ref().is_none_or(|a| name.to_string() > *a);
    Ok(Pages::from_items(names.filter(is_after).collect()))
}

/// Lists the tags after `after`. The page size applies only to registries.
async fn tags(
    context: &Context,
    location: &Location,
    after: Option<String>,
    page_size: Option<NonZeroUsize>,
) -> Result<Pages<Tag>> {
    let after = after.map(|after| Tag::parse(&after)).transpose()?;
    Ok(match location.place().repository() {
        None => context.stores().open(location).await?.tags(after.as_ref()),
        Some(repository) => {
            let mut options = ListOptions::default();
            options.after = after;
            options.page_size = page_size;
            context.client()?.repository(repository).tags_with(options)
        }
    })
}

async fn print<T: fmt::Display>(
    context: &Context,
    names: impl Stream<Item = Result<T>> + Unpin,
    references: bool,
    reference: impl Fn(T) -> Location,
) -> Result<()> {
    match references {
        true => context.output().list("references", names.map_ok(reference)).await,
        false => context.output().list("tags", names).await,
    }
}
