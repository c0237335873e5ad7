use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use longshore::{
    BlobBody, Descriptor, Digest, Error, ErrorKind, EscapedText, Folders, Location, MediaType,
    ParseError, Placed, RawManifest, Result, Source, UnpackLimits, list_files, place_files,
    unpack_folder,
};
use serde::Serialize;

use crate::context::Context;
use crate::defaults;
use crate::output::{self, Report};
use crate::transfer;

/// The arguments of `longshore artifact pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore artifact pull ghcr.io/a/notes:v1
  longshore artifact pull ghcr.io/a/notes:v1 --output notes/
  longshore artifact pull ghcr.io/a/notes:v1 --layer 2 --output picture.png
  longshore artifact pull ghcr.io/a/notes:v1 --layer text/plain --output - | wc
  longshore artifact pull ghcr.io/a/site:v1 --no-unpack

A blob without a title is written to a file named by its digest: sha256-9e89cc6f…. A folder that \
was stored as an archive is unpacked into a folder with its name. Other files in that folder are \
kept. Modes are kept, but setuid bits, owners and times are not. If a title leads out of the \
folder, nothing is written. If an entry or link of an archive leads out of the folder, nothing of \
this archive is written. An archive may unpack to at most 10 GiB. After an interruption, the same \
command continues with the rest of a blob of at least 1 MiB, except for archives to unpack.")]
pub(crate) struct Arguments {
    /// The artifact.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The folder to write to, or the file for a single blob if no such folder exists. `-` writes
    /// the blobs to standard output, one after the other, as stored.
    #[arg(long, short, value_name = "PATH", default_value = ".")]
    output: PathBuf,
    /// Select a blob by its line number in `artifact ls`, or all blobs of a media type.
    #[arg(long, value_name = "NUMBER|TYPE")]
    layer: Vec<Which>,
    /// Write a folder's archive to a file with the folder's name, without unpacking the archive.
    #[arg(long)]
    no_unpack: bool,
}

/// A choice of blobs in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    Number(usize),
    Type(MediaType),
}

impl std::str::FromStr for Which {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.parse() {
            Ok(0) => Err(ParseError::new("layer", text, "numbers start at 1")),
            Ok(number) => Ok(Self::Number(number)),
            Err(_) => MediaType::parse(text).map(Self::Type),
        }
    }
}

impl Which {
    fn is(&self, number: usize, blob: &Descriptor) -> bool {
        match self {
            Self::Number(wanted) => *wanted == number,
            Self::Type(wanted) => *wanted == blob.media_type,
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "layer {number}"),
            Self::Type(media_type) => write!(f, "layer {media_type}"),
        }
    }
}

impl Arguments {
    /// Returns true if the output is a file or folder, so that an interrupted command can continue.
    pub(super) fn can_continue(&self) -> bool {
        output::keeps_partial_files(&self.output)
    }
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let Arguments { location, output, layer, no_unpack } = arguments;
    let located = context.stores().locate(&location).await?;
    let manifest = located.source.manifest(&located.selector).await?;
    let blobs = chosen(&manifest, &layer)?;
    let source = &located.source;
    if output == Path::new("-") {
        for blob in &blobs {
            output::blob(source.blob(blob).await?, Some(&output)).await?;
        }
        return Ok(());
    }
    let files = match &blobs[..] {
        // The file name on the command line takes precedence over the title.
        [blob] if is_file_name(&output) && (no_unpack || !blob.annotations.are_of_a_folder()) => {
            output::file(blob, BlobBody::source(Arc::clone(source)), &output).await?;
            vec![output]
        }
        _ => {
            let folders = if no_unpack { Folders::Kept } else { Folders::Unpacked };
            let files = place_files(blobs, folders).map_err(|e| e.at(manifest.digest()))?;
            let mut written = Vec::new();
            for file in &files {
                written.push(write(source, file, &output).await?);
            }
            written
        }
    };
    transfer::report_with_statistics(context, &Written { digest: manifest.digest().clone(), files })
}

/// Returns the requested blobs in the manifest's order, or all if none was requested.
fn chosen(manifest: &RawManifest, layers: &[Which]) -> Result<Vec<Descriptor>> {
    let blobs = list_files(manifest)?;
    let is = |which: &Which, index: usize, blob: &Descriptor| which.is(index + 1, blob);
    let missing = |which: &&Which| !blobs.iter().enumerate().any(|(n, blob)| is(which, n, blob));
    if let Some(which) = layers.iter().find(missing) {
        return Err(Error::new(ErrorKind::NotFound)
            .at(which)
            .detail(format!("the manifest lists {} blobs", blobs.len()))
            .with_hint("`longshore artifact ls --json` lists the blobs with their types."));
    }
    let wanted = |n, blob: &Descriptor| layers.is_empty() || layers.iter().any(|w| is(w, n, blob));
    Ok(blobs.iter().enumerate().filter(|(n, b)| wanted(*n, b)).map(|(_, b)| b.clone()).collect())
}

/// Returns true if a path names a file: it has no separator at its end and is not a folder.
fn is_file_name(path: &Path) -> bool {
    !path.as_os_str().to_string_lossy().ends_with(std::path::is_separator) && !path.is_dir()
}

async fn write(source: &Arc<dyn Source>, file: &Placed, folder: &Path) -> Result<PathBuf> {
    if !file.folder {
        return file.write(source, folder).await;
    }
    let unpacked = unpack_folder(&**source, file, folder, UnpackLimits::default()).await;
    unpacked.map_err(|e| match e.kind() {
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::Unsupported => {
            e.with_hint("`--no-unpack` writes the archive as stored.")
        }
        _ => e,
    })
}

#[derive(Serialize)]
struct Written {
    digest: Digest,
    files: Vec<PathBuf>,
}

impl Report for Written {
    fn text(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        for file in &self.files {
            writeln!(to, "{}", EscapedText(&file.display().to_string()))?;
        }
        Ok(())
    }
}
