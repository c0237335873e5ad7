//! Bytes of uploads, from the network to a file.
//!
//! Owns the files of uploads on their way: writing and hashing off the async threads while the next
//! bytes come in, going on after a restart, and clearing away what cannot go on.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use longshore_core::{
    Algorithm, BlobStream, Digest, Error, PIECE, RepositoryName, Result, blob_file, offload,
};
use tokio::sync::OwnedMutexGuard;

use super::blobs::{is_absent, sum};
use super::place::Place;
use crate::backend::session::{Progress, Session, Sessions, keeps_bytes};
use crate::backend::{Chunk, UploadId};

/// Where the bytes of an upload lie.
#[derive(Debug)]
pub(super) struct UploadFile {
    path: PathBuf,
    /// Open during a request alone: uploads that wait hold no descriptors.
    file: Option<File>,
    /// Whether a restart would know of it.
    recorded: bool,
    /// Whether the digester has seen what is in the file; not so after a restart.
    summed: bool,
}

/// The right to write to an upload.
pub(super) type Writing = OwnedMutexGuard<Progress<UploadFile>>;

impl UploadFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, recorded: false, summed: true }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what the upload left on the disk.
    pub(super) fn remove(&mut self) -> Result<()> {
        self.file = None;
        remove(&self.path)?;
        if self.recorded {
            remove(&record_path(&self.path))?;
        }
        Ok(())
    }

    /// Removes the record alone: the bytes have another name now.
    pub(super) fn published(&mut self) -> Result<()> {
        self.file = None;
        if self.recorded {
            remove(&record_path(&self.path))?;
        }
        Ok(())
    }
}

impl Progress<UploadFile> {
    /// The file, standing where the next byte goes.
    pub(super) fn file(&mut self) -> Result<&mut File> {
        if !self.store.summed {
            self.sum_again()?;
        }
        let (path, size) = (&self.store.path, self.size);
        let file = match self.store.file.take() {
            Some(file) => file,
            None => open_at(path, size).map_err(|e| Error::io(path, e))?,
        };
        Ok(self.store.file.insert(file))
    }

    /// The digest of all bytes so far, by an algorithm that is not the running sum's.
    pub(super) fn sum_by(&mut self, algorithm: Algorithm) -> Result<Digest> {
        let path = self.store.path.clone();
        let file = self.file()?;
        let summed = file.rewind().and_then(|()| sum(file, algorithm));
        summed.map_err(|e| Error::io(&path, e))
    }

    /// Feeds the digester what came before the restart.
    fn sum_again(&mut self) -> Result<()> {
        let at = |e| Error::io(&self.store.path, e);
        let mut file = File::open(&self.store.path).map_err(at)?;
        let mut digester = self.digester.algorithm().digester();
        self.size = io::copy(&mut file, &mut digester).map_err(at)?;
        self.digester = digester;
        self.store.summed = true;
        Ok(())
    }

    fn write(&mut self, pieces: &[Bytes]) -> Result<()> {
        for piece in pieces {
            if let Err(e) = self.file()?.write_all(piece) {
                // Opened anew, it is cut to the bytes that count.
                self.store.file = None;
                return Err(Error::io(&self.store.path, e));
            }
            self.digester.update(piece);
            self.size += piece.len() as u64;
        }
        Ok(())
    }

    /// Notes the upload for the next start. Not synced: it is to outlive the process, and after a
    /// loss of power the digest tells what is left of the bytes.
    fn record(&mut self, repository: &RepositoryName) -> Result<()> {
        self.store.file = None;
        if self.store.recorded {
            return Ok(());
        }
        let path = record_path(&self.store.path);
        let line = format!("{} {repository}\n", self.digester.algorithm().name());
        std::fs::write(&path, line).map_err(|e| Error::io(&path, e))?;
        self.store.recorded = true;
        Ok(())
    }
}

