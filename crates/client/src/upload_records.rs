//! Records of unfinished uploads, so that a later process can continue them.
//!
//! A record is a file in a folder that the caller chose, and names the upload session of one blob in
//! one repository. It is written before the session gets content, and removed when the blob is
//! stored. The URL of a session can permit uploads without credentials, so the file has mode 0600,
//! and is ignored and removed after a day.

use std::fs;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use longshore_core::blob_file::{self, LockedFile};
use longshore_core::{Digest, Repository};
use serde::{Deserialize, Serialize};

/// The records of the unfinished uploads of a client's user.
#[derive(Debug)]
pub(crate) struct UploadRecords {
    folder: Option<PathBuf>,
    /// Runs the removal of expired records once.
    cleaned: Once,
}

/// The record of one upload. No other push, in this process or another, can use it at the same time.
/// Dropping the value keeps the record, unless it is empty.
#[derive(Debug)]
pub(crate) struct UploadRecord {
    file: LockedFile,
    repository: String,
    digest: Digest,
}

impl UploadRecords {
    /// Returns the records in a folder. Without a folder, there are no records.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, cleaned: Once::new() }
    }

    /// Opens the record of the upload of a blob, or creates an empty one.
    ///
    /// Returns `None` if another upload of the same blob uses the record, or if the folder cannot be
    /// written. Records only save time, so a failure is no error.
    pub(crate) fn open(&self, repository: &Repository, digest: &Digest) -> Option<UploadRecord> {
        let path = self.path(repository, digest)?;
        blob_file::create_private_folder(path.parent()?).ok()?;
        let file = LockedFile::open(path)?;
        Some(UploadRecord { file, repository: repository.to_string(), digest: digest.clone() })
    }

    /// Opens the record of the upload of a blob, if an earlier push has left one. The first call
    /// removes expired records.
    pub(crate) fn find(&self, repository: &Repository, digest: &Digest) -> Option<UploadRecord> {
        let path = self.path(repository, digest)?;
        self.cleaned.call_once(|| path.parent().into_iter().for_each(remove_expired));
        match path.exists() {
            true => self.open(repository, digest),
            false => None,
        }
    }

    fn path(&self, repository: &Repository, digest: &Digest) -> Option<PathBuf> {
        let key = Digest::sha256(format!("{repository}@{digest}").as_bytes());
        Some(self.folder.as_ref()?.join(format!("{}{EXTENSION}", key.encoded())))
    }
}

impl UploadRecord {
    /// Returns the URL of the session that the record names, if the record is not too old.
    pub(crate) fn location(&self) -> Option<String> {
        let document = read(&self.file)?;
        let is_same = document.repository == self.repository && document.digest == self.digest;
        is_same.then_some(document.location)
    }

    /// Writes the URL of the session. After a failure, removes the record and returns `None`.
    pub(crate) fn store(self, location: String) -> Option<Self> {
        let (repository, digest) = (self.repository.clone(), self.digest.clone());
        let document = Document { version: VERSION, repository, digest, location };
        match write(&self.file, &document) {
            Ok(()) => Some(self),
            Err(error) => {
                tracing::debug!(path = %self.file.path().display(), %error, "the upload is not recorded");
                self.remove();
                None
            }
        }
    }

    /// Removes the record, because the session is complete or no longer exists.
    pub(crate) fn remove(self) {
        self.file.remove().ok();
    }
}

/// The content of a record.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    repository: String,
    digest: Digest,
    location: String,
}

/// Reads a record. A record of another version, a damaged record or an old one counts as missing.
fn read(file: &LockedFile) -> Option<Document> {
    let written = file.file().metadata().ok()?.modified().ok()?;
    // A time in the future is wrong.
    if written.elapsed().map_or(true, |age| age > LIFETIME) {
        return None;
    }
    file.file().rewind().ok()?;
    let json = blob_file::read_open(file.path(), file.file(), SIZE_LIMIT).ok()?;
    let document: Document = serde_json::from_slice(&json).ok()?;
    (document.version == VERSION).then_some(document)
}

/// Changes a record in place, because the lock belongs to this file. A torn record counts as missing.
fn write(file: &LockedFile, document: &Document) -> io::Result<()> {
    let json = serde_json::to_vec(document)?;
    let mut content = file.file();
    content.rewind()?;
    content.write_all(&json)?;
    content.set_len(json.len() as u64)
}

/// Removes the expired and unreadable records in a folder, unless a push uses them. Ignores files
/// with other names.
fn remove_expired(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_name)
            && let Some(file) = LockedFile::open(entry.path())
            && read(&file).is_none()
        {
            file.remove().ok();
        }
    }
}

/// Returns true if this is the name of a record.
fn is_name(name: &str) -> bool {
    let key = name.strip_suffix(EXTENSION);
    key.is_some_and(|key| key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit()))
}

const EXTENSION: &str = ".json";
/// The version of the format of records.
const VERSION: u32 = 1;
/// One day: registries remove abandoned sessions after an hour to a week.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// 64 KiB: a record consists mostly of a URL.
const SIZE_LIMIT: usize = 64 << 10;

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn blob() -> (Repository, Digest) {
        ("r.example/a".parse().unwrap(), Digest::sha256(b"abc"))
    }

    #[test]
    fn a_record_is_kept_for_later_processes_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("state").join("uploads");
        let records = || UploadRecords::new(Some(root.clone()));
        let (repository, digest) = blob();
        assert!(records().find(&repository, &digest).is_none());
        let record = records().open(&repository, &digest).unwrap();
        assert_eq!(record.location(), None);
        let record = record.store("https://r.example/a-long-session?signature=secret".into());
        let record = record.unwrap().store("https://r.example/session".into()).unwrap();
        assert!(records().find(&repository, &digest).is_none(), "the record is in use");
        drop(record);
        let path = fs::read_dir(&root).unwrap().next().unwrap().unwrap().path();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&root)), (0o600, 0o700));
        assert!(!fs::read_to_string(&path).unwrap().contains("secret"));
        let record = records().find(&repository, &digest).unwrap();
        assert_eq!(record.location().as_deref(), Some("https://r.example/session"));
        record.remove();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        drop(records().open(&repository, &digest).unwrap());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "an empty record is removed");
        assert!(UploadRecords::new(None).open(&repository, &digest).is_none());
    }

    #[test]
    fn an_expired_or_unreadable_record_is_removed_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let records = || UploadRecords::new(Some(folder.path().to_owned()));
        let (repository, digest) = blob();
        let record = records().open(&repository, &digest).unwrap();
        drop(record.store("https://r.example/s".into()).unwrap());
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let good = fs::read_to_string(&path).unwrap();
        let foreign = folder.path().join("settings.json");
        fs::write(&foreign, "{}").unwrap();
        for text in ["{", &good.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, text).unwrap();
            assert!(records().find(&repository, &digest).is_none(), "{text}");
            assert!(!path.exists(), "{text}");
        }
        let written = |age: Duration| {
            fs::write(&path, &good).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let now = file.metadata().unwrap().modified().unwrap();
            file.set_modified(now - age).unwrap();
            records().find(&repository, &digest).is_some()
        };
        assert!(written(LIFETIME - Duration::from_secs(99)));
        assert!(!written(LIFETIME + Duration::from_secs(99)));
        // The record of another blob does not continue this one.
        fs::write(&path, good.replace("r.example/a\"", "r.example/b\"")).unwrap();
        assert_eq!(records().find(&repository, &digest).unwrap().location(), None);
        assert!(foreign.exists());
    }
}
