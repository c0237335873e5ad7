#[cfg(feature = "legacy")]
mod sign;
#[cfg(feature = "legacy")]
mod verify;

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use longshore::{
    BlobReader, BlobStream, Descriptor, Error, ErrorKind, EscapedText, GuardMethod, Location,
    MANIFEST_LIMIT, MediaType, ParseError, Platform, RawManifest, Result, TargetExt as _,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::guard::{self, Guard};
use crate::input;
use crate::message;
use crate::output::{self, Report};

/// The subcommands of `longshore manifest`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a manifest's exact bytes.
    Get(Get),
    /// Write a manifest's exact bytes; the content listed in the manifest must exist.
    Put(Put),
    /// Validate a manifest file against its specification.
    Check(Check),
    /// Sign a Docker schema 1 manifest and print it.
    #[cfg(feature = "legacy")]
    Sign(sign::Arguments),
    /// Check the signatures of a Docker schema 1 manifest.
    #[cfg(feature = "legacy")]
    Verify(verify::Arguments),
}

/// The arguments of `longshore manifest get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore manifest get nginx:1.27
  longshore manifest get nginx:1.27 --platform linux/arm64 | jq .layers
  longshore manifest get nginx:1.27 -o manifest.json
  longshore manifest get nginx:1.27 \\
    --accept application/vnd.docker.distribution.manifest.list.v2+json
  longshore manifest get nginx:1.27 --platform local --field .config.digest")]
pub(crate) struct Get {
    /// The image or artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// Select this platform of a multi-platform image.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
    /// Accept only this media type; repeat the option for several.
    #[arg(long, value_name = "TYPE", conflicts_with = "platform")]
    accept: Vec<MediaType>,
    /// Write the manifest to this file once it is complete; `-` is standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print only this field: a path (.layers[0].digest) or a JSON Pointer (/layers/0/digest).
    #[arg(long, value_name = "FIELD", conflicts_with = "output")]
    field: Option<String>,
}

/// The arguments of `longshore manifest check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore manifest check manifest.json
  longshore manifest get nginx:1.27 | longshore manifest check -

The command prints one problem per line, and exits with code 1 if there are problems. It contacts \
no registry and does not check whether the listed content exists.")]
pub(crate) struct Check {
    /// The manifest file; `-` for standard input.
    file: PathBuf,
    /// The manifest's media type, if the file does not state one.
    #[arg(long, value_name = "TYPE")]
    media_type: Option<MediaType>,
}

/// The arguments of `longshore manifest put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore manifest get a.example/x:v1 | longshore manifest put a.example/x:v2 -")]
pub(crate) struct Put {
    /// The location for the manifest, with a tag or with the digest of the manifest's bytes.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The manifest file; `-` for standard input.
    file: PathBuf,
    /// The manifest's media type, if the file does not state one.
    #[arg(long, value_name = "TYPE")]
    media_type: Option<MediaType>,
    #[command(flatten)]
    guard: Guard,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(get) => self::get(context, get).await,
        Command::Put(put) => self::put(context, put).await,
        Command::Check(check) => self::check(context, check).await,
        #[cfg(feature = "legacy")]
        Command::Sign(arguments) => sign::run(context, arguments).await,
        #[cfg(feature = "legacy")]
        Command::Verify(arguments) => verify::run(context, arguments).await,
    }
}

async fn get(context: &Context, get: Get) -> Result<()> {
    let located = context.stores().locate(&get.location).await?;
    let manifest = match (get.location.place().repository(), &get.platform) {
        (_, Some(platform)) => located.image(Some(platform)).await?,
        (None, None) => in_form(located.source.manifest(&located.selector).await?, &get)?,
        (Some(repository), None) => {
            let repository = context.client()?.repository(repository);
            repository.manifest_as(&located.selector, &get.accept).await?
        }
    };
    match (&get.output, &get.field) {
        (_, Some(field)) => context.output().field(manifest.bytes(), field),
        (None, None) => output::bytes(manifest.bytes()),
        (to, None) => {
            let whole = futures_util::stream::iter([Ok(manifest.bytes().clone())]);
            let reader =
                BlobReader::new(manifest.by_bytes().descriptor().clone(), BlobStream::new(whole))?;
            output::blob(reader, to.as_deref()).await
        }
    }
}

/// Checks that a manifest from a layout or archive has an accepted media type. Only registries can
/// offer a manifest in several media types.
fn in_form(manifest: RawManifest, get: &Get) -> Result<RawManifest> {
    if get.accept.is_empty() || get.accept.contains(manifest.media_type()) {
        return Ok(manifest);
    }
    Err(Error::new(ErrorKind::Unsupported)
        .at(&get.location)
        .detail(format!("the manifest exists only as {}", manifest.media_type())))
}

async fn check(context: &Context, check: Check) -> Result<()> {
    let bytes = input::read(check.file, MANIFEST_LIMIT).await?;
    let manifest = RawManifest::from_bytes(bytes, check.media_type)?;
    let checked =
        Checked { descriptor: manifest.descriptor().clone(), problems: manifest.problems() };
    context.output().report(&checked)?;
    match checked.problems.len() {
        0 => Ok(()),
        n => Err(Error::new(ErrorKind::Invalid)
            .at(checked.descriptor.digest)
            .detail(format!("problems found: {n}"))),
    }
}

/// The descriptor and the problems of a manifest.
#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    descriptor: Descriptor,
    problems: Vec<String>,
}

impl Report for Checked {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let Descriptor { media_type, digest, size, .. } = &self.descriptor;
        message::say(format_args!("{digest}: {size} bytes of {media_type}"));
        self.problems.iter().try_for_each(|problem| writeln!(to, "{}", EscapedText(problem)))
    }
}

async fn put(context: &Context, put: Put) -> Result<()> {
    let bytes = input::read(put.file, MANIFEST_LIMIT).await?;
    let manifest = match put.location.digest() {
        Some(digest) => RawManifest::new(bytes, put.media_type, digest.clone())?,
        None => RawManifest::from_bytes(bytes, put.media_type)?,
    };
    manifest.check_unambiguous()?;
    let tag = match (put.location.tag(), put.location.digest(), put.location.place().repository()) {
        (None, None, Some(_)) => Some(defaults::tag()),
        (tag, ..) => tag,
    };
    let guard = put.guard.condition();
    let target = context.create(&put.location).await?;
    let guard = match (&tag, &guard) {
        (Some(tag), guard) => target.push_tagged(&manifest, tag, guard.as_ref()).await?,
        (None, None) => target.push_manifest(&manifest, None).await.map(|()| None)?,
        (None, Some(_)) => {
            let reason = "a condition on a tag needs a location with a tag";
            return Err(ParseError::new("location", &put.location.to_string(), reason).into());
        }
    };
    target.finish().await?;
    context.output().report(&Written { descriptor: manifest.descriptor().clone(), guard })
}

#[derive(Serialize)]
struct Written {
    #[serde(flatten)]
    descriptor: Descriptor,
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<GuardMethod>,
}

impl Report for Written {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        let Descriptor { media_type, digest, size, .. } = &self.descriptor;
        message::say(format_args!("wrote {size} bytes as {media_type}"));
        if let Some(method) = self.guard {
            message::say(guard::described(method));
        }
        writeln!(to, "{digest}")
    }
}
