//! Records of unfinished uploads, with which a later process continues them.
//!
//! A record is a file in the user's state folder, and names the upload session of one blob in one
//! repository. It is written before the session gets content, and removed when the blob is stored.
//! The URL of a session can permit uploads without credentials, so the file has mode 0600, and is
//! ignored and removed after a day.

use std::fs;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_core::blob_file::LockedFile;
use longshore_core::{Digest, Repository};
use serde::{Deserialize, Serialize};

/// The records of all uploads of the user.
#[derive(Debug)]
pub(crate) struct UploadJournal {
    folder: Option<PathBuf>,
    cleaned: Once,
}

/// The record of one upload, which no other process can use at the same time. Dropping the value
/// keeps the record.
#[derive(Debug)]
pub(crate) struct UploadRecord {
    file: LockedFile,
    repository: String,
    digest: Digest,
}

impl UploadJournal {
    /// Creates a journal with its records in this folder. Without a folder, there are no records.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, cleaned: Once::new() }
    }

    /// Opens the record of the upload of a blob, or creates an empty one.
    ///
    /// Returns `None` if another upload of the same blob uses the record, or if the folder cannot be
    /// written. Records only save time, so a failure is no error.
    pub(crate) fn open(&self, repository: &Repository, digest: &Digest) -> Option<UploadRecord> {
        let path = self.path(repository, digest)?;
        create_private_folder(path.parent()?).ok()?;
        let file = LockedFile::open(path)?;
        Some(UploadRecord { file, repository: repository.to_string(), digest: digest.clone() })
    }

    /// Opens the record of the upload of a blob, if an earlier process has left one.
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
        Some(self.folder.as_ref()?.join(format!("{}.json", key.encoded())))
    }
}

impl UploadRecord {
    /// Returns the URL of the session that the record names, if the record is not too old.
    pub(crate) fn location(&self) -> Option<String> {
        let document = Document::read(&self.file)?;
        let is_same = document.repository == self.repository && document.digest == self.digest;
        (is_same && document.is_valid()).then_some(document.location)
    }

    /// Writes the URL of the session, and the number of bytes that the registry has confirmed.
    pub(crate) fn store(&self, location: String, offset: u64) {
        let document = Document {
            version: VERSION,
            repository: self.repository.clone(),
            digest: self.digest.clone(),
            location,
            offset,
            expires: seconds(SystemTime::now() + LIFETIME),
        };
        if let Err(error) = document.write(&self.file) {
            tracing::debug!(path = %self.file.path().display(), %error, "the upload is not recorded");
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
    /// The number of bytes that the registry has confirmed. It is for readers of the file: the
    /// registry is asked again before an upload continues.
    offset: u64,
    /// In seconds since the Unix epoch.
    expires: u64,
}

impl Document {
    fn read(file: &LockedFile) -> Option<Self> {
        let (mut json, mut content) = (Vec::new(), file.file());
        content.rewind().ok()?;
        content.take(SIZE_LIMIT).read_to_end(&mut json).ok()?;
        serde_json::from_slice(&json).ok()
    }

    fn write(&self, file: &LockedFile) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let mut content = file.file();
        content.rewind()?;
        content.write_all(&json)?;
        content.set_len(json.len() as u64)
    }

    fn is_valid(&self) -> bool {
        let now = seconds(SystemTime::now());
        // A time that is further away is wrong.
        self.version == VERSION && (now..=now + LIFETIME.as_secs()).contains(&self.expires)
    }
}

/// Removes the records that are expired or unreadable, unless a process uses them.
fn remove_expired(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Some(file) = LockedFile::open(entry.path())
            && !Document::read(&file).is_some_and(|document| document.is_valid())
        {
            file.remove().ok();
        }
    }
}

/// Creates a folder that only the user can open, and its parents.
fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The version of the format of records.
const VERSION: u32 = 1;
/// One day: registries remove abandoned sessions after an hour to a week.
const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// 64 KiB: a record consists mostly of a URL.
const SIZE_LIMIT: u64 = 64 << 10;

#[cfg(all(test, unix))]
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
        let journal = || UploadJournal::new(Some(root.clone()));
        let (repository, digest) = blob();
        assert!(journal().find(&repository, &digest).is_none());
        let record = journal().open(&repository, &digest).unwrap();
        assert_eq!(record.location(), None);
        record.store("https://r.example/a-long-session?signature=secret".into(), 0);
        record.store("https://r.example/session".into(), 7);
        assert!(journal().find(&repository, &digest).is_none(), "the record is in use");
        drop(record);
        let path = fs::read_dir(&root).unwrap().next().unwrap().unwrap().path();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&root)), (0o600, 0o700));
        assert!(!fs::read_to_string(&path).unwrap().contains("secret"));
        let record = journal().find(&repository, &digest).unwrap();
        assert_eq!(record.location().as_deref(), Some("https://r.example/session"));
        record.remove();
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0);
        drop(journal().open(&repository, &digest).unwrap());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "an empty record is removed");
        assert!(UploadJournal::new(None).open(&repository, &digest).is_none());
    }

    #[test]
    fn an_expired_or_unreadable_record_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let journal = || UploadJournal::new(Some(folder.path().to_owned()));
        let (repository, digest) = blob();
        journal().open(&repository, &digest).unwrap().store("https://r.example/s".into(), 0);
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let good = fs::read_to_string(&path).unwrap();
        let expires = serde_json::from_str::<Document>(&good).unwrap().expires;
        let with_expiry = |time: u64| good.replace(&expires.to_string(), &time.to_string());
        let (past, future) = (with_expiry(expires - 86_401), with_expiry(expires + 999));
        for text in [&past, &future, "{", &good.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, text).unwrap();
            assert!(journal().find(&repository, &digest).is_none(), "{text}");
            assert!(!path.exists(), "{text}");
        }
        fs::write(&path, &good).unwrap();
        assert!(journal().find(&repository, &digest).unwrap().location().is_some());
        // The file of another blob does not continue this one.
        fs::write(&path, good.replace("r.example/a\"", "r.example/b\"")).unwrap();
        assert_eq!(journal().find(&repository, &digest).unwrap().location(), None);
    }
}
