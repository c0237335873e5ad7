//! Uploads as files, until they become objects.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_core::{BlobStream, CHUNK_SIZE, Error, Result, blob_file, run_blocking};

use super::{Folder, create_parent, file_names, is_absent, meta};
use crate::storage::{Condition, Key, SESSION_SUFFIX, Upload, Version};

/// An upload's file. It is open from the first write to the next checkpoint.
pub(super) struct DiskUpload {
    folder: Arc<Folder>,
    path: PathBuf,
    /// The bytes in the file.
    size: u64,
    file: Option<File>,
    /// Bytes that are written with what comes next: a small blob is one trip to the disk.
    pending: Vec<Bytes>,
}

impl DiskUpload {
    pub(super) fn new(folder: Arc<Folder>, path: PathBuf, size: u64) -> Self {
        Self { folder, path, size, file: None, pending: Vec::new() }
    }

    /// Writes what is pending, then does blocking work on the file. After a failure it is opened anew.
    async fn run<T, F>(&mut self, work: F) -> Result<T>
    where
        F: FnOnce(&File, &Path) -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let (path, size, file) = (self.path.clone(), self.size, self.file.take());
        let pending = self.pending.clone();
        let (file, done) = run_blocking(move || {
            let file = file.map_or_else(|| open_at(&path, size), Ok);
            let written = file.and_then(|mut file| {
                pending.iter().try_for_each(|piece| file.write_all(piece))?;
                Ok(file)
            });
            let file = written.map_err(|e| Error::io(&path, e))?;
            let done = work(&file, &path)?;
            Ok((file, done))
        })
        .await?;
        self.size += size_of(&self.pending);
        self.pending.clear();
        self.file = Some(file);
        Ok(done)
    }
}

#[async_trait]
impl Upload for DiskUpload {
    async fn write(&mut self, mut pieces: Vec<Bytes>) -> Result<()> {
        self.pending.append(&mut pieces);
        match size_of(&self.pending) {
            size if size < CHUNK_SIZE as u64 => Ok(()),
            _ => self.run(|_, _| Ok(())).await,
        }
    }

    /// Syncs the file before anyone notes how far it is: a resumed upload is not read again.
    async fn checkpoint(&mut self) -> Result<String> {
        self.run(|file, path| file.sync_data().map_err(|e| Error::io(path, e))).await?;
        self.file = None;
        Ok(String::new())
    }

    async fn content(&mut self) -> Result<BlobStream> {
        self.run(|_, _| Ok(())).await?;
        blob_file::stream(&self.path, 0).await
    }

    /// The file is on the disk before it has its name; the name is once its folder is synced.
    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version> {
        let (folder, key) = (Arc::clone(&self.folder), key.clone());
        let link = folder.path(link);
        self.run(move |file, path| {
            let named = folder.path(&key);
            // A sync takes long: not if it is for nothing.
            folder.check(&key, &condition)?;
            file.sync_all().map_err(|e| Error::io(path, e))?;
            create_parent(&named)?;
            create_parent(&link)?;
            let rename = || std::fs::rename(path, &named).map_err(|e| Error::io(&named, e));
            folder.name(&key, &condition, rename)?;
            folder.create_empty(&link)?;
            // A journal has both changes by the first sync.
            folder.sync_parent(&named)?;
            folder.sync_parent(&link)?;
            Ok(meta(&file.metadata().map_err(|e| Error::io(path, e))?).version)
        })
        .await
    }

    async fn abort(&mut self) -> Result<()> {
        self.file = None;
        let path = self.path.clone();
        run_blocking(move || remove(&path)).await
    }
}

fn size_of(pieces: &[Bytes]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

/// Opens an upload's file where `size` bytes of it count, and cuts off the rest.
fn open_at(path: &Path, size: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if size == 0 {
        return options.create(true).truncate(true).open(path);
    }
    let mut file = options.open(path)?;
    file.set_len(size)?;
    file.seek(SeekFrom::Start(size))?;
    Ok(file)
}

/// Removes every file among the uploads but those of uploads that can go on.
pub(super) fn remove_unfinished(uploads: &Path) -> Result<()> {
    let names: HashSet<String> = file_names(uploads)?.into_iter().collect();
    let goes_on = |name: &String| {
        let id = name.strip_suffix(SESSION_SUFFIX).unwrap_or(name);
        names.contains(id) && names.contains(&format!("{id}{SESSION_SUFFIX}"))
    };
    let mut left = names.iter().filter(|name| !goes_on(name));
    left.try_for_each(|name| remove(&uploads.join(name)))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if !is_absent(&e) => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
