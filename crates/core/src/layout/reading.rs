//! Caches `index.json`, because a copy reads the file once per manifest and the file may be large.

use std::fs::{File, Metadata};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::index_file;
use super::listing::Referrers;
use crate::descriptor::Descriptor;
use crate::error::Result;
use crate::manifest::{Index, RawManifest};

/// The index as last read, which is valid until the file changes.
#[derive(Default)]
pub(super) struct Reading(Mutex<Option<Arc<CachedIndex>>>);

/// An index, and the referrers among its manifests, which are found on first use.
pub(super) struct CachedIndex {
    pub(super) index: Index,
    referrers: OnceLock<Referrers>,
    stamp: Option<Stamp>,
    /// The open file. While it is open, no other file gets the same inode number.
    _file: File,
}

impl Reading {
    /// Returns the current content of the index.
    ///
    /// # Errors
    /// Same as [`index_file::read`].
    pub(super) fn now(&self, root: &Path) -> Result<Arc<CachedIndex>> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = index_file::metadata(root).and_then(|metadata| Stamp::of(&metadata));
        if let Some(cached) =
            last.as_ref().filter(|cached| stamp.is_some() && cached.stamp == stamp)
        {
            return Ok(Arc::clone(cached));
        }
        let file = index_file::open(root)?;
        // The stamp is taken before the file is read, so that a change during the read is detected.
        let stamp = file.metadata().ok().and_then(|metadata| Stamp::of(&metadata));
        let index = index_file::parse(root, &file)?;
        let cached =
            Arc::new(CachedIndex { index, referrers: OnceLock::new(), stamp, _file: file });
        *last = Some(Arc::clone(&cached));
        Ok(cached)
    }
}

impl CachedIndex {
    /// Returns the referrers of each manifest. Only the first call reads the manifests, with
    /// `read`.
    ///
    /// # Errors
    /// Same as [`Referrers::read`].
    pub(super) fn referrers(
        &self,
        read: impl Fn(&Descriptor) -> Result<RawManifest>,
    ) -> Result<&Referrers> {
        if let Some(known) = self.referrers.get() {
            return Ok(known);
        }
        let found = Referrers::read(&self.index.manifests, read)?;
        Ok(self.referrers.get_or_init(|| found))
    }
}

/// The identity of a file, its length, and the times of its last changes.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length: u64,
    written: [(i64, i64); 2],
}

impl Stamp {
    #[cfg(unix)]
    #[expect(clippy::unnecessary_wraps, reason = "some systems have no inode numbers")]
    fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Some(Self {
            file: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            written: [modified, changed],
        })
    }

    /// Without inode numbers, the index is read each time.
    #[cfg(not(unix))]
    fn of(_: &Metadata) -> Option<Self> {
        None
    }
}
