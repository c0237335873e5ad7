//! Objects as files in a folder, for a registry on one machine.
//!
//! Owns the folder: its lock, the naming of files, and the cleanup at startup. A key is a path
//! below the root.
//!
//! A file outside `uploads/` gets its name only when it is complete and synced. Therefore, every
//! file that a killed process leaves is complete, belongs to an upload that can continue, or is
//! removed at the next start.

mod measure;
mod sync;
mod upload;

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::blob_file::{self, TempFile};
use longshore_core::{BlobStream, Error, ErrorKind, Result, run_blocking};

use self::sync::Syncs;
use self::upload::DiskUpload;
use super::{
    Checkpoint, Condition, Key, Meta, OBJECT_LIMIT, Object, Part, Storage, Upload, UploadId,
    Version,
};
use crate::locks::Locks;

/// Objects in a folder. They survive `kill -9`. They also survive power loss, except for unfinished
/// uploads. Clones share the folder.
#[derive(Clone, Debug)]
pub struct DiskStorage(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// The file that all empty objects link to.
    empty: PathBuf,
    /// Locks for file names. A lock is held from the check of a condition until the file has its
    /// name.
    naming: Locks<Mutex<()>>,
    syncs: Syncs,
    /// A file that is locked as long as the folder is in use.
    _lock: File,
}

impl DiskStorage {
    /// Opens a folder, creates it if needed, and removes the unfinished files of an earlier
    /// process.
    ///
    /// Uploads that can continue are kept. Blocks while it lists uploads and blobs, but does not
    /// read their content.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) if another process uses the folder; [`Io`](ErrorKind::Io)
    /// if the folder cannot be created or read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        blob_file::create_folder(&root)?;
        let lock = lock(&root)?;
        let uploads = root.join(Key::uploads().as_str());
        blob_file::create_folder(&uploads)?;
        upload::remove_unfinished(&uploads)?;
        let syncs = Syncs::new();
        settle_blobs(&root.join("blobs"), &syncs)?;
        let (empty, naming) = (empty_file(&root)?, Locks::new());
        Ok(Self(Arc::new(Folder { root, empty, naming, syncs, _lock: lock })))
    }

    /// Runs blocking work on a key's file, outside the async threads.
    async fn run<T, F>(&self, key: &Key, work: F) -> Result<T>
    where
        F: FnOnce(&Folder, &Key, &Path) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (folder, key) = (Arc::clone(&self.0), key.clone());
        run_blocking(move || work(&folder, &key, &folder.path(&key))).await
    }
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let io_error = |e| Error::io(&path, e);
    let file = File::create(&path).map_err(io_error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::new(ErrorKind::Conflict)
            .at(root.display())
            .detail("another registry serves this folder")),
        Err(std::fs::TryLockError::Error(e)) => Err(io_error(e)),
    }
}

/// Creates the file that all empty objects link to. Its name need not be durable, because each
/// object is another name of the same file.
fn empty_file(root: &Path) -> Result<PathBuf> {
    let path = root.join("empty");
    File::create(&path).map_err(|e| Error::io(&path, e))?;
    Ok(path)
}

/// Moves blobs out of the subfolders in which an earlier version of longshore stored them. Then
/// makes the names of all blobs durable, because a killed process may not have synced the last
/// names.
fn settle_blobs(blobs: &Path, syncs: &Syncs) -> Result<()> {
    let algorithms = file_names(blobs)?.into_iter().map(|name| blobs.join(name));
    for algorithm in algorithms.filter(|path| path.is_dir()) {
        let names = file_names(&algorithm)?.into_iter().filter(|name| name.len() == 2);
        let folders: Vec<PathBuf> = names.map(|name| algorithm.join(name)).collect();
        for folder in &folders {
            for name in file_names(folder)? {
                let (from, to) = (folder.join(&name), algorithm.join(&name));
                std::fs::rename(&from, to).map_err(|e| Error::io(&from, e))?;
            }
        }
        syncs.sync([&*algorithm])?;
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            std::fs::remove_dir(folder).map_err(|e| Error::io(folder, e))?;
        }
    }
    Ok(())
}

impl Folder {
    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Makes the names of files durable.
    fn sync_parents(&self, paths: &[&Path]) -> Result<()> {
        self.syncs.sync(paths.iter().filter_map(|path| path.parent()))
    }

