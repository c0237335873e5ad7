mod long;

use std::fmt;
use std::num::NonZeroUsize;

use clap::{Args, ValueEnum};
use futures_util::{Stream, TryStreamExt as _, stream};
use longshore::{ImageName, ListOptions, Location, Pages, ParseError, Result, Tag};

use self::long::Answer;
use crate::context::Context;
use crate::selection::Selection;
use crate::{defaults, version_order};

/// The arguments of `longshore ls`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore ls nginx
  longshore ls oci:dir
  longshore ls ghcr.io/a/b --start v1.9 --limit 10
  longshore ls ghcr.io/a/b --filter '^v[0-9]+$' --references
  longshore ls ghcr.io/a/b --long --sort created

--long reads the manifest of each tag, and the configuration of each image. The size is that of the \
layers as stored. For an index, the size and the creation time are those of the image for this \
machine, or else of its first image.

Without --sort, tags are in the order of the registry. With --long, they are in the order of \
versions (v1.9 before v1.10) if all of them look like versions. --limit counts in the order of the \
registry.

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
    /// Show digest, size, creation time and platforms of each tag.
    #[arg(long, short)]
    long: bool,
    /// Sort the tags.
    #[arg(long, value_name = "ORDER")]
    sort: Option<Sort>,
    #[command(flatten)]
    selection: Selection,
}

/// The order of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By text.
    Name,
    /// By version: v1.9 before v1.10, and 2.0-rc1 before 2.0.
    Version,
    /// By the creation time of the image, oldest first.
    Created,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, after, references, long, sort, selection } = arguments;
    if references && !location.has_tags() {
        let reason = "tags belong to a repository; write docker-archive:FILE:REPOSITORY";
        return Err(ParseError::new("location", &location.to_string(), reason).into());
    }
    let show = Show { references, long, sort };
    if location.place().has_entries() {
        let names = selection.of(entries(context, &location, after).await?);
        show.print(context, names, |name| location.with_name(Some(name))).await
    } else {
        let tags = tags(context, &location, after, selection.page_size).await?;
        show.print(context, selection.of(tags), |tag| location.with_tag(&tag)).await
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

/// What to print of each tag, and in which order.
struct Show {
    references: bool,
    long: bool,
    sort: Option<Sort>,
}

impl Show {
    async fn print<T: fmt::Display + Clone + Send>(
        self,
        context: &Context,
        names: impl Stream<Item = Result<T>> + Send + Unpin,
        reference: impl Fn(T) -> Location + Send + Sync,
    ) -> Result<()> {
        let shown = |name: T| match self.references {
            true => reference(name).to_string(),
            false => name.to_string(),
        };
        let key = if self.references { "references" } else { "tags" };
        if !self.long && self.sort.is_none() {
            return context.output().list(key, names.map_ok(shown)).await;
        }
        let names: Vec<T> = names.try_collect().await?;
        if self.long || self.sort == Some(Sort::Created) {
            let names = names.into_iter().map(|name| (shown(name.clone()), reference(name)));
            let mut answer = Answer::read(context, names.collect()).await;
            answer.sort(self.sort);
            match self.long {
                true => context.output().report(&answer)?,
                false => context.output().list(key, stream::iter(answer.tags().map(Ok))).await?,
            }
            return answer.verdict();
        }
        let mut names: Vec<String> = names.into_iter().map(shown).collect();
        match self.sort {
            Some(Sort::Version) => names.sort_by(|a, b| version_order::compare(a, b)),
            _ => names.sort(),
        }
        context.output().list(key, stream::iter(names.into_iter().map(Ok))).await
    }
}
