use clap::Args;
use longshore::{
    Error, ErrorKind, ImageName, Location, ParseError, Reference, Repository, RepositoryName,
    Result,
};

use crate::context::Context;
use crate::defaults;
use crate::transfer::{self, Options};

/// The arguments of `longshore push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore push oci:nginx ghcr.io/a/nginx:1.27
  longshore push docker-archive:nginx.tar localhost:5000/nginx:1.27
  docker save nginx:1.27 | longshore push docker-archive:- localhost:5000/nginx
  longshore push docker-archive:both.tar:alpine:3 localhost:5000/alpine
  longshore push docker-archive:both.tar:@0 localhost:5000/first:v1
  longshore push docker-archive:both.tar localhost:5000/mirror --all-images
  longshore push oci:backup ghcr.io/a/b --all-tags

With --all-images, every named image of a docker-archive is pushed below the repository, under \
its own name and tag: docker.io/library/nginx:1.27 becomes \
localhost:5000/mirror/library/nginx:1.27.")]
pub(crate) struct Arguments {
    /// The layout or archive.
    #[arg(value_parser = defaults::location)]
    source: Location,
    /// The repository to push to. If it has no tag, the source's tag is used.
    #[arg(value_parser = defaults::reference)]
    reference: Reference,
    /// Push every named image of a docker-archive, each under its own name below the repository.
    #[arg(long, conflicts_with_all = ["all_tags", "platform"])]
    all_images: bool,
    #[command(flatten)]
    options: Options,
}

pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    if arguments.source.place().repository().is_some() {
        let text = arguments.source.to_string();
        let reason = "expected oci:DIR, oci-archive:FILE or docker-archive:FILE; \
                      between registries, use `longshore copy`";
        return Err(ParseError::new("local location", &text, reason).into());
    }
    if arguments.all_images {
        return all_images(context, arguments).await;
    }
    let target: Location = arguments.reference.into();
    let shown = target.to_string();
    let options = &arguments.options;
    let transfers = [options.transfer(arguments.source, target)];
    transfer::run(context, options, &transfers, shown).await
}

async fn all_images(context: &Context, arguments: Arguments) -> Result<()> {
    let source = &arguments.source;
    if !source.takes_many() {
        let reason = "expected docker-archive:FILE with --all-images";
        return Err(ParseError::new("location", &source.to_string(), reason).into());
    }
    if arguments.reference.tag().is_some() || arguments.reference.digest().is_some() {
        let text = arguments.reference.to_string();
        let reason = "expected no tag or digest: with --all-images, every image keeps its own tag";
        return Err(ParseError::new("repository", &text, reason).into());
    }
    let names = context.stores().references(source).await?;
    if names.is_empty() {
        return Err(Error::new(ErrorKind::NotFound)
            .at(source)
            .detail("no image in the archive has a name")
            .with_hint("Push an image by its position: docker-archive:FILE:@0."));
    }
    let mut transfers = Vec::new();
    for name in names {
        let target = below(arguments.reference.repository(), &name)?.into();
        let image = source.with_name(Some(ImageName::Reference(name)));
        transfers.push(arguments.options.transfer(image, target));
    }
    transfer::run(context, &arguments.options, &transfers, arguments.reference.to_string()).await
}

/// Returns the reference with the same name and tag below a repository.
fn below(prefix: &Repository, name: &Reference) -> Result<Reference, ParseError> {
    let path = format!("{}/{}", prefix.name(), name.name());
    let repository = Repository::new(prefix.registry().clone(), RepositoryName::parse(&path)?);
    let reference = Reference::new(repository);
    Ok(match name.tag() {
        Some(tag) => reference.with_tag(tag.clone()),
        None => reference,
    })
}