    /// Creates a temporary file in a folder that is cleaned up at the next start.
    fn temp_file(&self) -> Result<TempFile> {
        TempFile::create(&self.path(&Key::uploads()))
    }

    /// Writes a small file atomically, unless it already has this content.
    fn put(&self, key: &Key, content: &[u8], condition: &Condition) -> Result<Version> {
        let path = self.path(key);
        let io_error = |e| Error::io(&path, e);
        if *condition == Condition::Always && is_content(&path, content) {
            // The name may not be durable: the process that created it may have died before it
            // synced the folder.
            self.sync_parents(&[&path])?;
        } else if content.is_empty() && *condition == Condition::Absent {
            create_parent(&path)?;
            self.name_if(key, condition, || self.create_empty(&path))?;
            self.sync_parents(&[&path])?;
        } else if key.is_of_upload() {
            let temporary = path.with_extension("new");
            std::fs::write(&temporary, content).map_err(io_error)?;
            self.name_if(key, condition, || std::fs::rename(&temporary, &path).map_err(io_error))?;
        } else {
            create_parent(&path)?;
            let mut temporary = self.temp_file()?;
            temporary.write_all(content).map_err(io_error)?;
            self.name_if(key, condition, || temporary.name(&path))?;
            self.sync_parents(&[&path])?;
        }
        Ok(meta(&std::fs::symlink_metadata(&path).map_err(io_error)?).version)
    }

    /// Creates an empty file. It needs no temporary file, because it is complete from the start.
    ///
    /// Empty objects are hard links to one file, so that a link to a blob takes only a name and no
    /// new file. If no further hard link is possible, a new file is created.
    fn create_empty(&self, path: &Path) -> Result<()> {
        let exists = |e: &io::Error| e.kind() == io::ErrorKind::AlreadyExists;
        let created = std::fs::hard_link(&self.empty, path).or_else(|e| match exists(&e) {
            true => Err(e),
            false => File::create_new(path).map(drop),
        });
        match created {
            Err(e) if exists(&e) => match file_metadata(path)? {
                Some(_) => Ok(()),
                None => self.temp_file()?.name(path),
            },
            created => created.map_err(|e| Error::io(path, e)),
        }
    }

    /// Checks the condition and then calls `name_file`, which gives the file its name.
    fn name_if(
        &self,
        key: &Key,
        condition: &Condition,
        name_file: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let _naming = self.naming.of(key).lock().unwrap_or_else(PoisonError::into_inner);
        self.check(key, condition)?;
        name_file()
    }

    /// Checks the condition against the existing file. After a conflict, this file is durable.
    fn check(&self, key: &Key, condition: &Condition) -> Result<()> {
        let path = self.path(key);
        let existing = file_metadata(&path)?.map(|existing| meta(&existing).version);
        let checked = condition.check(key, existing.as_ref());
        if checked.is_err() && existing.is_some() {
            // The thread that created the name may not have synced the folder yet.
            self.sync_parents(&[&path])?;
        }
        checked
    }
}

