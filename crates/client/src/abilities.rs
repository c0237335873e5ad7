//! What registries support, as far as their replies have shown it.
//!
//! A client remembers this for its lifetime, and in a folder if it has one, so that later processes
//! need not determine it again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_core::{Error, RegistryName, Result, blob_file};
use serde::{Deserialize, Serialize};

use crate::bounded::BoundedMap;
use crate::config::UploadMethod;

/// What a registry supports. `None` means that no reply has shown it yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Abilities {
    pub(crate) lasting: Lasting,
    /// The upload method that the registry accepted after it refused another method.
    pub(crate) upload_method: Option<UploadMethod>,
    /// True once a request that determines `mounts_own` was begun.
    pub(crate) probed: bool,
}

/// The abilities that are stored for later processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Lasting {
    /// True if the registry stores the content of a single `POST`.
    pub(crate) single_post: Option<bool>,
    /// True if the registry answers a mount from the target repository itself with 201 if the
    /// repository has the blob, and with 202 if not.
    pub(crate) mounts_own: Option<bool>,
    /// True if the registry lists referrers. Only determined for registries that answer
    /// `OCI-Subject`.
    pub(crate) lists_referrers: Option<bool>,
}

/// The abilities of all registries of a client.
#[derive(Debug)]
pub(crate) struct AllAbilities {
    known: Mutex<BoundedMap<RegistryName, Abilities>>,
    folder: Option<PathBuf>,
}

impl AllAbilities {
    /// Remembers abilities in this folder, if there is one.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { known: Mutex::new(BoundedMap::new(REGISTRIES)), folder }
    }

    /// Returns what is known about a registry.
    pub(crate) fn of(&self, registry: &RegistryName) -> Abilities {
        *self.lock().get_or_insert_with(registry.clone(), || self.load(registry))
    }

    /// Changes what is known about a registry.
    pub(crate) fn learn(&self, registry: &RegistryName, change: impl FnOnce(&mut Abilities)) {
        let mut known = self.lock();
        let abilities = known.get_or_insert_with(registry.clone(), || self.load(registry));
        let before = abilities.lasting;
        change(abilities);
        if abilities.lasting != before
            && let Some(path) = self.path(registry)
        {
            // The file only saves requests, so a failure is no error.
            store(&path, abilities.lasting).unwrap_or_else(|error| {
                tracing::debug!(path = %path.display(), %error, "abilities are not stored");
            });
        }
    }

    fn load(&self, registry: &RegistryName) -> Abilities {
        let lasting = self.path(registry).and_then(|path| load(&path)).unwrap_or_default();
        let probed = lasting.mounts_own.is_some();
        Abilities { lasting, probed, ..Abilities::default() }
    }

    /// Returns the path of a registry's file. There is none for a registry on this machine, because
    /// another registry may use its port later.
    fn path(&self, registry: &RegistryName) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|_| !registry.is_loopback())?;
        Some(folder.join(format!("{}.json", registry.as_str().replace(':', "_"))))
    }

    fn lock(&self) -> MutexGuard<'_, BoundedMap<RegistryName, Abilities>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    abilities: Lasting,
}

/// Reads a file. A file of another version, a damaged file or an old one counts as missing.
fn load(path: &Path) -> Option<Lasting> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    if written.elapsed().is_ok_and(|age| age > LIFETIME) {
        return None;
    }
    let json = blob_file::read(path, SIZE_LIMIT).ok()?;
    let document: Document = serde_json::from_slice(&json).ok()?;
    (document.version == VERSION).then_some(document.abilities)
}

/// Replaces a file as a whole, so that other processes never read a part of it.
fn store(path: &Path, abilities: Lasting) -> Result<()> {
    let document = Document { version: VERSION, abilities };
    let json = serde_json::to_vec(&document).map_err(|e| Error::io(path, e.into()))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io(path, e))?;
    }
    blob_file::replace_now(path, &json)
}

/// 1024 registries.
const REGISTRIES: usize = 1024;
/// The version of the format of files.
const VERSION: u32 = 1;
/// 7 days: a registry may be replaced or reconfigured.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// 4 KiB: a file has about 100 bytes.
const SIZE_LIMIT: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    fn registry() -> RegistryName {
        "r.example:5000".parse().unwrap()
    }

    #[test]
    fn abilities_are_stored_for_later_clients_and_changes_replace_them() {
        let folder = tempfile::tempdir().unwrap();
        let all = || AllAbilities::new(Some(folder.path().join("registries")));
        all().learn(&registry(), |a| a.probed = true);
        assert!(!folder.path().join("registries").exists(), "nothing to store");
        for supported in [true, false] {
            all().learn(&registry(), |a| a.lasting.mounts_own = Some(supported));
            let later = all().of(&registry());
            assert_eq!((later.lasting.mounts_own, later.probed), (Some(supported), true));
        }
        let local = "localhost:5000".parse().unwrap();
        all().learn(&local, |a| a.lasting.single_post = Some(true));
        assert_eq!(all().of(&local), Abilities::default());
        let without = AllAbilities::new(None);
        assert_eq!(without.of(&registry()), Abilities::default());
    }

    #[test]
    fn an_old_damaged_or_newer_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let all = || AllAbilities::new(Some(folder.path().to_owned()));
        all().learn(&registry(), |a| a.lasting.single_post = Some(true));
        let path = folder.path().join("r.example_5000.json");
        let good = fs::read_to_string(&path).unwrap();
        for text in ["", "{", "[]", &good.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, text).unwrap();
            assert_eq!(all().of(&registry()), Abilities::default(), "{text}");
        }
        fs::write(&path, good).unwrap();
        assert_eq!(all().of(&registry()).lasting.single_post, Some(true));
        let old = File::options().write(true).open(&path).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(all().of(&registry()), Abilities::default());
    }
}
