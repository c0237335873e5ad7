//! Commands for registries that support only the v1 API. This module has the commands for
//! registries and repositories, and `image` has the commands for images.

mod image;
mod place;

use std::fmt;

use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use longshore::{Error, ErrorKind, EscapedText, RegistryName, Result};
use longshore_legacy::v1::{Access, Found, ImageId, Registry, Tagged};
use serde::Serialize;

use self::place::{Asking, Place};
use crate::context::Context;
use crate::message::{self, confirm};
use crate::output::{self, Report};

/// The subcommands of `longshore v1`.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A repository is REGISTRY/[NAMESPACE/]NAME; the default namespace is `library`. An image is \
REPOSITORY[:TAG], or REGISTRY or REPOSITORY with --id.")]
pub(crate) enum Command {
    /// Check that a registry answers.
    Ping(Ping),
    /// Search the repositories of a registry.
    Search(Search),
    /// List the tags of a repository and their images.
    #[command(after_help = "\
Example:
  longshore v1 tags old.example:5000/library/busybox")]
    Tags(InRepository),
    /// Print the image id of a tag.
    #[command(after_help = "\
Example:
  longshore v1 id old.example:5000/busybox:latest")]
    Id(InRepository),
    /// Print the registry's data about a tag, as JSON.
    #[command(after_help = "\
Example:
  longshore v1 tag-json old.example:5000/busybox:latest")]
    TagJson(InRepository),
    /// List the images that an index records for a repository.
    #[command(after_help = "\
Example:
  longshore v1 images index.example/team/app --index")]
    Images(InRepository),
    /// Print an image's JSON, or one field of it.
    Json(image::Json),
    /// List an image and its ancestors.
    Ancestry(image::Chosen),
    /// Write an image's layer to standard output or a file.
    Layer(image::Layer),
    /// Point a tag at an image.
    Tag(SetTag),
    /// Remove a tag, but keep the image.
    #[command(after_help = "\
Example:
  longshore v1 untag old.example:5000/busybox:v1")]
    Untag(InRepository),
    /// Remove a repository with all of its tags.
    Rm(Remove),
    /// Upload an image: its JSON, its layer, and the checksum of both.
    Push(image::Push),
    /// Upload only an image's JSON.
    PushJson(image::PushJson),
    /// Upload an image's layer, after its JSON.
    PushLayer(image::PushLayer),
}

/// The arguments of `longshore v1 ping`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore v1 ping old.example:5000")]
pub(crate) struct Ping {
    /// The registry.
    registry: RegistryName,
}

/// The arguments of `longshore v1 search`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore v1 search old.example:5000
  longshore v1 search docker.io busybox --limit 5")]
pub(crate) struct Search {
    /// The registry.
    registry: RegistryName,
    /// The words to search for [default: list all repositories].
    #[arg(default_value = "")]
    words: String,
    /// Print at most N repositories.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// A repository, or a tag in it.
#[derive(Debug, Args)]
pub(crate) struct InRepository {
    /// The repository, with a tag for commands that concern a single tag.
    #[arg(value_name = "REPOSITORY[:TAG]")]
    place: Place,
    #[command(flatten)]
    asking: Asking,
}

/// The arguments of `longshore v1 tag`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore v1 tag old.example:5000/busybox:v2 9e89cc6f…")]
pub(crate) struct SetTag {
    /// The tag to set.
    #[arg(value_name = "REPOSITORY:TAG")]
    place: Place,
    /// The image.
    id: ImageId,
    #[command(flatten)]
    asking: Asking,
}

/// The arguments of `longshore v1 rm`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore v1 rm old.example:5000/library/busybox --yes")]
pub(crate) struct Remove {
    /// The repository.
    #[arg(value_name = "REPOSITORY")]
    place: Place,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    asking: Asking,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Ping(ping) => self::ping(context, &ping).await,
        Command::Search(search) => self::search(context, &search).await,
        Command::Tags(tags) => self::tags(context, &tags).await,
        Command::Id(id) => {
            let repository = id.place.repository(context, &id.asking, Access::Read).await?;
            output::line(repository.tag(&id.place.tag()).await?)
        }
        Command::TagJson(tag) => {
            let repository = tag.place.repository(context, &tag.asking, Access::Read).await?;
            let known = repository.tag_json(&tag.place.tag()).await?;
            output::bytes(format!("{known}\n").as_bytes())
        }
        Command::Images(images) => {
            images.place.expect_no_tag()?;
            let asked = images.place.repository(context, &images.asking, Access::Read).await?;
            let ids = asked.images().await?.into_iter().map(|listed| Ok(listed.id));
            context.output().list("images", futures_util::stream::iter(ids)).await
        }
        Command::Json(json) => image::json(context, &json).await,
        Command::Ancestry(ancestry) => image::ancestry(context, &ancestry).await,
        Command::Layer(layer) => image::layer(context, &layer).await,
        Command::Tag(set) => set_tag(context, &set).await,
        Command::Untag(untag) => self::untag(context, &untag).await,
        Command::Rm(remove) => self::remove(context, &remove).await,
        Command::Push(push) => image::push(context, push).await,
        Command::PushJson(push) => image::push_json(context, push).await,
        Command::PushLayer(push) => image::push_layer(context, push).await,
    }
}