/// Adds a stream to an upload. While one batch is hashed and written, the next one comes in.
pub(super) async fn write(
    session: &Session<UploadFile>,
    mut writing: Writing,
    chunk: Chunk,
) -> Result<Writing> {
    let mut aside = writing.held.aside(chunk.size.unwrap_or(0))?;
    let (digester, size) = (writing.digester.clone(), writing.size);
    let mut batches = Batches::new(chunk.bytes);
    let mut next = batches.next().await;
    let failed = loop {
        let batch = match next {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(writing),
            Err(e) => break e,
        };
        let bytes = batch.iter().map(|piece| piece.len() as u64).sum();
        if let Err(e) = writing.held.draw(bytes, &mut aside) {
            break e;
        }
        let work = offload(move || {
            let written = writing.write(&batch);
            Ok((writing, written))
        });
        let (worked, following) = tokio::join!(work, batches.next());
        let written;
        (writing, written) = worked?;
        session.advanced(writing.size);
        next = written.and(following);
    };
    writing.store.file = None;
    if !keeps_bytes(&failed) {
        writing.go_back(digester, size);
        session.advanced(size);
    }
    Err(failed)
}

/// Adds a stream to an upload that goes on later.
pub(super) async fn append(
    session: &Session<UploadFile>,
    writing: Writing,
    repository: RepositoryName,
    chunk: Chunk,
) -> Result<u64> {
    let mut writing = write(session, writing, chunk).await?;
    offload(move || {
        writing.record(&repository)?;
        Ok(writing.size)
    })
    .await
}

/// Pieces of a stream, gathered until they are worth a trip to the disk.
struct Batches {
    stream: Option<BlobStream>,
    failed: Option<Error>,
}

impl Batches {
    fn new(stream: BlobStream) -> Self {
        Self { stream: Some(stream), failed: None }
    }

    /// The next batch; what came before an error comes before the error.
    async fn next(&mut self) -> Result<Option<Vec<Bytes>>> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while let Some(stream) = self.stream.as_mut().filter(|_| size < PIECE) {
            match stream.try_next().await {
                Ok(Some(piece)) => {
                    size += piece.len();
                    batch.push(piece);
                }
                Ok(None) => self.stream = None,
                Err(e) => {
                    self.stream = None;
                    self.failed = Some(e);
                }
            }
        }
        match self.failed.take() {
            Some(e) if batch.is_empty() => Err(e),
            failed => {
                self.failed = failed;
                Ok((!batch.is_empty()).then_some(batch))
            }
        }
    }
}

/// Takes up the uploads that an earlier process left, and removes every other file.
pub(super) fn restore(place: &Place, sessions: &Sessions<UploadFile>) -> Result<()> {
    let folder = place.uploads();
    blob_file::create_folder(&folder)?;
    let mut kept = std::collections::HashSet::new();
    let mut others = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))? {
        let path = entry.map_err(|e| Error::io(&folder, e))?.path();
        match left_upload(place, sessions, &path) {
            Some((id, repository, progress)) => {
                kept.insert(progress.store.path.clone());
                sessions.restore(id, repository, progress);
                kept.insert(path);
            }
            None => others.push(path),
        }
    }
    let mut stale = others.iter().filter(|path| !kept.contains(*path));
    stale.try_for_each(|path| remove(path))
}

/// Reads a record and looks for the bytes that go with it.
fn left_upload(
    place: &Place,
    sessions: &Sessions<UploadFile>,
    record: &Path,
) -> Option<(UploadId, RepositoryName, Progress<UploadFile>)> {
    let id = record.file_name()?.to_str()?.strip_suffix(RECORD_SUFFIX)?;
    let id = UploadId::parse(id)?;
    let line = blob_file::read(record, RECORD_LIMIT).ok()?;
    let (algorithm, repository) = std::str::from_utf8(&line).ok()?.trim_end().split_once(' ')?;
    let algorithm = Algorithm::named(algorithm)?;
    let repository = RepositoryName::from_str(repository).ok()?;
    let path = place.upload(&id);
    let size = std::fs::symlink_metadata(&path).ok()?.len();
    let store = UploadFile { recorded: true, summed: false, ..UploadFile::new(path) };
    let (digester, held) = (algorithm.digester(), sessions.holding(size));
    let progress = Progress { digester, size, held, store };
    Some((id, repository, progress))
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

/// Whether a file among the uploads is a record of one.
pub(super) fn is_record(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == &RECORD_SUFFIX[1..])
}

fn record_path(upload: &Path) -> PathBuf {
    let mut name = upload.as_os_str().to_owned();
    name.push(RECORD_SUFFIX);
    name.into()
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if !is_absent(&e) => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

const RECORD_SUFFIX: &str = ".session";
/// 1 KiB: an algorithm and the longest name fit four times.
const RECORD_LIMIT: usize = 1 << 10;
