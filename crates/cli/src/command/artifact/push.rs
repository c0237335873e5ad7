use std::path::{Path, PathBuf};

use clap::Args;
use longshore::{
    Annotations, Descriptor, Error, ErrorKind, FolderArchive, Folders, Location, MediaType, Pack,
    ParseError, Result, place_files,
};

use super::{Made, Pair, UNKNOWN_ARTIFACT};
use crate::context::Context;
use crate::defaults;
use crate::transfer;

/// The arguments of `longshore artifact push`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  longshore artifact push ghcr.io/a/notes:v1 notes.txt:text/plain picture.png:image/png
  longshore artifact push oci:notes:v1 notes.txt --artifact-type application/vnd.example.notes
  longshore artifact push ghcr.io/a/b bom.json --subject ghcr.io/a/b:v1
  longshore artifact push ghcr.io/a/site:v1 public/

A folder is stored as an archive that is unpacked on pull, as in ORAS. Its entries are sorted and \
keep their modes, but not their setuid bits, owners and times. Equal folders therefore make equal \
manifests. Symbolic links within the folder stay links. Sockets, pipes, devices and links out of \
the folder are refused.")]
pub(crate) struct Arguments {
    /// The target. The default tag is `latest`; an artifact with --subject has no tag by default.
    #[arg(value_parser = defaults::location)]
    location: Location,
    /// The files and folders, each with its media type after a colon [default:
    /// application/octet-stream for files, application/vnd.oci.image.layer.v1.tar+gzip for
    /// folders].
    #[arg(required = true, value_name = "PATH[:TYPE]")]
    files: Vec<File>,
    /// The artifact's type.
    #[arg(long, value_name = "TYPE", default_value = UNKNOWN_ARTIFACT)]
    artifact_type: MediaType,
    /// Add an annotation to the manifest.
    #[arg(long, value_name = "KEY=VALUE")]
    annotation: Vec<Pair>,
    /// Subject of the artifact: the manifest to which the artifact refers, in the same repository.
    #[arg(long, value_name = "LOCATION", value_parser = defaults::location)]
    subject: Option<Location>,
}

/// A file and its media type.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    path: PathBuf,
    media_type: Option<MediaType>,
}

impl std::str::FromStr for File {
    type Err = ParseError;

    /// Parses the text after the last colon as a media type if it has the form `kind/name`.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let typed = text.rsplit_once(':').filter(|(path, media_type)| {
            let parts: Vec<&str> = media_type.split('/').collect();
            !path.is_empty()
                && matches!(parts[..], [kind, name] if !kind.is_empty() && !name.is_empty())
        });
        match typed {
            Some((path, media_type)) => {
                Ok(Self { path: path.into(), media_type: Some(MediaType::parse(media_type)?) })
            }
            None => Ok(Self { path: text.into(), media_type: None }),
        }
    }
}

pub(super) async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut pack = Pack::artifact(arguments.artifact_type);
    let mut names = std::collections::BTreeSet::new();
    let mut listed = Vec::new();
    // Keeps the archive files until the manifest is pushed.
    let mut archives = Vec::new();
    for file in arguments.files {
        if !names.insert(file.path.file_name().map(ToOwned::to_owned)) {
            return Err(Error::new(ErrorKind::Invalid)
                .at(file.path.display())
                .detail("two files have this name"));
        }
        if !file.path.is_dir() {
            let media_type = file.media_type.unwrap_or(MediaType::OCTET_STREAM);
            listed.push(titled(&file.path, &media_type));
            pack = pack.file_at(&file.path, media_type)?;
            continue;
        }
        let media_type = file.media_type.unwrap_or(MediaType::OCI_LAYER_GZIP);
        let archive = FolderArchive::of(&file.path, media_type).await?;
        listed.push(archive.descriptor().clone());
        pack = pack.layer(archive.descriptor().clone(), archive.body());
        archives.push(archive);
    }
    // Refuse an artifact that a pull would refuse.
    place_files(listed, Folders::Unpacked)?;
    for Pair(key, value) in &arguments.annotation {
        pack = pack.annotation(key, value);
    }
    if let Some(subject) = &arguments.subject {
        let located = context.stores().locate(subject).await?;
        pack = pack.subject(located.source.resolve(&located.selector).await?);
    }
    // What is attached is found by its subject. The default tag belongs to an image.
    let is_named = arguments.location.name().is_some() || arguments.location.digest().is_some();
    let is_untagged = arguments.subject.is_some() && !is_named;
    let tag = match is_untagged {
        true => None,
        false => Some(arguments.location.tag_or(&defaults::tag())?),
    };
    let target = context.create(&arguments.location).await?;
    let packed = pack.push(&*target, tag.as_ref()).await?;
    drop(archives);
    target.finish().await?;
    transfer::report_with_statistics(context, &Made(packed))
}

/// Returns the descriptor of a file without its digest and size, which are not known yet.
fn titled(path: &Path, media_type: &MediaType) -> Descriptor {
    let mut descriptor = Descriptor::from_bytes(media_type.clone(), b"");
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    descriptor.annotations.insert(Annotations::TITLE, name.unwrap_or_default());
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_follows_the_last_colon() {
        for (text, path, media_type) in [
            ("notes.txt", "notes.txt", ""),
            ("notes.txt:text/plain", "notes.txt", "text/plain"),
            ("a/b:c/d.txt:text/plain", "a/b:c/d.txt", "text/plain"),
            ("C:\\x.txt", "C:\\x.txt", ""),
            ("/tmp/12:30.log", "/tmp/12:30.log", ""),
        ] {
            let file: File = text.parse().unwrap();
            let read = file.media_type.as_ref().map(MediaType::as_str);
            let shown = (file.path.to_str().unwrap(), read.unwrap_or_default());
            assert_eq!(shown, (path, media_type), "{text}");
        }
    }
}
