//! Packs a folder into an archive, reproducibly.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Component, Path};

use longshore_core::{
    Algorithm, Annotations, BlobBody, CHUNK_SIZE, Descriptor, Digest, Digester, Error, ErrorKind,
    MediaType, Result, run_blocking,
};
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;

use super::links;
use super::plan::DEPTH_LIMIT;
use crate::compression::{error_of, gzip};

/// The archive of a folder, in a temporary file that is removed when this value is dropped.
#[derive(Debug)]
pub struct FolderArchive {
    file: NamedTempFile,
    descriptor: Descriptor,
}

impl FolderArchive {
    /// Packs a folder into a tar that is compressed with gzip. The title is the folder's name, or
    /// `.` for the current folder. The descriptor has the annotations that ORAS and
    /// [`unpack_folder`](crate::unpack_folder) need to unpack the archive.
    ///
    /// Entries are sorted. Each entry has the file's mode without setuid, setgid and sticky bit,
    /// owner 0, time 0, and no user names. With one version of longshore, the same folder always
    /// gives the same archive. Symbolic links stay links. A file with several hard links is stored
    /// once for each link. Memory use does not grow with the content.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) for entries that readers refuse (sockets, pipes, devices,
    /// links out of the folder, names that are not UTF-8), for a folder without a name, and for a
    /// file that becomes shorter while it is read; [`TooLarge`](ErrorKind::TooLarge) for folders
    /// nested more than 256 deep; [`Io`](ErrorKind::Io).
    pub async fn of(folder: &Path, media_type: MediaType) -> Result<Self> {
        let title = title_of(folder)?;
        let folder = folder.to_owned();
        run_blocking(move || pack(&folder, title, media_type)).await
    }

    /// Returns the archive's descriptor, for a manifest.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Returns the archive's content, which can be read as long as this value exists.
    pub fn body(&self) -> BlobBody {
        BlobBody::file(self.file.path())
    }
}

/// Returns the name of a folder, or `.` for the current folder.
fn title_of(folder: &Path) -> Result<String> {
    if folder.components().all(|part| part == Component::CurDir) {
        return Ok(".".to_owned());
    }
    let name = folder.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| refused(folder, "expected a folder with a name"))
}

fn pack(folder: &Path, title: String, media_type: MediaType) -> Result<FolderArchive> {
    let temporary = |e| Error::io(&std::env::temp_dir(), e);
    let file = NamedTempFile::new().map_err(temporary)?;
    let writer = BufWriter::with_capacity(CHUNK_SIZE, file.reopen().map_err(temporary)?);
    let mut packer = Packer {
        builder: Builder::new(Measured::new(gzip(Measured::new(writer)))),
        prefix: if title == "." { String::new() } else { title.clone() },
        links: BTreeMap::new(),
    };
    let prefix = packer.prefix.clone();
    packer.folder(folder, &prefix, 0)?;
    links::check(&packer.links)?;
    let (gzip, unpacked, _) = packer.builder.into_inner().map_err(error_of)?.finish();
    let (mut writer, digest, size) = gzip.finish().map_err(temporary)?.finish();
    writer.flush().map_err(temporary)?;
    let mut descriptor = Descriptor::new(media_type, digest, size);
    descriptor.annotations = [
        (Annotations::TITLE, title),
        (Annotations::UNPACK, "true".to_owned()),
        (Annotations::UNPACKED_DIGEST, unpacked.to_string()),
    ]
    .into_iter()
    .collect();
    Ok(FolderArchive { file, descriptor })
}

struct Packer<W: Write> {
    builder: Builder<W>,
    /// The prefix of all names.
    prefix: String,
    /// The targets of symbolic links, by the links' paths below the folder.
    links: BTreeMap<String, String>,
}

impl<W: Write> Packer<W> {
    /// Adds a folder and its content. A folder without a name gets no entry.
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) -> Result<()> {
        let at = |e| Error::io(folder, e);
        if depth > DEPTH_LIMIT {
            let clause = format!("folders are nested more than {DEPTH_LIMIT} deep");
            return Err(Error::new(ErrorKind::TooLarge).at(folder.display()).detail(clause));
        }
        if !name.is_empty() {
            let metadata = std::fs::metadata(folder).map_err(at)?;
            let mut header = header(EntryType::Directory, &metadata);
            self.builder.append_data(&mut header, name, io::empty()).map_err(at)?;
        }
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut names: Vec<_> =
            entries.map_err(at)?.iter().map(std::fs::DirEntry::file_name).collect();
        names.sort();
        for below in names {
            let path = folder.join(&below);
            let below = below.to_str().ok_or_else(|| refused(&path, "its name is not UTF-8"))?;
            let name = if name.is_empty() { below.to_owned() } else { format!("{name}/{below}") };
            self.entry(&path, &name, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str, depth: usize) -> Result<()> {
        let at = |e| Error::io(path, e);
        let metadata = std::fs::symlink_metadata(path).map_err(at)?;
        if metadata.is_dir() {
            return self.folder(path, name, depth + 1);
        }
        if metadata.is_file() {
            return self.file(path, name);
        }
        if !metadata.is_symlink() {
            return Err(refused(path, "an artifact cannot contain sockets, pipes or devices"));
        }
        let to = std::fs::read_link(path).map_err(at)?;
        let text = to.to_str().ok_or_else(|| refused(path, "its link target is not UTF-8"))?;
        let mut header = header(EntryType::Symlink, &metadata);
        self.builder.append_link(&mut header, name, &to).map_err(at)?;
        let below = name[self.prefix.len()..].trim_start_matches('/');
        self.links.insert(below.to_owned(), text.to_owned());
        Ok(())
    }

    fn file(&mut self, path: &Path, name: &str) -> Result<()> {
        let at = |e| Error::io(path, e);
        let file = longshore_core::blob_file::open(path)?;
        let metadata = file.metadata().map_err(at)?;
        let mut header = header(EntryType::Regular, &metadata);
        header.set_size(metadata.len());
        let mut content = file.take(metadata.len());
        self.builder.append_data(&mut header, name, &mut content).map_err(at)?;
        let after = content.get_ref().metadata().map_err(at)?;
        let is_same =
            after.len() == metadata.len() && after.modified().ok() == metadata.modified().ok();
        if content.limit() > 0 || !is_same {
            return Err(refused(path, "the file changed while it was read"));
        }
        Ok(())
    }
}

fn header(kind: EntryType, metadata: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode(metadata, kind));
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

#[cfg(unix)]
fn mode(metadata: &Metadata, _: EntryType) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata, kind: EntryType) -> u32 {
    if kind == EntryType::Directory { 0o755 } else { 0o644 }
}

fn refused(path: &Path, clause: &'static str) -> Error {
    Error::new(ErrorKind::Invalid).at(path.display()).detail(clause)
}

/// A writer that computes the digest and the size of everything written to it.
struct Measured<W> {
    inner: W,
    digester: Digester,
    size: u64,
}

impl<W> Measured<W> {
    fn new(inner: W) -> Self {
        Self { inner, digester: Algorithm::Sha256.digester(), size: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, self.digester.finish(), self.size)
    }
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.digester.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
