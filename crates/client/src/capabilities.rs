//! What registries support, as far as their replies have shown it.
//!
//! A client remembers this for its lifetime. If it has a folder, it also stores the capabilities
//! there, so that later processes need not determine them again.

use std::fs;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longshore_core::{Error, RegistryName, Result, blob_file};
use serde::{Deserialize, Serialize};

use crate::auth::KnownChallenge;
use crate::bounded::BoundedCache;
use crate::config::UploadMethod;

/// What is known about a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) capabilities: Capabilities,
    /// The upload method that the registry accepted after it refused another. It is not stored,
    /// because the refusal may be temporary, except for a chunk size
    /// ([`Capabilities::chunk_size`]).
    pub(crate) upload_method: Option<UploadMethod>,
    /// True if the registry refused a `PATCH` with the whole content.
    pub(crate) refuses_streams: bool,
    /// True once a client began the request that determines `self_mount`.
    pub(crate) self_mount_probed: bool,
    /// True if a download in parts over several connections was not faster.
    pub(crate) parts_bring_nothing: bool,
    /// True once a reply to a request for referrers was received. It may not have determined
    /// `lists_referrers`.
    pub(crate) referrers_probed: bool,
}

/// What a registry supports. `None` means that no reply has shown it yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Capabilities {
    /// True if the registry stores the content of a single `POST`.
    pub(crate) single_post: Option<bool>,
    /// True if the registry answered 201 to the mount of a blob from the repository that has the
    /// blob.
    pub(crate) self_mount: Option<bool>,
    /// True if the registry lists referrers.
    pub(crate) lists_referrers: Option<bool>,
    /// True if the registry deletes tags.
    pub(crate) deletes_tags: Option<bool>,
    /// The chunk size that the registry accepted after it refused a whole blob in one request.
    pub(crate) chunk_size: Option<NonZeroU64>,
    /// The registry's Bearer challenge to requests without credentials.
    pub(crate) challenge: Option<KnownChallenge>,
}

/// The capabilities of all registries of a client.
#[derive(Debug)]
pub(crate) struct CapabilityCache {
    known: BoundedCache<RegistryName, Known>,
    folder: Option<PathBuf>,
    /// The lock to hold while a file is replaced.
    writing: Mutex<()>,
}

impl CapabilityCache {
    /// Creates a cache that stores capabilities in this folder, if there is one.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { known: BoundedCache::default(), folder, writing: Mutex::default() }
    }

    /// Returns what is known about a registry.
    pub(crate) fn of(&self, registry: &RegistryName) -> Known {
        self.known.get_or_insert_with(registry.clone(), || self.load(registry))
    }

    /// Changes what is known about a registry. Returns the result of the change.
    pub(crate) fn update<R>(
        &self,
        registry: &RegistryName,
        change: impl FnOnce(&mut Known) -> R,
    ) -> R {
        let load = || self.load(registry);
        let (is_changed, result) = self.known.update(registry.clone(), load, |known| {
            let before = known.capabilities.clone();
            let result = change(known);
            (known.capabilities != before, result)
        });
        if is_changed && let Some(path) = self.path(registry) {
            // The latest capabilities are stored, even if another thread changed them later.
            let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = store(&path, &self.of(registry).capabilities) {
                // The file only saves requests, so a failure is no error.
                tracing::debug!(path = %path.display(), %error, "capabilities are not stored");
            }
        }
        result
    }

    fn load(&self, registry: &RegistryName) -> Known {
        let stored = self.path(registry).and_then(|path| load(&path)).unwrap_or_default();
        let self_mount_probed = stored.self_mount.is_some();
        let referrers_probed = stored.lists_referrers.is_some();
        Known { capabilities: stored, self_mount_probed, referrers_probed, ..Known::default() }
    }

    /// Returns the path of a registry's file. There is none for a registry on this machine, because
    /// another registry may use its port later.
    fn path(&self, registry: &RegistryName) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|_| !registry.is_loopback())?;
        Some(folder.join(format!("{}.json", registry.as_str().replace(':', "_"))))
    }
}

/// The content of a file.
#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    #[serde(flatten)]
    capabilities: Capabilities,
}

/// Reads a file. A file of another version, a damaged file or an old one counts as missing.
fn load(path: &Path) -> Option<Capabilities> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    // A time in the future is wrong.
    if written.elapsed().map_or(true, |age| age > LIFETIME) {
        return None;
    }
    // The file names the service that gets the credentials.
    if !blob_file::is_writable_only_by_user(path) {
        tracing::debug!(path = %path.display(), "ignored: another user could have written the file");
        return None;
    }
    let json = blob_file::read(path, SIZE_LIMIT).ok()?;
    let document: Document = serde_json::from_slice(&json).ok()?;
    (document.version == VERSION).then_some(document.capabilities)
}

/// Replaces a file as a whole, so that other processes never read a part of it.
fn store(path: &Path, capabilities: &Capabilities) -> Result<()> {
    // A registry that lists no referrers today may be upgraded, and a wrong value would write indexes
    // of referrers to it.
    let lists_referrers = capabilities.lists_referrers.filter(|lists| *lists);
    let capabilities = Capabilities { lists_referrers, ..capabilities.clone() };
    let document = Document { version: VERSION, capabilities };
    let json = serde_json::to_vec(&document).map_err(|e| Error::io(path, e.into()))?;
    if let Some(folder) = path.parent() {
        blob_file::create_private_folder(folder)?;
    }
    blob_file::replace_now(path, &json)
}

/// The version of the format of files.
const VERSION: u32 = 1;
/// 7 days after the last change: a registry may be replaced or reconfigured.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// 64 KiB: a file has a few hundred bytes, and a challenge at most 16 KiB.
const SIZE_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    fn registry() -> RegistryName {
        "r.example:5000".parse().unwrap()
    }

    #[test]
    fn capabilities_are_stored_for_later_clients_and_replaced_by_changes() {
        let folder = tempfile::tempdir().unwrap();
        let all = || CapabilityCache::new(Some(folder.path().join("registries")));
        all().update(&registry(), |k| k.self_mount_probed = true);
        assert!(!folder.path().join("registries").exists(), "nothing to store");
        for supported in [true, false] {
            all().update(&registry(), |k| k.capabilities.self_mount = Some(supported));
            let later = all().of(&registry());
            assert_eq!(
                (later.capabilities.self_mount, later.self_mount_probed),
                (Some(supported), true)
            );
        }
        let local = "localhost:5000".parse().unwrap();
        all().update(&local, |k| k.capabilities.single_post = Some(true));
        assert_eq!(all().of(&local), Known::default());
        let without = CapabilityCache::new(None);
        assert_eq!(without.of(&registry()), Known::default());
    }

    #[test]
    fn an_old_damaged_or_newer_file_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let all = || CapabilityCache::new(Some(folder.path().to_owned()));
        all().update(&registry(), |k| k.capabilities.single_post = Some(true));
        let path = folder.path().join("r.example_5000.json");
        let good = fs::read_to_string(&path).unwrap();
        for text in ["", "{", "[]", &good.replace("\"version\":1", "\"version\":2")] {
            fs::write(&path, text).unwrap();
            assert_eq!(all().of(&registry()), Known::default(), "{text}");
        }
        fs::write(&path, good).unwrap();
        assert_eq!(all().of(&registry()).capabilities.single_post, Some(true));
        let old = File::options().write(true).open(&path).unwrap();
        old.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(all().of(&registry()), Known::default());
    }
}