#[async_trait]
impl Storage for DiskStorage {
    async fn head(&self, keys: &[Key]) -> Result<Vec<Option<Meta>>> {
        let paths: Vec<PathBuf> = keys.iter().map(|key| self.0.path(key)).collect();
        let head = |path: &PathBuf| Ok(file_metadata(path)?.as_ref().map(meta));
        run_blocking(move || paths.iter().map(head).collect()).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Object>> {
        self.run(key, |_, _, path| {
            let Some((file, metadata)) = open(path)? else { return Ok(None) };
            let content = blob_file::read_open(path, &file, OBJECT_LIMIT)?;
            Ok(Some(Object { content, version: meta(&metadata).version }))
        })
        .await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Option<Part>> {
        self.run(key, move |_, key, path| {
            let Some((file, metadata)) = open(path)? else { return Ok(None) };
            let meta = meta(&metadata);
            if range.start > range.end || range.end > meta.size {
                return Err(Error::outside(&range, meta.size).at(key));
            }
            let size = range.end - range.start;
            let stream = match size {
                // Read at once, because each later read would run on another thread.
                1..=AT_ONCE => read_exact(file, path, &range)?.into(),
                _ => BlobStream::from_file(file, path.to_owned(), range.start)?.at_most(size),
            };
            Ok(Some(Part { meta, stream }))
        })
        .await
    }

    async fn put(&self, key: &Key, content: Bytes, condition: Condition) -> Result<Version> {
        self.run(key, move |folder, key, _| folder.put(key, &content, &condition)).await
    }

    async fn list(&self, folder: &Key) -> Result<Vec<String>> {
        self.run(folder, |_, _, path| file_names(path)).await
    }

    async fn delete(&self, key: &Key) -> Result<()> {
        self.run(key, |folder, _, path| match std::fs::remove_file(path) {
            Ok(()) => folder.sync_parents(&[path]),
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(Error::io(path, e)),
        })
        .await
    }

    async fn upload(&self, id: &UploadId, from: &Checkpoint) -> Result<Box<dyn Upload>> {
        let path = self.0.path(&Key::upload(id));
        Ok(Box::new(DiskUpload::new(Arc::clone(&self.0), path, from.size)))
    }

    fn stored(&self) -> Result<Option<u64>> {
        measure::measure(&self.0.root).map(Some)
    }

    fn decays(&self) -> bool {
        true
    }
}

/// Opens a regular file, if there is one.
fn open(path: &Path) -> Result<Option<(File, Metadata)>> {
    match blob_file::open(path) {
        Ok(file) => {
            let metadata = file.metadata().map_err(|e| Error::io(path, e))?;
            Ok(Some((file, metadata)))
        }
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Invalid) => Ok(None),
        Err(e) => Err(e),
    }
}

fn read_exact(mut file: File, path: &Path, range: &Range<u64>) -> Result<Bytes> {
    let io_error = |e| Error::io(path, e);
    let mut content = vec![0; usize::try_from(range.end - range.start).unwrap_or_default()];
    file.seek(SeekFrom::Start(range.start)).map_err(io_error)?;
    file.read_exact(&mut content).map_err(io_error)?;
    Ok(content.into())
}

/// Returns the metadata of a regular file, if there is one. Does not follow links.
fn file_metadata(path: &Path) -> Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata).filter(Metadata::is_file)),
        Err(e) if is_absent(&e) => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

fn meta(metadata: &Metadata) -> Meta {
    let (inode, size) = (blob_file::inode(metadata), metadata.len());
    Meta { size, version: Version(format!("{inode} {size} {:?}", metadata.modified().ok())) }
}

fn is_content(path: &Path, content: &[u8]) -> bool {
    blob_file::read(path, content.len()).is_ok_and(|existing| existing == content)
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if is_absent(&e) => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let names = entries.map(|entry| {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        Ok(entry.file_name().into_string().ok())
    });
    names.filter_map(Result::transpose).collect()
}

/// Creates the folder of a file, and makes it durable.
fn create_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), blob_file::create_folder)
}

/// Returns true if the error means that the file does not exist.
fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// 64 KiB: ranges up to this size are read into memory when they are opened.
const AT_ONCE: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_created_by_another_thread_or_process_are_synced() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key::blob(&longshore_core::Digest::sha256(b"blob"));
        let path = folder.path().join(key.as_str());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "blob").unwrap();
        let storage = DiskStorage::open(folder.path()).unwrap();
        assert_eq!(storage.0.syncs.requested(), 1, "by an earlier process");

        let id = UploadId::random().unwrap();
        let mut upload = storage.upload(&id, &Checkpoint::default()).await.unwrap();
        let refused = upload.complete(&key, &Key::upload(&id), Condition::Absent).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(storage.0.syncs.requested(), 2, "by another thread");
    }

    #[tokio::test]
    async fn empty_objects_are_hard_links_to_one_file_if_possible() {
        let folder = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(folder.path()).unwrap();
        let empty = folder.path().join("empty");
        let key = |text: &str| Key::blob(&longshore_core::Digest::sha256(text.as_bytes()));
        for (text, shared) in [("one", true), ("two", true), ("three", false)] {
            if !shared {
                std::fs::remove_file(&empty).unwrap();
            }
            storage.put(&key(text), Bytes::new(), Condition::Absent).await.unwrap();
            let again = storage.put(&key(text), Bytes::new(), Condition::Absent).await;
            assert_eq!(again.unwrap_err().kind(), ErrorKind::Conflict);
            let object = storage.get(&key(text)).await.unwrap().unwrap();
            assert!(object.content.is_empty());
            #[cfg(unix)]
            {
                use std::os::unix::fs::MetadataExt as _;
                let file = std::fs::metadata(folder.path().join(key(text).as_str())).unwrap();
                assert_eq!(file.nlink() > 1, shared, "{text}");
            }
        }
    }
}
