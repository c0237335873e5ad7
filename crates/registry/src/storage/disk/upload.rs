//! Uploads as files.

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

/// The file of an upload. It is open from the first write to the next checkpoint.
pub(super) struct DiskUpload {
    folder: Arc<Folder>,
    path: PathBuf,
    /// The number of bytes in the file.
    size: u64,
    file: Option<File>,
    /// Bytes to write together with the next bytes, so that a small blob takes only one blocking
    /// call.
    pending: Vec<Bytes>,
}

impl DiskUpload {
    pub(super) fn new(folder: Arc<Folder>, path: PathBuf, size: u64) -> Self {
        Self { folder, path, size, file: None, pending: Vec::new() }
    }

    /// Writes the pending bytes, then runs blocking work on the file. After a failure, the next
    /// call opens the file again.
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
                pending.iter().try_for_each(|chunk| file.write_all(chunk))?;
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
    async fn write(&mut self, mut chunks: Vec<Bytes>) -> Result<()> {
        self.pending.append(&mut chunks);
        match size_of(&self.pending) {
            size if size < CHUNK_SIZE as u64 => Ok(()),
            _ => self.run(|_, _| Ok(())).await,
        }
    }

    /// Syncs the file before the checkpoint is recorded, because a resumed upload does not read its
    /// bytes again.
    async fn checkpoint(&mut self) -> Result<String> {
        self.run(|file, path| file.sync_data().map_err(|e| Error::io(path, e))).await?;
        self.file = None;
        Ok(String::new())
    }

    async fn content(&mut self) -> Result<BlobStream> {
        self.run(|_, _| Ok(())).await?;
        blob_file::stream(&self.path, 0).await
    }

    /// Syncs the file before giving it its name, and then the folder to make the name durable.
    async fn complete(&mut self, key: &Key, link: &Key, condition: Condition) -> Result<Version> {
        let (folder, key) = (Arc::clone(&self.folder), key.clone());
        let link = folder.path(link);
        self.run(move |file, path| {
            let named = folder.path(&key);
            // A sync takes long, so check the condition first.
            folder.check(&key, &condition)?;
            file.sync_all().map_err(|e| Error::io(path, e))?;
            create_parent(&named)?;
            create_parent(&link)?;
            let rename = || std::fs::rename(path, &named).map_err(|e| Error::io(&named, e));
            folder.name_if(&key, &condition, rename)?;
            folder.create_empty(&link)?;
            folder.sync_parents(&[&named, &link])?;
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

fn size_of(chunks: &[Bytes]) -> u64 {
    chunks.iter().map(|chunk| chunk.len() as u64).sum()
}

/// Opens an upload's file and truncates it to `size` bytes.
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

/// Removes all files of uploads, except those of uploads that can continue.
pub(super) fn remove_unfinished(uploads: &Path) -> Result<()> {
    let names: HashSet<String> = file_names(uploads)?.into_iter().collect();
    let can_continue = |name: &String| {
        let id = name.strip_suffix(SESSION_SUFFIX).unwrap_or(name);
        names.contains(id) && names.contains(&format!("{id}{SESSION_SUFFIX}"))
    };
    let mut unfinished = names.iter().filter(|name| !can_continue(name));
    unfinished.try_for_each(|name| remove(&uploads.join(name)))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if !is_absent(&e) => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
