//! Writes files atomically: content is written to a temporary file, which is synced and then
//! renamed.
//!
//! Layouts and the registry create their files with this module, except locks, links and unfinished
//! uploads. A file is complete under its final name, even after `kill -9` and power loss. The
//! exception is [`LockedFile`], which its owner changes in place. A lock shows whether the writer of
//! a temporary file is alive. Async functions read and write content on blocking threads.

mod abandoned;
mod claim;
mod locked_file;
mod partial;
mod spooled;
mod temp_file;
mod temp_folder;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use tokio::sync::mpsc;

pub(crate) use self::abandoned::remove_file as remove_abandoned;
pub(crate) use self::claim::is_at;
pub use self::locked_file::LockedFile;
use self::partial::PartialBlob;
pub use self::spooled::Spooled;
pub use self::temp_file::TempFile;
pub use self::temp_folder::TempFolder;
use crate::blob::{BlobBody, BlobStream, CHUNK_SIZE};
use crate::descriptor::Descriptor;
use crate::digest::{Algorithm, Digest, Verifier};
use crate::error::{Error, ErrorKind, Result};
use crate::media_type::MediaType;
use crate::run_blocking::run_blocking;

/// Writes a blob to `path`. The file appears only when the blob is complete, verified and synced.
///
/// The name is durable once the folder is synced with [`sync_folder`]. A caller that writes many
/// blobs, and then a document that refers to them, needs to sync the folder only once.
///
/// Replaces an existing file at `path`. Until the blob is complete, its bytes are in a file with a
/// random name and mode 0600 in the same folder.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path, or the errors of the reader; nothing is left behind.
///
/// # Cancellation
/// Dropping the future removes the written bytes.
pub async fn write(
    path: &Path,
    reader: impl Stream<Item = Result<Bytes>> + Send + Unpin,
) -> Result<()> {
    let folder = parent(path)?.to_owned();
    let temp = run_blocking(move || TempFile::create(&folder)).await?;
    write_chunks(temp.handle()?, path, reader).await?;
    let path = path.to_owned();
    run_blocking(move || temp.name(&path)).await
}

/// Writes a blob to `path`, as [`write`](fn@write) does, but continues where an earlier writer of the
/// blob in the same folder stopped, even one that ended by `kill -9`.
///
/// The first bytes of a blob of at least 1 MiB are kept in the file `.partial-<algorithm>-<encoded>`
/// in the folder of `path`, until a later call completes the blob and renames this file. A call
/// requests only the rest of the blob. While another writer uses the file, and on Windows, nothing
/// is kept. The same applies to a body that can be read only once.
///
/// # Errors
/// Same as [`write`](fn@write), but the bytes stay, unless they do not match the descriptor.
///
/// # Cancellation
/// Dropping the future keeps the written bytes.
pub async fn write_beside(path: &Path, descriptor: &Descriptor, mut body: BlobBody) -> Result<()> {
    write_resumably(path, parent(path)?, descriptor, &mut body).await
}

/// Same as [`write_beside`], but keeps the first bytes in `folder`, which may be on another file
/// system.
///
/// A lock prevents two writers from using the same file.
pub(crate) async fn write_resumably(
    path: &Path,
    folder: &Path,
    descriptor: &Descriptor,
    body: &mut BlobBody,
) -> Result<()> {
    let is_resumable = descriptor.size >= RESUMABLE_SIZE && body.is_replayable();
    let partial = match is_resumable && body.has_content() {
        true => {
            let (folder, digest) = (folder.to_owned(), descriptor.digest.clone());
            run_blocking(move || Ok(PartialBlob::open(&folder, &digest))).await?
        }
        false => None,
    };
    let Some(partial) = partial else {
        return write(path, body.open(descriptor).await?).await;
    };
    partial.complete(descriptor, body).await?;
    let path = path.to_owned();
    run_blocking(move || partial.name(&path)).await
}

