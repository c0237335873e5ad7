//! Writes archives reproducibly, and replaces files atomically.

use std::fs::Metadata;
use std::io::{self, BufWriter, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use longshore_core::blob_file::TempFile;
use longshore_core::{CHUNK_SIZE, Error, ErrorKind, Result};
use tar::{Builder, EntryType, Header};

use crate::compression::error_of;
use crate::file_range::Section;
use crate::spool::STREAM;
use crate::staging::{Staged, Staging};

/// The content of a member to be written.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    Bytes(Bytes),
    /// A section of the existing archive.
    Section(Section),
    Staged(Arc<Staged>),
}

/// The state of a file, used to detect whether another writer has changed the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(Option<(u64, SystemTime)>);

impl Stamp {
    /// Reads the state of a file that may not exist.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for a device or pipe, which must not be replaced
    /// with a file; [`Io`](ErrorKind::Io) if the state cannot be read.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let stamp = |m: Metadata| m.modified().map(|modified| (m.len(), modified));
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() && !metadata.is_dir() => {
                Err(Error::new(ErrorKind::Unsupported)
                    .at(path.display())
                    .detail("expected a regular file, found a device or pipe"))
            }
            Ok(metadata) => stamp(metadata).map(Some).map(Self).map_err(|e| Error::io(path, e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self(None)),
            Err(e) => Err(Error::io(path, e)),
        }
    }

    /// Returns true if there is content to extend. An empty file, such as `mktemp` creates, has no
    /// content.
    pub(crate) fn has_content(self) -> bool {
        self.0.is_some_and(|(length, _)| length > 0)
    }
}

/// The destination of an archive.
pub(crate) enum Output {
    /// A file. Each write replaces the whole file, unless another writer has changed the file.
    File { path: PathBuf, before: Mutex<Stamp> },
    /// A stream to which the archive is written once, from start to end.
    Stream(Mutex<Option<Box<dyn io::Write + Send>>>),
}

impl Output {
    /// Creates the output for a file.
    ///
    /// # Errors
    /// Same as [`Stamp::of`].
    pub(crate) fn file(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
        let before = Mutex::new(Stamp::of(&path)?);
        Ok(Self::File { path, before })
    }

    pub(crate) fn stream(stream: impl io::Write + Send + 'static) -> Self {
        Self::Stream(Mutex::new(Some(Box::new(stream))))
    }

    /// Returns the path, for errors.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File { path, .. } => path,
            Self::Stream(_) => Path::new(STREAM),
        }
    }

    /// Creates the folder for staged blobs. For a file, the folder is beside the file, so that
    /// missing write access is detected early.
    ///
    /// # Errors
    /// Same as [`Staging::beside`].
    pub(crate) fn staging(&self) -> Result<Staging> {
        match self {
            Self::File { path, .. } => Staging::beside(path),
            Self::Stream(_) => Staging::beside(&std::env::temp_dir().join(STREAM)),
        }
    }

    /// Returns the path of the file, if it has content to extend.
    pub(crate) fn extends(&self) -> Option<&Path> {
        match self {
            Self::File { path, before } => {
                let before = *before.lock().unwrap_or_else(PoisonError::into_inner);
                before.has_content().then_some(path.as_path())
            }
            Self::Stream(_) => None,
        }
    }

    /// Writes an archive of these members.
    ///
    /// # Errors
    /// Same as [`replace`]; [`Unsupported`](ErrorKind::Unsupported) if the archive was already
    /// written to a stream.
    pub(crate) fn write(&self, members: &[(String, Part)]) -> Result<()> {
        match self {
            Self::File { path, before } => {
                let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
                replace(path, *before, members)?;
                *before = Stamp::of(path)?;
                Ok(())
            }
            Self::Stream(stream) => {
                let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
                let stream = stream.ok_or_else(|| {
                    Error::new(ErrorKind::Unsupported)
                        .at(STREAM)
                        .detail("the archive was already written to the stream")
                })?;
                write_to(stream, members).map(drop)
            }
        }
    }
}

/// Builds the error for an archive that cannot be extended because it is not read in place.
pub(crate) fn not_extensible(path: &Path) -> Error {
    Error::new(ErrorKind::Unsupported)
        .at(path.display())
        .detail("the existing archive is compressed or a pipe, and cannot be extended")
        .with_hint("Write to another file, or decompress this file first.")
}

/// Writes an archive to a temporary file and renames it, unless the file at the path has changed.
///
/// Members are written in the given order, with mode 0644, owner 0 and time 0.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if another writer changed the file in the meantime;
/// [`Io`](ErrorKind::Io). The existing file stays, unless only the final sync of its folder failed.
fn replace(path: &Path, before: Stamp, members: &[(String, Part)]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    let temp = TempFile::create(folder)?;
    let temp = write_to(temp, members).map_err(|e| e.at(path.display()))?;
    if Stamp::of(path)? != before {
        return Err(Error::new(ErrorKind::Conflict)
            .at(path.display())
            .detail("another program changed the archive in the meantime"));
    }
    temp.publish(path)
}

fn write_to<W: io::Write>(writer: W, members: &[(String, Part)]) -> Result<W> {
    let mut builder = Builder::new(BufWriter::with_capacity(CHUNK_SIZE, writer));
    for (name, part) in members {
        append(&mut builder, name, part)?;
    }
    let mut writer = builder
        .into_inner()
        .and_then(|writer| writer.into_inner().map_err(io::IntoInnerError::into_error))
        .map_err(error_of)?;
    writer.flush().map_err(error_of)?;
    Ok(writer)
}

fn append<W: io::Write>(builder: &mut Builder<W>, name: &str, part: &Part) -> Result<()> {
    let section = match part {
        Part::Bytes(bytes) => {
            return append_content(builder, name, bytes.len() as u64, &bytes[..]);
        }
        Part::Section(section) => section.clone(),
        Part::Staged(staged) => staged.section()?,
    };
    append_content(builder, name, section.size(), section.reader())
}

fn append_content<W: io::Write>(
    builder: &mut Builder<W>,
    name: &str,
    size: u64,
    content: impl Read,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    builder.append_data(&mut header, name, content).map_err(error_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_range::OpenFile;
    use crate::tar_index::Members;

    fn part(content: &'static str) -> Part {
        Part::Bytes(Bytes::from_static(content.as_bytes()))
    }

    #[test]
    fn the_same_members_give_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("blobs/sha512/{}", "0".repeat(128));
        let members = [("a".to_owned(), part("one")), (long.clone(), part("two"))];
        let paths = [folder.path().join("1.tar"), folder.path().join("2.tar")];
        for path in &paths {
            replace(path, Stamp::of(path).unwrap(), &members).unwrap();
        }
        let [one, two] = paths.map(|path| std::fs::read(path).unwrap());
        assert_eq!(one, two);
        let path = folder.path().join("1.tar");
        let file = OpenFile::new(std::fs::File::open(&path).unwrap(), &path);
        let read = Members::index(file).unwrap();
        assert_eq!(read.require(&long).unwrap().bytes(9).unwrap(), "two");
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_refused_as_the_destination() {
        let e = Stamp::of(Path::new("/dev/null")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn a_file_that_another_writer_changed_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.tar");
        let before = Stamp::of(&path).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        let e = replace(&path, before, &[("a".to_owned(), part("ours"))]).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Conflict);
        assert_eq!(std::fs::read(&path).unwrap(), b"theirs");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