async fn ping(context: &Context, ping: &Ping) -> Result<()> {
    let answer = Registry::new(context.client()?, &ping.registry).ping().await?;
    context.output().report(&Answer { version: answer.version, standalone: answer.standalone })
}

async fn search(context: &Context, search: &Search) -> Result<()> {
    let found = Registry::new(context.client()?, &search.registry).search(&search.words).items();
    let found = found.take(search.limit.unwrap_or(usize::MAX));
    let all: Vec<Result<Found>> = found.collect().await;
    let results = all.into_iter().collect::<Result<_>>()?;
    context.output().report(&Results { results })
}

async fn tags(context: &Context, tags: &InRepository) -> Result<()> {
    tags.place.expect_no_tag()?;
    let repository = tags.place.repository(context, &tags.asking, Access::Read).await?;
    context.output().report(&Tags { tags: repository.tags().await? })
}

async fn set_tag(context: &Context, set: &SetTag) -> Result<()> {
    let tag = set.place.explicit_tag()?;
    let repository = set.place.repository(context, &set.asking, Access::Write).await?;
    repository.set_tag(&tag, &set.id).await?;
    let change = serde_json::json!({ "tag": tag, "id": set.id });
    context.output().changed(format_args!("{tag} points at {}", set.id), &change)
}

async fn untag(context: &Context, untag: &InRepository) -> Result<()> {
    let tag = untag.place.explicit_tag()?;
    let repository = untag.place.repository(context, &untag.asking, Access::Write).await?;
    repository.delete_tag(&tag).await?;
    let change = serde_json::json!({ "tag": tag });
    context.output().changed(format_args!("removed the tag {tag}"), &change)
}

async fn remove(context: &Context, remove: &Remove) -> Result<()> {
    remove.place.expect_no_tag()?;
    let repository = remove.place.repository(context, &remove.asking, Access::Write).await?;
    for tagged in repository.tags().await? {
        message::say(format_args!("also removes: {}", tagged.tag));
    }
    if !remove.yes && !confirm(&format!("Remove {repository}?")).await {
        return Err(Error::new(ErrorKind::Canceled)
            .at(&repository)
            .detail("nothing was removed")
            .with_hint("Answer y, or pass --yes."));
    }
    repository.delete().await?;
    let change = serde_json::json!({ "repository": repository.to_string() });
    context.output().changed(format_args!("removed {repository}"), &change)
}

#[derive(Serialize)]
struct Answer {
    version: Option<String>,
    standalone: bool,
}

impl Report for Answer {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let version = self.version.as_deref().unwrap_or("no version stated");
        let kind = if self.standalone { "standalone" } else { "behind an index" };
        writeln!(to, "answers ({}), {kind}", EscapedText(version))
    }
}

#[derive(Serialize)]
struct Results {
    results: Vec<Found>,
}

impl Report for Results {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for found in &self.results {
            let description = found.description.as_deref().unwrap_or_default();
            let line =
                format!("{}  {}", EscapedText(&found.name), EscapedText(description).at_most(100));
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Tags {
    tags: Vec<Tagged>,
}

impl Report for Tags {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for tagged in &self.tags {
            match &tagged.id {
                Some(id) => writeln!(to, "{}  {id}", tagged.tag)?,
                None => writeln!(to, "{}", tagged.tag)?,
            }
        }
        Ok(())
    }
}