/// Writes a stream to a file on a blocking thread. The next chunks arrive, and are verified, while
/// the thread writes.
///
/// - `path`: the path to name in errors.
///
/// # Cancellation
/// Dropping the future does not stop the thread: it writes the chunks that it has received.
async fn write_chunks(
    mut file: File,
    path: &Path,
    chunks: impl Stream<Item = Result<Bytes>> + Send + Unpin,
) -> Result<()> {
    let (sender, mut receiver) = mpsc::channel::<Vec<Bytes>>(AHEAD);
    let path = path.to_owned();
    let write = move || {
        let at = |e| Error::io(&path, e);
        while let Some(batch) = receiver.blocking_recv() {
            batch.iter().try_for_each(|chunk| file.write_all(chunk)).map_err(at)?;
        }
        Ok(())
    };
    let (sent, written) = tokio::join!(send_in_batches(chunks, sender), run_blocking(write));
    sent.and(written)
}

/// Sends the chunks of a stream to a thread, until the stream or the thread ends. The thread is
/// woken once per batch, because a wake-up takes longer than a small write.
async fn send_in_batches(
    mut chunks: impl Stream<Item = Result<Bytes>> + Unpin,
    thread: mpsc::Sender<Vec<Bytes>>,
) -> Result<()> {
    let (mut batch, mut size) = (Vec::new(), 0);
    while let Some(chunk) = chunks.try_next().await? {
        size += chunk.len();
        batch.push(chunk);
        if size >= CHUNK_SIZE {
            size = 0;
            if thread.send(std::mem::take(&mut batch)).await.is_err() {
                return Ok(());
            }
        }
    }
    thread.send(batch).await.ok();
    Ok(())
}

/// Writes a small file atomically, and replaces an existing file.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub async fn replace(path: &Path, content: Bytes) -> Result<()> {
    let path = path.to_owned();
    run_blocking(move || replace_now(&path, &content)).await
}

/// Same as [`replace`], for callers that are already on a blocking thread.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub fn replace_now(path: &Path, content: &[u8]) -> Result<()> {
    let mut temp = TempFile::create(parent(path)?)?;
    temp.write_all(content).map_err(|e| Error::io(path, e))?;
    temp.publish(path)
}

/// Writes a small file if none exists. An existing file is not changed.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub fn create_now(path: &Path, content: &[u8]) -> Result<()> {
    let mut temp = TempFile::create(parent(path)?)?;
    temp.write_all(content).map_err(|e| Error::io(path, e))?;
    temp.publish_new(path)
}

/// Makes the entries of a folder durable.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub fn sync_folder(folder: &Path) -> Result<()> {
    // Windows cannot open folders, and does not need this sync.
    if cfg!(unix) {
        File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, e))?;
    }
    Ok(())
}

/// Creates a folder and its parents, durably.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub fn create_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
        match std::fs::create_dir(folder) {
            Ok(()) => return sync_folder(above),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(e) => return Err(Error::io(folder, e)),
        }
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))
}

/// Opens a regular file for reading. Does not follow a symbolic link, and does not block on a pipe.
///
/// # Errors
/// [`NotFound`](ErrorKind::NotFound) if it does not exist; [`Invalid`](ErrorKind::Invalid) if it is
/// not a regular file; [`Io`](ErrorKind::Io) if it cannot be read.
pub fn open(path: &Path) -> Result<File> {
    let refused = || {
        Error::new(ErrorKind::Invalid)
            .at(path.display())
            .detail("expected a regular file, found a link, folder, device or pipe")
    };
    let metadata = std::fs::symlink_metadata(path).map_err(|e| not_found_or_io(path, e))?;
    if !metadata.is_file() {
        return Err(refused());
    }
    let file = no_follow(OpenOptions::new().read(true))
        .open(path)
        .map_err(|e| not_found_or_io(path, e))?;
    // The file may have been replaced between the check and the open.
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(refused()),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Reads a whole small file.
///
/// # Errors
/// Same as [`open`]; [`TooLarge`](ErrorKind::TooLarge) beyond `limit` bytes.
pub fn read(path: &Path, limit: usize) -> Result<Bytes> {
    read_open(path, &open(path)?, limit)
}

/// Reads a small open file to its end.
///
/// # Errors
/// [`Io`](ErrorKind::Io); [`TooLarge`](ErrorKind::TooLarge) beyond `limit` bytes.
pub fn read_open(path: &Path, file: &File, limit: usize) -> Result<Bytes> {
    let mut content = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut content).map_err(|e| Error::io(path, e))?;
    if content.len() > limit {
        return Err(Error::larger_than(limit).at(path.display()));
    }
    Ok(content.into())
}

