use std::fmt;
use std::path::PathBuf;

use bytes::Bytes;
use clap::{Args, Subcommand};
use longshore::{
    Descriptor, Error, ErrorKind, MANIFEST_LIMIT, MediaType, Platform, RawManifest, Result,
    blob_file,
};
use serde::Serialize;

use crate::context::Context;
use crate::location::Location;
use crate::output::{self, Report};

/// The commands below `longshore manifest`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a manifest's exact bytes.
    Get(Get),
    /// Write a manifest's exact bytes; what it lists must be there.
    Put(Put),
}

/// The arguments of `longshore manifest get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore manifest get nginx:1.27
  longshore manifest get nginx:1.27 --platform linux/arm64 | jq .layers")]
pub(crate) struct Get {
    /// The image or artifact.
    location: Location,
    /// Of an index, the manifest of the image for this platform.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    platform: Option<Platform>,
}

/// The arguments of `longshore manifest put`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  longshore manifest get a.example/x:v1 | longshore manifest put a.example/x:v2 -")]
pub(crate) struct Put {
    /// Where to: a tag, or the digest that the bytes have.
    location: Location,
    /// The file that holds the manifest; `-` for standard input.
    file: PathBuf,
    /// What the manifest is, where it does not say so itself.
    #[arg(long, value_name = "TYPE")]
    media_type: Option<MediaType>,
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(get) => {
            let named = context.named(&get.location).await?;
            let manifest = match &get.platform {
                None => named.source.manifest(&named.selector).await?,
                platform => named.image(platform.as_ref()).await?,
            };
            output::bytes(manifest.bytes())
        }
        Command::Put(put) => self::put(context, put).await,
    }
}

async fn put(context: &Context, put: Put) -> Result<()> {
    let file = put.file;
    let bytes = blob_file::run(move || read(&file)).await?;
    let manifest = match put.location.digest() {
        Some(digest) => RawManifest::new(bytes, put.media_type, digest)?,
        None => RawManifest::of(bytes, put.media_type)?,
    };
    let tag = match put.location.digest() {
        Some(_) => put.location.tag(),
        None => put.location.selector().and_then(|selector| selector.tag().cloned()),
    };
    let target = context.target(&put.location).await?;
    target.store.push_manifest(&manifest, tag.as_ref()).await?;
    target.finish().await?;
    context.output().report(&Written(manifest.descriptor().clone()))
}

fn read(file: &std::path::Path) -> Result<Bytes> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    let limit = MANIFEST_LIMIT as u64 + 1;
    let read = if file == std::path::Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| Error::io(file, e))?;
    if bytes.len() > MANIFEST_LIMIT {
        return Err(Error::new(ErrorKind::TooLarge)
            .at(file.display())
            .detail(format!("a manifest has at most {MANIFEST_LIMIT} bytes")));
    }
    Ok(bytes.into())
}

#[derive(Serialize)]
struct Written(Descriptor);

impl Report for Written {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        output::say(format_args!("wrote {} bytes as {}", self.0.size, self.0.media_type));
        writeln!(to, "{}", self.0.digest)
    }
}