/// Opens the bytes of a file from `offset` to its end as a stream.
///
/// # Errors
/// Same as [`open`]. Later errors are the stream's last item.
pub async fn stream(path: &Path, offset: u64) -> Result<BlobStream> {
    let path = path.to_owned();
    let (file, path) = run_blocking(move || open(&path).map(|file| (file, path))).await?;
    BlobStream::from_file(file, path, offset)
}

/// Reads a whole file, and returns true if it has the size and digest of the descriptor.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the file cannot be read; [`Unsupported`](ErrorKind::Unsupported) if the
/// digest's algorithm cannot be computed. A missing or different file is not an error.
pub async fn verify(path: &Path, descriptor: &Descriptor) -> Result<bool> {
    let path = path.to_owned();
    let verifier = Verifier::new(&descriptor.digest, descriptor.size)?;
    run_blocking(move || match open(&path) {
        Ok(file) => verify_now(&path, &file, verifier),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(false),
        Err(e) => Err(e),
    })
    .await
}

/// Reads a user's file to its end, and computes its digest and size. Follows symbolic links.
///
/// With `expected`, uses the algorithm of that digest and checks the result. Otherwise uses sha256.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the file cannot be read; [`DigestMismatch`](ErrorKind::DigestMismatch)
/// if the digest is not the expected one; [`Unsupported`](ErrorKind::Unsupported) if the algorithm
/// of `expected` cannot be computed.
pub async fn describe(
    path: &Path,
    media_type: MediaType,
    expected: Option<&Digest>,
) -> Result<Descriptor> {
    let algorithm = expected.map_or(Ok(Algorithm::Sha256), Digest::verifiable)?;
    let (path, expected) = (path.to_owned(), expected.cloned());
    run_blocking(move || {
        let at = |e| Error::io(&path, e);
        let mut file = File::open(&path).map_err(at)?;
        let mut digester = algorithm.digester();
        // The buffer of `io::copy` is only 8 KiB.
        let mut reader = io::BufReader::with_capacity(CHUNK_SIZE, &mut file);
        let size = io::copy(&mut reader, &mut digester).map_err(at)?;
        let digest = digester.finish();
        if let Some(expected) = expected {
            expected.check(&digest).map_err(|e| e.at(path.display()))?;
        }
        Ok(Descriptor::new(media_type, digest, size))
    })
    .await
}

fn verify_now(path: &Path, file: &File, mut verifier: Verifier) -> Result<bool> {
    match hash(path, file, &mut verifier) {
        Ok(()) => Ok(verifier.finish().is_ok()),
        Err(e) if e.kind() == ErrorKind::SizeMismatch => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads the rest of an open file into a verifier.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path; [`SizeMismatch`](ErrorKind::SizeMismatch) if the file is
/// too large.
fn hash(path: &Path, mut file: &File, verifier: &mut Verifier) -> Result<()> {
    let mut buffer = vec![0; CHUNK_SIZE];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => verifier.update(&buffer[..n])?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(path, e)),
        }
    }
}

/// Creates a folder and its missing parents with access for the user only.
///
/// # Errors
/// [`Io`](ErrorKind::Io) with the path.
pub fn create_private_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder).map_err(|e| Error::io(folder, e))
}

/// Returns true if the current user owns a file and its folder, and no other user can write to them.
/// Creates a temporary file in the folder to find out who the current user is.
#[cfg(unix)]
#[must_use]
pub fn is_writable_only_by_user(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let Some(folder) = path.parent() else { return false };
    // A new file belongs to the current user.
    let Ok(own) = tempfile::tempfile_in(folder).and_then(|file| file.metadata()) else {
        return false;
    };
    [path, folder].iter().all(|path| {
        let is_own = |found: Metadata| found.uid() == own.uid() && found.mode() & 0o022 == 0;
        std::fs::symlink_metadata(path).is_ok_and(is_own)
    })
}

/// Returns true if the file exists. Permissions are not checked on this system: a user's cache folder
/// is private by default.
#[cfg(not(unix))]
#[must_use]
pub fn is_writable_only_by_user(path: &Path) -> bool {
    path.exists()
}

/// Returns the current time of the clock that sets the times of files in a folder. For a remote
/// folder, this is the clock of the server.
///
/// # Errors
/// [`Io`](ErrorKind::Io) if the folder cannot be written.
pub fn time_at(folder: &Path) -> Result<std::time::SystemTime> {
    let made_now = tempfile::tempfile_in(folder).and_then(|file| file.metadata()?.modified());
    made_now.map_err(|e| Error::io(folder, e))
}

/// Returns the inode number of a file, or 0 on systems without inode numbers.
#[cfg(unix)]
#[must_use]
pub fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// Returns the inode number of a file, or 0 on systems without inode numbers.
#[cfg(not(unix))]
#[must_use]
pub fn inode(_: &Metadata) -> u64 {
    0
}

/// Returns true if this is the name of a temporary file or folder. A writer that was killed leaves
/// such files behind.
#[must_use]
pub fn is_temporary(file_name: &str) -> bool {
    file_name.starts_with(TEMP_PREFIX) || temp_folder::is_name(file_name)
}

/// Returns the folder of a file. For a bare file name, this is the current folder.
fn parent(path: &Path) -> Result<&Path> {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(above) => Ok(above),
        None => Err(Error::new(ErrorKind::Invalid)
            .at(path.display())
            .detail("expected a file within a folder")),
    }
}

fn not_found_or_io(path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => Error::new(ErrorKind::NotFound).at(path.display()),
        _ => Error::io(path, e),
    }
}

#[cfg(unix)]
fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
}

#[cfg(not(unix))]
fn no_follow(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// 1 MiB: fetching a smaller blob again takes about as long as resuming it.
const RESUMABLE_SIZE: u64 = 1 << 20;
/// The number of batches that wait for the thread that writes them.
const AHEAD: usize = 2;
/// The prefix of the names of temporary files.
pub(crate) const TEMP_PREFIX: &str = ".partial-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blob::BlobReader;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn reader(says: &[u8], has: &'static [u8]) -> BlobReader {
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, says);
        let stream = futures_util::stream::iter([Ok(Bytes::from_static(has))]);
        BlobReader::new(descriptor, BlobStream::new(stream)).unwrap()
    }

    #[tokio::test]
    async fn a_bare_file_name_is_in_the_current_folder() {
        let name = format!("{TEMP_PREFIX}test-{}", std::process::id());
        let path = Path::new(&name);
        create_now(path, b"a").unwrap();
        replace(path, Bytes::from_static(b"b")).await.unwrap();
        write(path, reader(b"abc", b"abc")).await.unwrap();
        let content = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(content, b"abc");
        assert_eq!(parent(Path::new("/")).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn wrong_content_is_not_published_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let e = write(&path, reader(b"abc", b"abd")).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::DigestMismatch);
        assert!(files(folder.path()).is_empty());
        write(&path, reader(b"abc", b"abc")).await.unwrap();
        assert_eq!(files(folder.path()), ["blob"]);
    }

    #[tokio::test]
    async fn a_damaged_file_is_detected_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"abc");
        for damaged in [&b""[..], b"ab", b"abd", b"abcd"] {
            std::fs::write(&path, damaged).unwrap();
            assert!(!verify(&path, &descriptor).await.unwrap(), "{damaged:?}");
            write(&path, reader(b"abc", b"abc")).await.unwrap();
            assert!(verify(&path, &descriptor).await.unwrap());
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, victim) = (folder.path().join("blob"), folder.path().join("victim"));
        std::fs::write(&victim, "abc").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        let descriptor = Descriptor::from_bytes(MediaType::OCTET_STREAM, b"abc");
        assert!(!verify(&path, &descriptor).await.unwrap());
        assert_eq!(open(&path).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(open(folder.path()).unwrap_err().kind(), ErrorKind::Invalid);
        std::fs::write(&victim, "other").unwrap();
        write(&path, reader(b"abc", b"abc")).await.unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"other");
        assert!(std::fs::symlink_metadata(&path).unwrap().is_file());
    }
}
